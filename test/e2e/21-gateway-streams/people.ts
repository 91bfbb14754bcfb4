/** People with a WebSocket each, in a process of their own. */
import { once } from 'node:events'
import { WebSocket } from 'ws'

export interface Opening {
  readonly ask: 'open'
  readonly url: string
  readonly cookie: string
  readonly count: number
}

/** Waits until one that was opened with this cookie is closed. */
export interface Watching {
  readonly ask: 'closed'
  readonly cookie: string
}

/** Sends a message over each that is open, and counts those that come back. */
export interface Counting {
  readonly ask: 'alive'
}

export interface Closed {
  /** Epoch milliseconds, fractional. */
  readonly at: number
  readonly code: number
  readonly reason: string
}

const AT_ONCE = 64
const byCookie = new Map<string, WebSocket[]>()
const ended = new Map<string, Promise<Closed>>()

process.on('message', async (question: Opening | Watching | Counting) => process.send?.(await answer(question)))
process.on('disconnect', () => process.exit(0))

async function answer(question: Opening | Watching | Counting): Promise<unknown> {
  if (question.ask === 'open') return open(question)
  if (question.ask === 'closed') return ended.get(question.cookie)
  const all = [...byCookie.values()].flat().filter(({ readyState }) => readyState === WebSocket.OPEN)
  const back = all.map((socket) => once(socket, 'message'))
  for (const socket of all) socket.send('still here')
  await Promise.all(back)
  return all.length
}

async function open({ url, cookie, count }: Opening): Promise<number> {
  const mine: WebSocket[] = []
  byCookie.set(cookie, mine)
  const one = async (): Promise<void> => {
    while (mine.length < count) {
      const socket = new WebSocket(url, { headers: { cookie }, perMessageDeflate: false })
      mine.push(socket)
      await once(socket, 'open')
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
  ended.set(
    cookie,
    new Promise((resolve) => {
      const closed = (code: number, reason: Buffer): void =>
        resolve({ at: performance.timeOrigin + performance.now(), code, reason: String(reason) })
      for (const socket of mine) socket.on('close', closed)
    }),
  )
  return mine.length
}
