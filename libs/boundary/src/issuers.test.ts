import { generateKeyPairSync, sign } from 'node:crypto'
import { Secret } from '@countersign/kernel'
import { describe, expect, test } from 'vitest'
import type { ForeignIssuerConfig } from './issuers.ts'
import { NOW, requestOf, stand } from './testing.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const S = NOW / 1000
const CONFIG: ForeignIssuerConfig = {
  issuer: 'https://issuer.example',
  audience: 'api',
  algorithms: ['EdDSA'],
  typ: 'at+jwt',
  maxAgeS: 100_000,
  keys: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1' }] },
  tenant: { claim: 'tenant', allowed: ['acme', 'globex'] },
  allowedScopes: ['invoices:read', 'invoices:export'],
  identifiers: { hashKey: new Secret('a key that is not in any repository') },
}
const CLAIMS = {
  iss: CONFIG.issuer,
  sub: 'foreign-canary-user',
  aud: 'api',
  iat: S,
  exp: S + 600,
  tenant: 'acme',
  scope: 'invoices:export admin',
  sid: 'foreign-canary-sid',
  jti: 'foreign-canary-jti',
  client_id: 'foreign-canary-client',
  auth_time: S - 60,
  acr: 'mfa',
  amr: ['pwd', 'otp'],
}

function token(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part({ alg: 'EdDSA', kid: 'k1', typ: 'at+jwt' })}.${part(claims)}`
  return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`
}
const admit = (
  claims: object,
  config: Partial<ForeignIssuerConfig> = {},
  f = stand({ issuers: [{ ...CONFIG, ...config }] }),
) => f.boundary.admit(requestOf([['Authorization', `Bearer ${token(claims)}`]]))
const codeOf = async (
  claims: object,
  config: Partial<ForeignIssuerConfig> = {},
  f = stand({ issuers: [{ ...CONFIG, ...config }] }),
) => {
  const admission = await admit(claims, config, f)
  return admission.ok ? 'ok' : admission.code
}

test.each([S + 6, S * 1000, 1e300, -1, '1'])(
  'nobody authenticated at %s, after the token was issued or never',
  async (auth_time) => {
    const admission = await admit({ ...CLAIMS, auth_time })
    expect(admission).toMatchObject({ ok: true, identity: { authTime: null } })
  },
)

test('a token becomes an identity under its issuer’s rules', async () => {
  const admission = await admit(CLAIMS)
  const version = NOW - 5000
  expect(admission).toMatchObject({
    ok: true,
    identity: {
      tenant: 'acme',
      principal: 'user',
      credential: 'jwt',
      scopes: ['invoices:export'],
      scopeVersion: version,
      expiresAt: NOW + 600_000,
      authTime: NOW - 60_000,
      acr: 'mfa',
      amr: ['pwd', 'otp'],
      position: null,
    },
  })
  if (!admission.ok) return
  const { targets } = admission.identity
  expect(targets.map((t) => t.kind)).toEqual([
    'tenant',
    'subject',
    'affiliation',
    'client',
    'session',
    'token',
    'transaction',
  ])
  for (const target of targets.slice(0, -1)) expect(target.version).toBe(version)
})

test('foreign ids travel as hashes, apart by issuer, kind and key', async () => {
  const subOf = async (claims: object, config: Partial<ForeignIssuerConfig> = {}) => {
    const admission = await admit(claims, config)
    expect(JSON.stringify(admission)).not.toContain('foreign-canary')
    return admission.ok ? admission.identity.sub : admission.code
  }
  const sub = await subOf(CLAIMS)
  expect(sub).toMatch(/^x_[\w-]{22}$/)
  expect(await subOf(CLAIMS)).toBe(sub)
  expect(await subOf({ ...CLAIMS, iss: 'https://two.example' }, { issuer: 'https://two.example' })).not.toBe(sub)
  expect(await subOf(CLAIMS, { identifiers: { hashKey: new Secret('another key') } })).not.toBe(sub)
  const same = await admit({ ...CLAIMS, sid: CLAIMS.sub })
  expect(same.ok && same.identity.session).not.toBe(sub)
})

describe('refused', () => {
  test.each<[string, object, Partial<ForeignIssuerConfig>, string]>([
    ['an issuer nobody configured', { ...CLAIMS, iss: 'https://other.example' }, {}, 'credential_invalid'],
    ['a tenant it may not speak for', { ...CLAIMS, tenant: 'initech' }, {}, 'credential_invalid'],
    ['no tenant', { ...CLAIMS, tenant: undefined }, {}, 'credential_invalid'],
    [
      'a tenant by prototype',
      { ...CLAIMS, tenant: undefined },
      { tenant: { claim: 'constructor', allowed: ['acme'] } },
      'credential_invalid',
    ],
    ['a subject with half a character', { ...CLAIMS, sub: 'user-\ud800' }, {}, 'credential_invalid'],
    ['expired', { ...CLAIMS, iat: S - 700, exp: S - 100 }, {}, 'credential_expired'],
    [
      'five actors',
      { ...CLAIMS, act: { sub: '1', act: { sub: '2', act: { sub: '3', act: { sub: '4', act: { sub: '5' } } } } } },
      {},
      'credential_invalid',
    ],
    ['an actor without name', { ...CLAIMS, act: {} }, {}, 'credential_invalid'],
    ['older than the window', { ...CLAIMS, iat: S - 43_200, exp: S + 600 }, {}, 'credential_too_old'],
    ['one second younger', { ...CLAIMS, iat: S - 43_199, exp: S + 600 }, {}, 'ok'],
    ['one tenant for all', { ...CLAIMS, tenant: undefined }, { tenant: 'globex' }, 'ok'],
  ])('%s', async (_name, claims, config, expected) => {
    expect(await codeOf(claims, config)).toBe(expected)
  })

  test('a self-contained credential needs a fresh view', async () => {
    const f = stand({ issuers: [CONFIG] })
    f.view.fresh = false
    expect(await codeOf(CLAIMS, {}, f)).toBe('view_not_fresh')
  })

  test('a floor raised after it was issued hits it, one before that second began does not', async () => {
    const seen = await admit(CLAIMS)
    if (!seen.ok) throw new Error(seen.code)
    const targets = seen.identity.targets.filter((target) => target.kind !== 'transaction')
    expect(targets).toHaveLength(6)
    for (const target of targets) {
      const f = stand({ issuers: [CONFIG] })
      f.view.raise(target, 'reason:suspension', NOW - 5000)
      expect(await codeOf(CLAIMS, {}, f)).toBe('ok')
      f.view.raise(target, 'reason:suspension', NOW)
      expect(await codeOf(CLAIMS, {}, f)).toBe('credential_revoked')
    }
  })

  test('whoever acts must not have been ended either', async () => {
    const claims = { ...CLAIMS, act: { sub: 'agent', act: { sub: 'first' } } }
    const seen = await admit(claims)
    if (!seen.ok) throw new Error(seen.code)
    const { act } = seen.identity
    expect(act).toHaveLength(2)
    for (const { sub } of act) {
      const f = stand({ issuers: [CONFIG] })
      f.view.raise({ kind: 'subject', tenant: '', id: sub }, 'reason:compromise', NOW)
      expect(await codeOf(claims, {}, f)).toBe('credential_revoked')
    }
  })
})
