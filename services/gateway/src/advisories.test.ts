/** Published flaws of proxies and gateways, tried on this one over bare sockets: what comes is what an attacker writes. */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { COOKIE, type Stand, signedIn, stand, type Upstream, upstream } from './testing.ts'

let behind: Upstream
let gateway: Stand

beforeEach(async () => {
  behind = await upstream()
  const any = { upstream: behind.url }
  gateway = await stand([
    { ...any, name: 'admin', path: '/admin/*', audience: 'api' },
    { ...any, name: 'live', path: '/live/*', audience: 'api', methods: ['GET'], websocket: true },
    { ...any, name: 'public', path: '/public/*', access: 'public' },
    { ...any, name: 'all', path: '/*', access: 'public' },
  ])
})
afterEach(async () => {
  await gateway.close()
  await behind.close()
})

/** Sends these bytes as they are. @returns what came back until it stays quiet. */
async function raw(text: string, at = gateway.address): Promise<string> {
  const socket = connect(Number(new URL(at).port), '127.0.0.1')
  let got = ''
  let quietFor = 0
  socket.on('data', (chunk) => {
    got += chunk.toString('latin1')
    quietFor = 0
  })
  socket.on('error', () => {})
  socket.write(Buffer.from(text, 'latin1'))
  while (!socket.closed && quietFor++ < (got === '' ? 30 : 6)) await sleep(20)
  socket.destroy()
  return got
}
const SESSION = `Cookie: __Host-session=${COOKIE}`
const request = (line: string, ...headers: string[]): string =>
  `${line} HTTP/1.1\r\n${['Host: gateway.example', ...headers].join('\r\n')}\r\n\r\n`
const statuses = (answer: string): number[] =>
  [...answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, code]) => Number(code))
/** What the decision says of a path, with nothing behind it that could mend it. */
const checked = async (path: string): Promise<number | undefined> =>
  statuses(await raw(request(`GET /check${path}`), gateway.checkAddress))[0]

