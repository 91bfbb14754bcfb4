import { generateKeyPairSync } from 'node:crypto'
import { describeConfig, loadConfig } from '@countersign/kernel'
import { expect, test } from 'vitest'
import { config } from './config.ts'

const ROUTES = [{ name: 'x', path: '/x', upstream: 'http://127.0.0.1:1', audience: 'api' }]
const BASE = {
  ROUTES: JSON.stringify(ROUTES),
  ROOT_KEY: Buffer.alloc(32, 1).toString('base64'),
  ENVELOPE_KEY: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  IDENTITY_URL: 'http://127.0.0.1:1',
  IDENTITY_SECRET: 'a secret',
  LOG_PATH: 'log.db',
  ISSUER: 'https://identity.example',
}
const HASH_KEY = 'canary-hash-key-0123456789abcdef0123'
const FOREIGN = {
  ...{ issuer: 'https://idp.example', keys: 'https://idp.example/jwks', algorithms: ['RS256'], typ: 'JWT' },
  ...{ maxAge: '1h', hashKey: HASH_KEY, tenant: 'acme', allowedScopes: ['invoices:read'] },
}
const load = (more: Record<string, string> = {}) =>
  loadConfig(
    config,
    Object.fromEntries(Object.entries({ ...BASE, ...more }).map(([name, value]) => [`COUNTERSIGN_${name}`, value])),
  )

test('routes are read, and print as their names', () => {
  expect(load().routes.leadingTo('http://127.0.0.1:1')).toMatchObject([{ name: 'x', timeoutMs: 30_000 }])
  expect(describeConfig(load())).toContain('COUNTERSIGN_ROUTES=x\n')
})

test('other issuers are read, and their keys print as secrets', () => {
  const read = load({ ISSUERS: JSON.stringify([FOREIGN]) })
  expect(read.issuers?.all).toMatchObject([{ issuer: 'https://idp.example', maxAgeS: 3600, principal: 'user' }])
  expect(describeConfig(read)).not.toContain('canary')
  const wrong = JSON.stringify([{ ...FOREIGN, hashKey: 'canary', extra: 1 }])
  expect(() => load({ ISSUERS: wrong })).toThrow(/issuer 1/)
  expect(() => load({ ISSUERS: wrong })).not.toThrow(/canary/)
})

test.each<[string, Record<string, string>, RegExp]>([
  ['no routes', { ROUTES: '' }, /ROUTES: missing/],
  [
    'a route at fault',
    { ROUTES: JSON.stringify([{ ...ROUTES[0], scopes: [''] }]) },
    /ROUTES: route "x": scopes\[0\]: /,
  ],
  [
    'a question nobody answers',
    { ROUTES: JSON.stringify([{ ...ROUTES[0], introspect: true }]) },
    /"x": introspect: needs INTROSPECTION_CLIENT/,
  ],
  [
    'an exchange nobody does',
    { ROUTES: JSON.stringify([{ ...ROUTES[0], forward: 'access-token' }]) },
    /"x": forward: needs INTROSPECTION_CLIENT/,
  ],
  ['no domain', { ISSUER: '' }, /TRUST_DOMAIN: missing/],
  ['a client without its secret', { INTROSPECTION_CLIENT: 'g' }, /INTROSPECTION_SECRET/],
  ['no log', { LOG_PATH: '' }, /LOG_PATH/],
])('%s is refused', (_name, more, line) => {
  expect(() => load(more)).toThrow(line)
})

test('with a client, tokens are asked about and exchanged', () => {
  const routes = JSON.stringify([{ ...ROUTES[0], introspect: true, forward: 'access-token' }])
  expect(load({ ROUTES: routes, INTROSPECTION_CLIENT: 'g', INTROSPECTION_SECRET: 's' }).trustDomain).toBeUndefined()
})
