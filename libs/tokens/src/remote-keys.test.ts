import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { FakeClock } from '@countersign/kernel/testing'
import { exportJWK } from 'jose'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { remoteKeys } from './remote-keys.ts'

let server: Server
let answer: RequestListener
let fetches: number
let url: string
let published: object[]
const clock = new FakeClock()

beforeAll(async () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  published = [{ ...(await exportJWK(publicKey)), kid: 'first' }]
})

beforeEach(async () => {
  fetches = 0
  answer = (_request, response) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: published }))
  server = createServer((request, response) => {
    fetches++
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`
})

afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const es = (kid: string) => ({ alg: 'ES256', kid }) as const

test('a key is found and the set is fetched once', async () => {
  const keys = remoteKeys({ url, clock })
  for (let i = 0; i < 5; i++) expect(await keys.find(es('first'))).toMatchObject({ type: 'public' })
  expect(fetches).toBe(1)
})

test('ten thousand random key ids cause at most one fetch per 30 s, and a rotated key is still found', async () => {
  const keys = remoteKeys({ url, clock })
  await keys.find(es('first'))
  for (let i = 0; i < 10_000; i++) expect(await keys.find(es(randomUUID()))).toBe('unknown')
  expect(fetches).toBe(1)
  await clock.advance(30_000)
  await Promise.all(Array.from({ length: 200 }, () => keys.find(es(randomUUID()))))
  expect(fetches).toBe(2)
  const before = published
  published = [...before, { ...(before[0] as object), kid: 'second' }]
  try {
    expect(await keys.find(es('second'))).toBe('unknown')
    await clock.advance(30_000)
    expect(await keys.find(es('second'))).toMatchObject({ type: 'public' })
    expect(fetches).toBe(3)
  } finally {
    published = before
  }
})

test('a failing issuer is asked at most once per cooldown', async () => {
  answer = (_request, response) => response.writeHead(500).end()
  const keys = remoteKeys({ url, clock })
  for (let i = 0; i < 100; i++) expect(await keys.find(es('first'))).toBe('unavailable')
  expect(fetches).toBe(1)
})

test.each<[string, RequestListener]>([
  [
    'a body over 256 KB',
    (_request, response) => response.end(JSON.stringify({ keys: published, pad: 'x'.repeat(256 * 1024) })),
  ],
  [
    'a body that never ends',
    (_request, response) => {
      const chunk = Buffer.alloc(64 * 1024, 32)
      const more = (): void => {
        while (response.write(chunk));
      }
      response.on('drain', more)
      response.on('error', () => {})
      more()
    },
  ],
  [
    'a redirect',
    (request, response) =>
      request.url === '/jwks'
        ? response.writeHead(302, { location: '/other' }).end()
        : response.end(JSON.stringify({ keys: published })),
  ],
  [
    'a compressed body',
    (_request, response) =>
      response.setHeader('content-encoding', 'gzip').end(gzipSync(JSON.stringify({ keys: published }))),
  ],
  [
    'two encodings',
    (_request, response) =>
      response.setHeader('content-encoding', 'identity, gzip').end(gzipSync(JSON.stringify({ keys: published }))),
  ],
  ['no JSON', (_request, response) => response.end('<html>')],
  ['no key set', (_request, response) => response.end('{"keys":{}}')],
  ['101 keys', (_request, response) => response.end(JSON.stringify({ keys: Array(101).fill(published[0]) }))],
])('CVE-2026-22036 CVE-2024-22025: %s is refused', async (_name, listener) => {
  answer = listener
  expect(await remoteKeys({ url, clock }).find(es('first'))).toBe('unavailable')
  expect(fetches).toBe(1)
})

test('an answer that takes too long is given up', async () => {
  let asked = (): void => {}
  const arrived = new Promise<void>((resolve) => {
    asked = resolve
  })
  answer = () => asked()
  const found = remoteKeys({ url, clock, timeoutMs: 3_000 }).find(es('first'))
  await arrived
  await clock.advance(3_000)
  expect(await found).toBe('unavailable')
})

test('a set is fetched again when old, used on while the issuer is away, and dropped when too old', async () => {
  const keys = remoteKeys({ url, clock, maxAgeMs: 60_000, keepMs: 120_000 })
  await keys.find(es('first'))
  answer = (_request, response) => response.writeHead(503).end()
  await clock.advance(60_001)
  expect(await keys.find(es('first'))).toMatchObject({ type: 'public' })
  expect(fetches).toBe(2)
  await clock.advance(60_000)
  expect(await keys.find(es('first'))).toBe('unavailable')
  answer = (_request, response) => response.end(JSON.stringify({ keys: published }))
  await clock.advance(30_000)
  expect(await keys.find(es('first'))).toMatchObject({ type: 'public' })
})

test('a key withdrawn by its issuer is gone with the next fetch', async () => {
  const keys = remoteKeys({ url, clock, maxAgeMs: 60_000 })
  await keys.find(es('first'))
  answer = (_request, response) => response.end('{"keys":[]}')
  await clock.advance(60_001)
  expect(await keys.find(es('first'))).toBe('unknown')
})