describe('names of headers', () => {
  test('CVE-2025-64484: no spelling that an upstream takes for ours gets past', async () => {
    const spelled = [
      'Txn_Token',
      'txn.token',
      'X_Forwarded_User',
      'X_Forwarded_For',
      'X-Forwarded_Email',
      'TRACEPARENT_',
    ]
    await raw(request('GET /admin/x', SESSION, ...spelled.map((name) => `${name}: forged`)))
    expect(behind.got).toHaveLength(1)
    expect(JSON.stringify(behind.got)).not.toContain('forged')
  })

  test('CVE-2025-48865, CVE-2024-45410, CVE-2026-33805: Connection takes none of our headers away', async () => {
    const listed =
      'close, Txn-Token, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Correlation-Id, traceparent'
    await raw(request('GET /admin/x', SESSION, `Connection: ${listed}`))
    expect(Object.keys(behind.got[0]?.headers ?? {})).toEqual(
      expect.arrayContaining(['txn-token', 'x-forwarded-for', 'x-forwarded-host', 'x-correlation-id', 'traceparent']),
    )
  })

  test('CVE-2026-40575, CVE-2026-3635, GHSA-vhr5-ggp3-qq85: a caller’s X-Forwarded-* decides nothing and goes nowhere', async () => {
    const forged = [
      ...['X-Forwarded-Uri: /public/forged', 'X-Original-URL: /public/forged', 'X-Rewrite-URL: /public/forged'],
      ...[
        'X-Forwarded-Proto: forged',
        'X-Forwarded-Host: forged',
        'X-Forwarded-For: 10.1.1.1',
        'X-Forwarded-Method: HEAD',
      ],
    ]
    expect(statuses(await raw(request('GET /admin/x', ...forged)))).toEqual([401])
    expect(statuses(await raw(request('GET /check/admin/x', ...forged), gateway.checkAddress))).toEqual([401])
    await raw(request('GET /public/x', ...forged))
    expect(behind.got[0]?.headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' })
    expect(JSON.stringify(behind.got)).not.toMatch(/forged|10\.1\.1\.1/)
  })

  test('CVE-2019-9900: a NUL in a header ends the connection, not the reading', async () => {
    expect(statuses(await raw(request('GET /public/x', 'X-A: b\0c')))).toEqual([400])
    expect(behind.got).toEqual([])
  })
})

describe('paths', () => {
  const refused = async (...paths: string[]): Promise<void> => {
    for (const path of paths) {
      expect([path, await checked(path)]).toEqual([path, 400])
      expect([path, ...statuses(await raw(request(`GET ${path}`)))]).toEqual([path, 400])
    }
    expect(behind.got).toEqual([])
  }

  test('GHSA-p224-6x5r-fjpm, CVE-2025-32431, CVE-2019-9901, CVE-2021-21322, CVE-2021-21321: none leads out of its route by dots', () =>
    refused('/public/../admin/x', '/public/./../admin/x', '/public/..', '/public/../../admin/x', '/x/..'))

  test('GHSA-vrch-868g-9jx5, CVE-2021-29492, CVE-2025-66490, CVE-2026-34908: what is encoded is no structure', () =>
    refused(
      ...[
        '/public/%2e%2e/admin/x',
        '/public/..%2fadmin/x',
        '/public%2F..%2Fadmin',
        '/%61dmin/x',
        '/admin%2Fx',
        '/admin%5cx',
      ],
      ...[
        '/public/%252e%252e/admin',
        '/public/%00',
        '/admin%3Bx',
        '/admin%3fx',
        '/admin%23',
        '/public/..;/admin',
        '/public\\..\\admin',
      ],
    ))

  test('CVE-2021-31920, CVE-2026-26205: slashes in a row are no other path, and no host', () =>
    refused('//admin/x', '/public//admin', '///admin', '/admin//'))

  test('CVE-2026-41059, CVE-2021-32779: a fragment hides no part of the path', () =>
    refused('/admin/x#/public/y', '/public/x#', '/admin#'))

  test('CVE-2026-27587: case is no way around a route', () => refused('/Admin/x', '/ADMIN/x', '/aDMIN'))

  test('CVE-2025-54576: what the query says opens nothing', async () => {
    for (const path of ['/admin/x?/public/', '/admin/x?a=/../public/x', '/admin/x?%2f..%2fpublic'])
      expect([path, await checked(path), ...statuses(await raw(request(`GET ${path}`)))]).toEqual([path, 401, 401])
    expect(behind.got).toEqual([])
  })
})

describe('bodies', () => {
  test.each([
    ['application/json\t;x', '{"a":1}'],
    ['application/json;', ' {"a" : 1}'],
    ['Application/JSON ; charset=utf-8', '{"a":1,"a":2}'],
    ['application/json', 'no json'],
    ['application/x-www-form-urlencoded', 'a=%00&a=2'],
  ])('CVE-2023-51701, CVE-2025-32442, CVE-2026-25223: of type %j go through as they came', async (type, body) => {
    await raw(`${request('POST /public/x', `Content-Type: ${type}`, `Content-Length: ${body.length}`)}${body}`)
    expect(behind.got).toMatchObject([{ body, headers: { 'content-length': String(body.length) } }])
  })
})

describe('where a request ends', () => {
  const SMUGGLED = 'GET /admin/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
  const smuggles = async (head: readonly string[], body: string): Promise<number[]> => {
    const got = statuses(await raw(`${request('POST /public/x', ...head)}${body}`))
    expect(behind.got.filter(({ url }) => url.includes('admin'))).toEqual([])
    return got
  }

  test.each<[string, readonly string[], string]>([
    [
      'CVE-2022-32215: two codings',
      ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
      `0\r\n\r\n${SMUGGLED}`,
    ],
    ['CVE-2022-32213: a coding nobody knows', ['Transfer-Encoding: chunked, x'], `0\r\n\r\n${SMUGGLED}`],
    ['CVE-2022-32214: a line that ends in LF alone', ['X: y\nTransfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`],
    [
      'CVE-2023-30589: a line that ends in CR alone',
      ['X: y\rTransfer-Encoding: chunked'],
      `1\r\nx\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['CVE-2024-27982: a blank before a header', [' Content-Length: 0', 'Content-Length: 45'], SMUGGLED],
    ['two lengths', ['Content-Length: 0', 'Content-Length: 45'], SMUGGLED],
    ['a length and a coding', ['Content-Length: 45', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`],
    ['a length that is none', ['Content-Length: +0'], SMUGGLED],
    [
      'CVE-2025-43859: a chunk that ends in other bytes',
      ['Transfer-Encoding: chunked'],
      `1\r\nxYZ0\r\n\r\n${SMUGGLED}`,
    ],
    ['a chunk extension with a line in it', ['Transfer-Encoding: chunked'], `1;a\nb\r\nx\r\n0\r\n\r\n${SMUGGLED}`],
  ])('%s is refused, and what follows is not read', async (_, head, body) => {
    expect(await smuggles(head, body)).toEqual([400])
  })

  test('a body on GET is refused before anybody could read it as the next request', async () => {
    expect(statuses(await raw(`${request('GET /public/x', `Content-Length: ${SMUGGLED.length}`)}${SMUGGLED}`))[0]).toBe(
      400,
    )
    expect(behind.got).toEqual([])
  })

  test('CVE-2026-2833: what follows a request to upgrade reaches nobody before both sides have agreed', async () => {
    const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    const lines: string[] = []
    behind.server.on('connection', (socket) => socket.on('data', (chunk) => lines.push(chunk.toString('latin1'))))
    // No route for WebSockets; one whose service does not agree; a handshake that is none; another protocol.
    for (const [path, ...head] of [
      ['/admin/x', ...upgrade, key],
      ['/live/x', ...upgrade, key],
      ['/live/x', ...upgrade],
      ['/admin/x', 'Connection: Upgrade', 'Upgrade: h2c'],
    ] as const) {
      const answer = await raw(`${request(`GET ${path}`, SESSION, ...head)}${SMUGGLED}`)
      expect([path, answer]).not.toEqual([path, expect.stringContaining(' 101 ')])
    }
    expect(lines.join('')).not.toContain('smuggled')
  })

  test('CVE-2022-35948, CVE-2022-31150: no header and no path of ours holds a line of the caller’s', async () => {
    await raw(request('GET /admin/x', SESSION, 'X-Correlation-Id: abcdefgh\r\n X: y', 'Content-Type: a\r\n\tb: c'))
    await raw(request('GET /public/x%0d%0aX-Injected:%20y', SESSION))
    await raw(request('GET /public/x?a=%0d%0aX-Injected:%20y', SESSION))
    expect(JSON.stringify(behind.got.map(({ rawHeaders }) => rawHeaders))).not.toMatch(/x-injected|"x"/i)
  })
})

test('a person’s own request goes through: what is refused above is not refused for nothing', async () => {
  const answer = await fetch(`${gateway.address}/admin/x?y=%2Fz`, { headers: signedIn })
  expect(answer.status).toBe(200)
})
