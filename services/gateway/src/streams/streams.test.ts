import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { COOKIE, claimsOf, NOW, type Stand, signedIn, stand, type Upstream, upstream } from '../testing.ts'

const LOGOUT = [{ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW] as const

let behind: Upstream
let sockets: WebSocketServer
let gateway: Stand
/** What the upstream holds open. */
let theirs: WebSocket[]
let asked: Readonly<Record<string, unknown>>[]

beforeEach(async () => {
  behind = await upstream()
  theirs = []
  asked = []
  sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => ([...offered][1] ?? '') || false })
  behind.server.on('upgrade', (request, socket, head) => {
    if (request.url === '/live/forbidden') return socket.end('HTTP/1.1 403 Forbidden\r\nX-Why: secret\r\n\r\n')
    if (request.url === '/live/moved') return socket.end('HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n')
    if (request.url === '/live/silent') return socket.on('end', () => socket.end()).resume()
    sockets.handleUpgrade(request, socket, head, (opened) => {
      asked.push({ url: request.url, ...request.headers })
      theirs.push(opened)
      opened.on('message', (data, binary) => opened.send(data, { binary }))
    })
  })
  const any = { upstream: behind.url, audience: 'api' }
  gateway = await stand([
    { ...any, name: 'live', path: '/live/*', methods: ['GET'], websocket: true, timeout: '300ms' },
    { ...any, name: 'plain', path: '/plain/*' },
    { name: 'gone', path: '/gone', upstream: 'http://127.0.0.1:9', access: 'public', websocket: true },
    { name: 'news', path: '/news/*', upstream: behind.url, access: 'public', websocket: true },
  ])
})
afterEach(async () => {
  for (const open of theirs) open.terminate()
  await gateway.close()
  await behind.close()
})

const open = (path: string, headers: object = signedIn, protocols: string[] = []): WebSocket =>
  new WebSocket(`${gateway.address.replace('http', 'ws')}${path}`, protocols, { headers: { ...headers } })
const happened = (socket: WebSocket, event: string): Promise<unknown[]> =>
  new Promise((resolve) => socket.once(event, (...all) => resolve(all)))
const opened = async (socket: WebSocket): Promise<WebSocket> => {
  await happened(socket, 'open')
  return socket
}
const closed = async (socket: WebSocket): Promise<readonly [number, string]> => {
  const [code, reason] = await happened(socket, 'close')
  return [code as number, String(reason)]
}
const refused = async (socket: WebSocket): Promise<number | undefined> => {
  socket.on('error', () => {})
  const [, response] = (await happened(socket, 'unexpected-response')) as [unknown, { statusCode?: number }]
  socket.terminate()
  return response.statusCode
}
const openNow = async (kind: string): Promise<number> => {
  const line = new RegExp(`^countersign_gateway_open_connections\\{kind="${kind}"\\} (\\d+)`, 'm')
  return Number(line.exec(await gateway.metrics.text())?.[1])
}
const endedFor = () => gateway.lines.filter(({ msg }) => msg === 'open connection ended').map(({ code }) => code)

