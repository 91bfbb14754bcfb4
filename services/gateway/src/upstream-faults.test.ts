/** Services behind the gateway that answer what they must not: each with its outcome, and none at another's cost. */
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Stand, signedIn, stand } from './testing.ts'

let behind: Server
let gateway: Stand
let sockets: Socket[]
let answer: (socket: Socket, request: string) => void

beforeEach(async () => {
  sockets = []
  behind = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes) => answer(socket, bytes.toString('latin1')))
  })
  await new Promise<void>((resolve) => behind.listen(0, '127.0.0.1', resolve))
  const upstream = `http://127.0.0.1:${(behind.address() as { port: number }).port}`
  gateway = await stand([{ name: 'odd', path: '/odd/*', upstream, audience: 'api', timeout: '400ms' }], {
    upstreams: { connectMs: 500, silenceMs: 400, connections: 1 },
  })
})
afterEach(async () => {
  await gateway.close()
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => behind.close(resolve))
})

const ask = (path = '/odd/x', more: RequestInit = {}): Promise<Response> =>
  fetch(`${gateway.address}${path}`, { headers: signedIn, ...more })
const good = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`

test.each<[string, string, number]>([
  ['headers without end', `HTTP/1.1 200 OK\r\n${'X-A: aaaaaaaaaaaaaaaa\r\n'.repeat(4_000)}\r\n`, 502],
  [
    'a switch of protocols nobody asked for',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    502,
  ],
  ['a status that is none', 'HTTP/1.1 999999 OK\r\n\r\n', 502],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 502],
  ['a line break in a header', 'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 0\r\n\r\n', 502],
  ['nothing at all', '', 504],
])('%s', async (_, bytes, status) => {
  answer = (socket) => socket.write(bytes)
  const response = await ask()
  expect([response.status, response.headers.get('set-cookie')]).toEqual([status, null])
  expect(await response.json()).toMatchObject({ code: status === 504 ? 'upstream_timeout' : 'upstream_unavailable' })
  // Whoever comes next is answered.
  answer = (socket) => socket.write(good('next'))
  expect(await (await ask()).text()).toBe('next')
})

test('an answer that stops in the middle is cut off, not waited for', async () => {
  answer = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
  await expect((await ask()).text()).rejects.toThrow()
})

test('an answer that drips goes on for as long as it drips', async () => {
  answer = async (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    for (let i = 0; i < 6; i++) {
      await sleep(200)
      socket.write('1\r\nx\r\n')
    }
    socket.write('0\r\n\r\n')
  }
  expect(await (await ask()).text()).toBe('xxxxxx')
})

test('a second answer nobody asked for is given to nobody', async () => {
  let first = true
  answer = (socket, request) => {
    const own = good(/x-who: (\w)/i.exec(request)?.[1] ?? '')
    socket.write(first ? `${own}${good('of another')}` : own)
    first = false
  }
  const of = async (who: string) => (await ask('/odd/x', { headers: { ...signedIn, 'x-who': who } })).text()
  expect(await of('a')).toBe('a')
  for (const who of ['b', 'c', 'd']) expect(await of(who).catch(() => who)).toBe(who)
})

test('one that does not take the body is not waited for', async () => {
  answer = (socket) => socket.pause()
  const response = await ask('/odd/x', { method: 'POST', body: 'x'.repeat(1_000_000) })
  expect(response.status).toBe(504)
})

test('a caller who goes away takes the request behind along', async () => {
  let closed = false
  answer = (socket) => socket.on('close', () => (closed = true))
  const asking = new AbortController()
  const response = ask('/odd/x', { signal: asking.signal }).catch(() => 'gone')
  await sleep(100)
  asking.abort()
  expect(await response).toBe('gone')
  for (let i = 0; i < 50 && !closed; i++) await sleep(20)
  expect(closed).toBe(true)
})
