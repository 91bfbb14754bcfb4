import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { COOKIE, claimsOf, type Stand, signedIn, stand, type Upstream, upstream } from './testing.ts'

let behind: Upstream
let identity: Upstream
let gateway: Stand

beforeEach(async () => {
  behind = await upstream()
  identity = await upstream()
  const any = { upstream: behind.url }
  gateway = await stand(
    [
      { ...any, name: 'invoices', path: '/invoices/*', audience: 'api', timeout: '300ms', bodyLimit: '1KiB' },
      { ...any, name: 'reports', path: '/reports', audience: 'api', methods: ['GET'] },
      { ...any, name: 'pages', path: '/pages/*', access: 'public' },
      { name: 'login', path: '/login', access: 'identity' },
      { name: 'gone', path: '/gone/*', upstream: 'http://127.0.0.1:9', access: 'public' },
    ],
    { identityUrl: identity.url },
  )
})
afterEach(async () => {
  await gateway.close()
  await Promise.all([behind.close(), identity.close()])
})

/** Sends these bytes. @returns what came back until the gateway closed, or for a while. */
async function raw(text: string, waitMs = 300): Promise<string> {
  const socket = connect(Number(new URL(gateway.address).port), '127.0.0.1')
  let got = ''
  socket.on('data', (chunk) => {
    got += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  socket.write(Buffer.from(text, 'latin1'))
  await Promise.race([new Promise((resolve) => socket.once('close', resolve)), sleep(waitMs)])
  socket.destroy()
  return got
}
const statusOf = (answer: string): number => Number(answer.slice(9, 12))
const request = (line: string, ...headers: readonly string[]): string =>
  `${line} HTTP/1.1\r\n${['Host: gateway.example', ...headers, 'Connection: close'].join('\r\n')}\r\n\r\n`
const SESSION = `Cookie: __Host-session=${COOKIE}`

test('a cookie goes in, a Txn-Token comes out, and nothing of the cookie', async () => {
  const answer = await fetch(`${gateway.address}/invoices/acme-1001?full=1`, { headers: signedIn })
  expect([answer.status, await answer.text()]).toEqual([200, 'ok'])
  const [got] = behind.got
  expect(got?.url).toBe('/invoices/acme-1001?full=1')
  expect(JSON.stringify(got)).not.toContain(COOKIE)
  expect(claimsOf(String(got?.headers['txn-token']))).toMatchObject({
    ...{ aud: 'trust.example', sub: 'u_1', tenant: 'acme', req_wl: 'gateway' },
    correlation_id: got?.headers['x-correlation-id'],
    request_id: got?.headers['x-request-id'],
  })
})

describe('headers', () => {
  test('in every spelling of what the gateway says itself are replaced', async () => {
    const forged = [
      'Txn-Token',
      'TXN-TOKEN',
      'Txn_Token',
      'Txn.Token',
      'X_Correlation_Id',
      'TraceParent',
      'Trace_Parent',
    ]
    const more = ['X-Forwarded-For', 'X_Forwarded_For', 'X-Forwarded-User', 'Forwarded', 'X-Real-IP', 'X-Original-URL']
    const rest = [
      'X-Rewrite-URL',
      'X-HTTP-Method-Override',
      'Proxy-Authorization',
      'Proxy',
      'Remote-User',
      'X-Envoy-Peer',
    ]
    const names = [...forged, 'Txn-Token', ...more, ...rest]
    await raw(request('GET /invoices/1', SESSION, ...names.map((name) => `${name}: forged-canary`)))
    const [got] = behind.got
    expect(JSON.stringify(got)).not.toContain('forged-canary')
    const sent = got?.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()) ?? []
    expect(new Set(sent).size).toBe(sent.length)
    expect(sent.sort()).toEqual(
      [...['connection', 'host', 'traceparent', 'txn-token', 'x-correlation-id', 'x-forwarded-for'], 'x-forwarded-host']
        .concat('x-forwarded-proto', 'x-request-id')
        .sort(),
    )
    expect(got?.headers['x-forwarded-for']).toBe('127.0.0.1')
  })

  test('listed in Connection do not take away what the gateway says', async () => {
    const listed = 'Connection: close, Txn-Token, X-Correlation-Id, Traceparent, X-Forwarded-For, X-Own'
    const text = `GET /invoices/1 HTTP/1.1\r\nHost: g\r\n${SESSION}\r\nX-Own: 1\r\nX-Kept: 2\r\n${listed}\r\n\r\n`
    await raw(text)
    const { headers } = behind.got[0] ?? {}
    expect(headers).toMatchObject({ 'x-kept': '2', 'x-forwarded-for': '127.0.0.1' })
    for (const name of ['txn-token', 'x-correlation-id', 'traceparent']) expect(headers?.[name]).toBeDefined()
    expect(headers?.['x-own']).toBeUndefined()
  })

  test('of trace and correlation go on when they are well-formed', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    await raw(
      request(
        'GET /invoices/1',
        SESSION,
        `Traceparent: 00-${traceId}-b7ad6b7169203331-01`,
        'X-Correlation-Id: order-4711',
      ),
    )
    expect(behind.got[0]?.headers.traceparent).toMatch(
      new RegExp(`^00-${traceId}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`),
    )
    expect(behind.got[0]?.headers['x-correlation-id']).toBe('order-4711')
  })

  test('of an answer come back without what is for one connection, and without cookies that are identity’s', async () => {
    behind.answer = (_request, response) => {
      // Browsers trim names, and send what has none as it is (RFC 6265bis §5.6, §5.8.3).
      const planted = ['__Host-session=x', '__Host-device=x', '__Host-session =x', ' __Host-session\t=x; Path=/']
      const nameless = ['=__Host-session=x', ' = __Host-session=x; Path=/']
      response.setHeader('set-cookie', ['theme=dark', ...planted, ...nameless, 'a=__Host-session=x'])
      response
        .writeHead(200, { 'txn-token': 'leak', connection: 'keep-alive, x-hop', 'x-hop': '1', 'x-kept': '2' })
        .end()
    }
    const { headers } = await fetch(`${gateway.address}/pages/x`)
    expect(headers.getSetCookie()).toEqual(['theme=dark', 'a=__Host-session=x'])
    expect([headers.get('txn-token'), headers.get('x-hop'), headers.get('x-kept')]).toEqual([null, null, '2'])
  })
})