describe('a WebSocket', () => {
  test('is opened behind with a Txn-Token in place of the credential, and passes everything on', async () => {
    const socket = await opened(open('/live/room?x=1', { ...signedIn, 'x-user': 'root', 'x-plain': 'y' }, ['a', 'b']))
    const [got] = asked
    expect(socket.protocol).toBe('b')
    expect(got).toMatchObject({ url: '/live/room?x=1', 'x-plain': 'y' })
    expect(JSON.stringify(got)).not.toMatch(new RegExp(`${COOKIE}|root|deflate`))
    expect(claimsOf(String(got?.['txn-token']))).toMatchObject({ sub: 'u_1', tenant: 'acme' })
    socket.send('text')
    expect((await happened(socket, 'message')).map(String)).toEqual(['text', 'false'])
    socket.send(Buffer.from([0, 255]))
    expect(await happened(socket, 'message')).toEqual([Buffer.from([0, 255]), true])
    socket.ping('are you there')
    expect(String(await happened(socket, 'pong'))).toBe('are you there')
    expect(await openNow('websocket')).toBe(1)
    const over = closed(theirs[0] as WebSocket)
    socket.close(4000, 'why')
    expect(await over).toEqual([4000, ''])
    while ((await openNow('websocket')) !== 0) await sleep(10)
  })

  test('ends with its session, on both sides, at once and without a reason; others stay', async () => {
    const socket = await opened(open('/live/room'))
    const news = await opened(open('/news/today', {}))
    const both = Promise.all([closed(socket), closed(theirs[0] as WebSocket)])
    socket.on('message', () => expect.fail('passed on after the end'))
    gateway.view.raise(...LOGOUT)
    theirs[0]?.send('too late')
    expect(await both).toEqual([
      [4401, ''],
      [4401, ''],
    ])
    expect(endedFor()).toEqual(['credential_revoked'])
    news.send('still here')
    expect(String((await happened(news, 'message'))[0])).toBe('still here')
    expect(await refused(open('/live/room'))).toBe(401)
  })

  test('ends when a scope its route demands is removed', async () => {
    await gateway.close()
    const demanding = { name: 'live', path: '/live', audience: 'api', scopes: ['invoices:read'], websocket: true }
    gateway = await stand([{ ...demanding, upstream: behind.url }])
    const socket = await opened(open('/live'))
    const over = closed(socket)
    gateway.view.raise({ kind: 'affiliation', tenant: 'acme', id: 'u_1' }, 'scope:invoices:export', NOW)
    gateway.view.raise({ kind: 'affiliation', tenant: 'acme', id: 'u_1' }, 'scope:invoices:read', NOW)
    expect(await over).toEqual([4403, ''])
  })

  test('ends when its credential expires, and when the view is stale', async () => {
    const first = await opened(open('/live/room'))
    const over = closed(first)
    await gateway.clock.advance(3_600_001)
    expect(await over).toEqual([4401, ''])

    gateway.clock.step(NOW - gateway.clock.now())
    const second = await opened(open('/live/room'))
    const stale = closed(second)
    gateway.view.fresh = false
    // Not yet: what the view said last counts for a budget's time.
    await gateway.clock.advance(1_000)
    await sleep(20)
    expect(second.readyState).toBe(WebSocket.OPEN)
    await gateway.clock.advance(600_000)
    expect(await stale).toEqual([1013, ''])
    expect(endedFor()).toEqual(['credential_expired', 'view_not_fresh'])
  })

  test('is told that the gateway goes away, and none is opened meanwhile', async () => {
    const socket = await opened(open('/live/room'))
    const over = closed(socket)
    await gateway.close()
    expect(await over).toEqual([1001, ''])
  })

  test('that nobody may open is refused as any request is', async () => {
    expect(await refused(open('/live/room', {}))).toBe(401)
    expect(await refused(open('/live/room', { cookie: 'a=b' }))).toBe(401)
    expect(await refused(open('/nowhere'))).toBe(404)
    expect(await refused(open('/plain/room'))).toBe(400)
    expect(await refused(open('/live/%2Fplain'))).toBe(400)
    expect(asked).toEqual([])
  })

  test('that another site’s page opens with our cookie is refused (cross-site WebSocket hijacking)', async () => {
    const origin = { ...signedIn, origin: 'https://evil.example' }
    expect(await refused(open('/live/room', origin))).toBe(403)
    expect(await refused(open('/live/room', { ...signedIn, 'sec-fetch-site': 'same-site' }))).toBe(403)
    await opened(open('/live/room', { ...signedIn, origin: gateway.address }))
    expect(asked).toHaveLength(1)
  })

  test('that its service refuses is refused with that status and nothing else; one that is not there is a 502, one silent a 504', async () => {
    expect(await refused(open('/live/forbidden'))).toBe(403)
    expect(await refused(open('/live/moved'))).toBe(502)
    expect(await refused(open('/gone', {}))).toBe(502)
    expect(await refused(open('/live/silent'))).toBe(504)
  })

  test('whose person goes away, or whose service breaks off, leaves nothing open', async () => {
    const gone = await opened(open('/live/room'))
    const there = closed(theirs[0] as WebSocket)
    gone.terminate()
    expect((await there)[0]).toBe(1006)
    const left = await opened(open('/live/room'))
    const here = closed(left)
    theirs[1]?.terminate()
    expect((await here)[0]).toBe(1006)
    while ((await openNow('websocket')) !== 0) await sleep(10)
  })

  test('of somebody who does not read holds its service back, and not the gateway’s memory', async () => {
    const socket = await opened(open('/live/room'))
    socket.pause()
    const from = theirs[0] as WebSocket
    let taken = 0
    const chunk = Buffer.alloc(1 << 20)
    for (let i = 0; i < 64; i++) from.send(chunk, (error) => (error ? undefined : taken++))
    await sleep(300)
    // What the sockets between take, not all.
    expect(taken).toBeLessThan(40)
    let got = 0
    socket.on('message', () => got++)
    socket.resume()
    while (got < 64) await sleep(20)
  })

  test.each(['ping', 'pong'] as const)('of somebody who does not read holds back %ss too', async (kind) => {
    const socket = await opened(open('/live/room'))
    socket.pause()
    const from = theirs[0] as WebSocket
    let taken = 0
    const data = Buffer.alloc(125)
    for (let i = 0; i < 200_000; i++) from[kind](data, undefined, (error) => (error ? undefined : taken++))
    for (let before = -1; before !== taken; await sleep(300)) before = taken
    expect(taken).toBeGreaterThan(0)
    // What the sockets between take, not all.
    expect(taken).toBeLessThan(150_000)
    socket.terminate()
  })

  test('with a message too large for it is closed', async () => {
    const socket = await opened(open('/live/room'))
    const over = closed(socket)
    socket.send(Buffer.alloc((4 << 20) + 1))
    expect((await over)[0]).toBe(1009)
  })
})

