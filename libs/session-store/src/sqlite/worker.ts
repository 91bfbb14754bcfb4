/** The worker thread: keeps the file off the event loop of its owner. */
import { parentPort, workerData } from 'node:worker_threads'
import { Engine } from './engine.ts'
import { type Request, rebuffer } from './protocol.ts'

const { path } = workerData as { path: string }
const port = parentPort as NonNullable<typeof parentPort>
const engine = new Engine(path)

port.on('message', (message: Request | 'close') => {
  if (message === 'close') {
    engine.close()
    port.close()
  } else port.postMessage(engine.answer(rebuffer(message) as Request))
})