describe('credentials', () => {
  test('go to nobody on a public route', async () => {
    await fetch(`${gateway.address}/pages/x`, { headers: { ...signedIn, authorization: 'Bearer at_canary' } })
    expect(JSON.stringify(behind.got)).not.toMatch(/canary|txn-token/)
  })

  test('go to identity on its routes, with what it needs to tell pages apart', async () => {
    identity.answer = (_request, response) => response.writeHead(303, { 'set-cookie': '__Host-session=new' }).end()
    const body = 'email=a&password=b'
    const headers = { ...signedIn, 'content-type': 'application/x-www-form-urlencoded', origin: 'http://g.example' }
    const answer = await fetch(`${gateway.address}/login`, { method: 'POST', headers, body, redirect: 'manual' })
    expect([answer.status, answer.headers.getSetCookie()]).toEqual([303, ['__Host-session=new']])
    const [got] = identity.got
    expect(got).toMatchObject({ method: 'POST', url: '/login', body, headers: signedIn })
    expect(got?.headers.host).toBe(new URL(gateway.address).host)
    expect(got?.headers['txn-token']).toBeUndefined()
  })
})

describe('paths and methods', () => {
  test('that nobody has are answered here, with a problem that quotes nothing', async () => {
    for (const [line, status] of [
      ['GET /nobody-canary', 404],
      ['POST /reports', 405],
      ['PROPFIND /reports', 405],
      ['GET /reports/', 404],
      ['GET /Reports', 404],
      ['GET /Pages/x', 404],
      ['GET /%zz-canary', 400],
      ['GET //reports', 400],
      ['GET /pages/..%2freports', 400],
      ['GET /pages/../reports', 400],
      ['GET /pages/%2e%2e/reports', 400],
      ['GET /pages/..;/reports', 400],
      ['GET /pages/%c0%ae%c0%ae/reports', 400],
      ['GET http://gateway.example/reports', 400],
      ['OPTIONS *', 400],
      ['GET /pages/\x7f', 400],
    ] as const) {
      const answer = await raw(request(line, SESSION))
      expect([line, statusOf(answer)]).toEqual([line, status])
      expect(answer).not.toContain('canary')
    }
    expect(await raw(request('POST /reports', SESSION))).toMatch(/allow: GET, HEAD/i)
    expect(behind.got).toEqual([])
  })

  test('go on byte for byte', async () => {
    const target = "/pages/caf%C3%A9/a%20b/%3Ax/~!$&'()*+,=:@?q=%2e%2e/'\"<>`{}|^[]\\&&=?/../#".slice(0, -1)
    expect(statusOf(await raw(request(`GET ${target}`)))).toBe(200)
    expect(behind.got[0]?.url).toBe(target)
  })

  test('CONNECT and a tunnel lead nowhere', async () => {
    expect(await raw(request('CONNECT upstream:80'))).not.toMatch(/ 200 /)
    expect(behind.got).toEqual([])
  })
})

