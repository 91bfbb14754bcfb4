import { generateKeyPairSync } from 'node:crypto'
import { loadConfig } from '@countersign/kernel'
import { expect, test } from 'vitest'
import { config } from './config.ts'

const BASE = {
  ROOT_KEY: Buffer.alloc(32, 1).toString('base64'),
  ENVELOPE_KEY: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  IDENTITY_URL: 'http://127.0.0.1:1',
  IDENTITY_SECRET: 'a secret',
  LOG_PATH: 'log.db',
}
const load = (more: Record<string, string> = {}) =>
  loadConfig(
    config,
    Object.fromEntries(Object.entries({ ...BASE, ...more }).map(([name, value]) => [`COUNTERSIGN_${name}`, value])),
  )

test('without an issuer no access tokens are taken', () => {
  expect(load()).toMatchObject({ audience: 'api' })
  expect(load().issuer).toBeUndefined()
})

test('only who stands alone needs a secret of identity', () => {
  const { IDENTITY_SECRET: _, ...alone } = BASE
  const behind = { ...alone, CREDENTIALS: 'gateway', TRUST_DOMAIN: 'countersign.example' }
  const read = (values: Record<string, string>) =>
    loadConfig(
      config,
      Object.fromEntries(Object.entries(values).map(([name, value]) => [`COUNTERSIGN_${name}`, value])),
    )
  expect(read(behind)).toMatchObject({ credentials: 'gateway' })
  expect(() => read(alone)).toThrow('IDENTITY_SECRET')
})

test.each<[string, Record<string, string>, string]>([
  ['a client without its secret', { ISSUER: 'https://i', INTROSPECTION_CLIENT: 'api' }, 'INTROSPECTION_SECRET'],
  ['a secret without its client', { ISSUER: 'https://i', INTROSPECTION_SECRET: 's' }, 'INTROSPECTION_SECRET'],
  ['standing behind a gateway of no trust domain', { CREDENTIALS: 'gateway' }, 'TRUST_DOMAIN'],
  [
    'asking about what is not taken',
    {
      CREDENTIALS: 'gateway',
      TRUST_DOMAIN: 'd',
      ISSUER: 'https://i',
      INTROSPECTION_CLIENT: 'a',
      INTROSPECTION_SECRET: 's',
    },
    'INTROSPECTION_CLIENT',
  ],
  ['a client without an issuer', { INTROSPECTION_CLIENT: 'api', INTROSPECTION_SECRET: 's' }, 'ISSUER'],
])('%s is refused', (_name, more, key) => {
  expect(() => load(more)).toThrow(key)
})

test('each sender of webhooks has its scheme; without one it is Standard Webhooks', () => {
  const secrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']
  const given = {
    ledger: { tenant: 'acme', secrets },
    till: { tenant: 'acme', scheme: 'stripe', secrets },
    forge: { tenant: 'acme', scheme: 'github', secrets: ['any text of twenty characters'] },
  }
  const { webhooks } = load({ WEBHOOKS: JSON.stringify(given) })
  expect([...(webhooks?.byProvider ?? [])].map(([name, { scheme }]) => [name, scheme])).toEqual([
    ['ledger', 'standard'],
    ['till', 'stripe'],
    ['forge', 'github'],
  ])
  expect(`${webhooks}`).not.toContain('whsec_')
})

test.each<[string, object]>([
  ['a scheme there is not', { tenant: 'acme', scheme: 'gitlab', secrets: ['any text of twenty characters'] }],
  ['a secret of another scheme', { tenant: 'acme', scheme: 'stripe', secrets: ['any text of twenty characters'] }],
  ['a secret that can be guessed', { tenant: 'acme', scheme: 'github', secrets: ['short'] }],
  ['no secret', { tenant: 'acme', secrets: [] }],
])('webhooks with %s are refused', (_name, sender) => {
  expect(() => load({ WEBHOOKS: JSON.stringify({ sender }) })).toThrow('WEBHOOKS: must be JSON')
})