describe('a request to switch to another protocol', () => {
  const raw = async (...lines: string[]): Promise<string> => {
    const socket = connect(Number(new URL(gateway.address).port), '127.0.0.1')
    let got = ''
    socket.on('data', (chunk) => {
      got += chunk.toString('latin1')
    })
    socket.write(
      ['GET /plain/x HTTP/1.1', 'Host: x', `Cookie: __Host-session=${COOKIE}`, ...lines, '', ''].join('\r\n'),
    )
    while (!got.includes('ok')) await sleep(10)
    socket.destroy()
    return got
  }

  test('is answered in this one', async () => {
    expect(await raw('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk')).toMatch(
      /^HTTP\/1.1 200/,
    )
    expect(Object.keys(behind.got[0]?.headers ?? {})).not.toContain('upgrade')
  })
})

describe('an event stream', () => {
  const begin = async (path: string, headers: Readonly<Record<string, string>> = signedIn) => {
    const response = await fetch(`${gateway.address}${path}`, { headers })
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    const read = async (): Promise<string> => {
      const { value, done } = await reader.read()
      return done ? 'END' : Buffer.from(value).toString()
    }
    return { response, read }
  }
  beforeEach(() => {
    behind.answer = (request, response) => {
      const [type, length] = request.url?.includes('file') ? ['text/csv', '1000000'] : ['text/event-stream', undefined]
      response.writeHead(200, { 'content-type': type, ...(length && { 'content-length': length }) })
      response.write('data: 1\n\n')
      response.on('close', () => (request.url?.includes('long') ? undefined : clearInterval(timer)))
      const timer = setInterval(() => response.write('data: 2\n\n'), 20)
    }
  })

  test('passes on as it comes, and ends with its session, so that its reader asks again and is refused', async () => {
    const { response, read } = await begin('/plain/events')
    expect(response.status).toBe(200)
    expect(await read()).toMatch(/^data: 1\n\n/)
    expect(await read()).toMatch(/^data: 2\n\n/)
    expect(await openNow('event_stream')).toBe(1)
    gateway.view.raise(...LOGOUT)
    let last = ''
    for (let i = 0; i < 10 && last !== 'END'; i++) last = await read()
    expect(last).toBe('END')
    expect(await openNow('event_stream')).toBe(0)
    expect(endedFor()).toEqual(['credential_revoked'])
    expect((await fetch(`${gateway.address}/plain/events`, { headers: signedIn })).status).toBe(401)
  })

  test('of somebody who does not read is cut all the same', async () => {
    let written = 0
    behind.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
      const flood = () => {
        for (let more = true; more && !response.destroyed; written++) more = response.write('x'.repeat(65_536))
      }
      response.on('drain', flood)
      flood()
    }
    const socket = connect(Number(new URL(gateway.address).port), '127.0.0.1')
    socket.on('error', () => {})
    socket.pause()
    socket.write(`GET /plain/x HTTP/1.1\r\nHost: x\r\nCookie: __Host-session=${COOKIE}\r\n\r\n`)
    for (let before = -1; before !== written || written === 0; await sleep(100)) before = written
    expect(await openNow('event_stream')).toBe(1)
    gateway.view.raise(...LOGOUT)
    // Let go of at once, cut a second later; again and again, for a machine under load may not yet wait when it first passes.
    for (let i = 0; i < 10; i++) {
      await sleep(20)
      await gateway.clock.advance(1_000)
    }
    expect(await openNow('event_stream')).toBe(0)
    socket.resume()
    while (!socket.closed) await sleep(10)
  })

  test('ends when its credential expires, on a stale view, and when the gateway goes away', async () => {
    const first = await begin('/plain/events')
    await gateway.clock.advance(3_600_000)
    while ((await first.read()) !== 'END') {}
    gateway.clock.step(NOW - gateway.clock.now())
    const second = await begin('/plain/events')
    gateway.view.fresh = false
    while ((await openNow('event_stream')) === 1) await gateway.clock.advance(500)
    while ((await second.read()) !== 'END') {}
    gateway.view.fresh = true
    gateway.clock.step(NOW - gateway.clock.now())
    const third = await begin('/plain/events')
    const over = gateway.close()
    while ((await third.read()) !== 'END') {}
    await over
    expect(endedFor()).toEqual(['credential_expired', 'view_not_fresh'])
  })

  test('is one body among others that last: one cut short does not look whole', async () => {
    const { read } = await begin('/plain/file')
    expect(await read()).toBe('data: 1\n\n')
    expect(await openNow('body')).toBe(1)
    gateway.view.raise(...LOGOUT)
    await expect(
      (async () => {
        while ((await read()) !== 'END') {}
      })(),
    ).rejects.toThrow()
  })

  test('that its reader leaves is let go of, there and here', async () => {
    const asking = new AbortController()
    const response = await fetch(`${gateway.address}/plain/events`, { headers: signedIn, signal: asking.signal })
    expect(response.status).toBe(200)
    expect(await openNow('event_stream')).toBe(1)
    asking.abort()
    while ((await openNow('event_stream')) !== 0) await sleep(10)
  })
})