describe('bodies', () => {
  const post = (body: string | ReadableStream, more: object = {}) =>
    fetch(`${gateway.address}/invoices/1`, { method: 'POST', headers: signedIn, body, ...more } as RequestInit)
  const chunks = (...parts: readonly string[]) =>
    new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(Buffer.from(part))
        controller.close()
      },
    })

  test('go through as they come, of any type, known length or not', async () => {
    behind.answer = (_request, response, { body }) => response.end(body)
    expect(await (await post('{"not": json')).text()).toBe('{"not": json')
    expect(await (await post(chunks('a', 'b'), { duplex: 'half' })).text()).toBe('ab')
    expect(behind.got.map(({ body }) => body)).toEqual(['{"not": json', 'ab'])
  })

  test('longer than their route takes are refused, whether they say so or not', async () => {
    expect((await post('x'.repeat(1025))).status).toBe(413)
    expect(behind.got).toEqual([])
    const sent = await post(chunks('x'.repeat(1000), 'y'.repeat(1000)), { duplex: 'half' })
    expect(sent.status).toBe(413)
    expect(behind.got).toEqual([])
  })

  test('nobody expects are refused', async () => {
    expect(statusOf(await raw(`${request('GET /pages/x', 'Content-Length: 5')}hello`))).toBe(400)
    expect(statusOf(await raw(`${request('GET /pages/x', 'Transfer-Encoding: chunked')}0\r\n\r\n`))).toBe(400)
    expect(statusOf(await raw(request('GET /pages/x', 'Content-Length: 0')))).toBe(200)
  })

  test.each(['g', 'G.example:8443', 'my_service.local', '127.0.0.1:1', '[::1]:8080'])(
    'to host %s go on',
    async (host) => {
      expect(statusOf(await raw(`GET /pages/x HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`))).toBe(200)
    },
  )

  test('of two lengths, or with trailers, smuggle nothing', async () => {
    const smuggled = 'GET /reports HTTP/1.1\r\nHost: g\r\n\r\n'
    for (const text of [
      `POST /pages/x HTTP/1.1\r\nHost: g\r\nContent-Length: ${smuggled.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `POST /pages/x HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
      `POST /pages/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
      `POST /pages/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
      `POST /pages/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
      `POST /pages/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      `POST /pages/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `GET /pages/x HTTP/1.1\r\nHost: g\r\nHost: evil\r\n\r\n`,
      ...[
        'g, evil',
        'g evil',
        'g@evil',
        'g/evil',
        'g?evil',
        'g#evil',
        'g\\evil',
        'g:x',
        'g:1:2',
        '[::1',
        '',
        '%67',
        'g<',
      ].map((host) => `GET /pages/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
      `GET /pages/x HTTP/1.1\r\nHost: g\r\nX: a\nTxn-Token: b\r\n\r\n`,
      `GET /pages/x HTTP/1.1\nHost: g\n\n`,
      `GET /pages/x HTTP/1.1\r\nHost: g\r\nX: 1\r\n Txn-Token: folded\r\n\r\n`,
      `GET /pages/x HTTP/1.1\r\n\r\n`,
    ])
      expect([text, statusOf(await raw(text))]).toEqual([text, 400])
    expect(behind.got).toEqual([])
    const trailing = `POST /pages/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nTrailer: Txn-Token\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nTxn-Token: canary\r\n\r\n`
    expect(statusOf(await raw(trailing))).toBe(200)
    expect(behind.got[0]?.body).toBe('a')
    expect(JSON.stringify(behind.got)).not.toContain('canary')
  })
})

