import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { FakeClock } from '@countersign/kernel/testing'
import { MemoryLog } from '@countersign/replica/testing'
import { afterEach, expect, it } from 'vitest'
import { patient } from './patience.ts'
import { run } from './testing.ts'

const never = new Promise<never>(() => {})
let server: Server | null = null
const sockets: Socket[] = []

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  server?.close()
  server = null
})

it('waits for a silent log as long as it is told, each chunk anew, and says what was read by then', async () => {
  const clock = new FakeClock()
  const log = new MemoryLog(clock)
  for (let i = 0; i < 3; i++) log.write({ key: null, value: Buffer.from('x'), headers: [] }, 't')
  const { records } = log.partition('t')
  const slow = Object.assign(log, {
    async *read() {
      yield records.slice(0, 2)
      await clock.sleep(900)
      yield records.slice(2)
      await never
    },
  })
  const seen: number[] = []
  const reading = (async () => {
    const source = patient(slow, clock, 1000).read({ topic: 't', from: 0, to: 9 })
    for await (const chunk of source) seen.push(...chunk.map(({ offset }) => offset))
  })()
  const told = expect(reading).rejects.toMatchObject({
    code: 'OPS_LOG_SILENT',
    publicMessage: `the log has not answered for 1000 ms; 3 records were read, the last of ${new Date(records[2]?.timestamp ?? 0).toISOString()}`,
  })
  for (let i = 0; i < 40; i++) await clock.advance(50)
  await told
  expect(seen).toEqual([0, 1, 2])
})

it('comes back from brokers that take connections and never answer', async () => {
  server = createServer((socket) => void sockets.push(socket))
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const place = ['--brokers', `127.0.0.1:${port}`, '--registry', `http://127.0.0.1:${port}`, '--deadline', '300ms']
  for (const argv of [['tail'], ['topics', 'drift'], ['path', 'cor_1']]) {
    const { code, out, talk } = await run([...argv, ...place])
    expect([code, out, talk.split('\n').length]).toEqual([1, '', 1])
    expect(talk).toMatch(/has not answered for 300 ms|registry/)
  }
})