describe('an upstream', () => {
  const problem = async (path: string): Promise<unknown> => {
    const answer = await fetch(`${gateway.address}${path}`, { headers: signedIn })
    const text = await answer.text()
    expect(text).not.toMatch(/127\.0\.0\.1|ECONN|UND_/)
    return [answer.status, JSON.parse(text).code]
  }

  test('that is not there is a 502', async () => {
    expect(await problem('/gone/x')).toEqual([502, 'upstream_unavailable'])
    expect(gateway.lines.at(-1)).toMatchObject({ level: 'warn', route: 'gone', code: 'upstream_unavailable' })
  })

  test('that breaks off before it answers is a 502, one that takes too long a 504', async () => {
    behind.answer = (request) => request.socket.destroy()
    expect(await problem('/invoices/1')).toEqual([502, 'upstream_unavailable'])
    behind.answer = () => {}
    expect(await problem('/invoices/1')).toEqual([504, 'upstream_timeout'])
  })

  test('that answers what is no HTTP is a 502', async () => {
    behind.answer = (request) =>
      request.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab')
    expect(await problem('/invoices/1')).toEqual([502, 'upstream_unavailable'])
  })

  test('that breaks off in the middle is not made to look whole', async () => {
    behind.answer = (request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half')
      setTimeout(() => request.socket.destroy(), 20)
    }
    const answer = await fetch(`${gateway.address}/invoices/1`, { headers: signedIn })
    await expect(answer.text()).rejects.toThrow()
  })

  test('that says 503 is asked once', async () => {
    behind.answer = (_request, response) => response.writeHead(503, { 'retry-after': '0' }).end('later')
    const answer = await fetch(`${gateway.address}/pages/x`)
    expect([answer.status, await answer.text(), behind.got.length]).toEqual([503, 'later', 1])
  })

  test('answers HEAD and 304 without a body', async () => {
    behind.answer = (request, response) => {
      response.writeHead(request.method === 'HEAD' ? 200 : 304, { etag: '"1"' })
      response.end()
    }
    const head = await fetch(`${gateway.address}/pages/x`, { method: 'HEAD' })
    const same = await fetch(`${gateway.address}/pages/x`)
    expect([head.status, same.status, same.headers.get('etag')]).toEqual([200, 304, '"1"'])
  })
})

test('closing, it finishes what it began, and says inside that it takes no more', async () => {
  let finish = (): void => {}
  const began = new Promise<void>((resolve) => {
    behind.answer = (_request, response) => {
      finish = () => response.end('done')
      resolve()
    }
  })
  const slow = fetch(`${gateway.address}/pages/slow`)
  await began
  const closed = gateway.outside.close()
  const ready = await fetch(`${gateway.checkAddress}/readyz`)
  expect([ready.status, await ready.json()]).toEqual([503, { ready: false, reasons: ['draining'] }])
  finish()
  expect(await (await slow).text()).toBe('done')
  await closed
})

test('is counted by route and never by path', async () => {
  await fetch(`${gateway.address}/pages/canary-1`)
  await fetch(`${gateway.address}/nobody/canary-2`)
  const text = await gateway.metrics.text()
  expect(text).toContain('countersign_http_requests_total{route="pages",method="GET",status="200"} 1')
  expect(text).toContain('countersign_gateway_refusals_total{route="unmatched",code="route_unknown"} 1')
  expect(text).not.toContain('canary')
})
