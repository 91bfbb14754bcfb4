import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { OwnIssuerConfig } from './issuers.ts'
import { NOW, OWN_CLAIMS, requestOf, stand } from './testing.ts'

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const CONFIG: OwnIssuerConfig = {
  issuer: OWN_CLAIMS.iss,
  audience: 'api',
  algorithms: ['ES256'],
  typ: 'at+jwt',
  maxAgeS: 600,
  keys: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1' }] },
  identifiers: 'own',
}

function token(claims: object, header: object = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part({ alg: 'ES256', kid: 'k1', typ: 'at+jwt', ...header })}.${part(claims)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
const admit = (claims: object, f = stand({ issuers: [CONFIG] }), header: object = {}) =>
  f.boundary.admit(requestOf([['Authorization', `Bearer ${token(claims, header)}`]]))
const codeOf = async (...args: Parameters<typeof admit>) => {
  const admission = await admit(...args)
  return admission.ok ? 'ok' : admission.code
}
const { targets } = OWN_CLAIMS
const without = (kind: string) => ({ ...OWN_CLAIMS, targets: targets.filter((target) => target[0] !== kind) })
const withTarget = (...target: unknown[]) => ({ ...OWN_CLAIMS, targets: [...targets, target] })

test('a token of our own names its targets with the versions they were made under', async () => {
  const admission = await admit(OWN_CLAIMS)
  expect(admission).toMatchObject({
    ok: true,
    identity: {
      sub: 'u_1',
      tenant: 'acme',
      principal: 'user',
      act: [],
      credential: 'jwt',
      scopes: ['invoices:export', 'invoices:read'],
      scopeVersion: NOW - 50_000,
      session: 'fam_1',
      client: 'spa',
      device: 'dev_1',
      authTime: NOW - 60_000,
      acr: 'pwd',
      amr: ['pwd'],
      position: null,
      expiresAt: NOW + 300_000,
    },
  })
  if (!admission.ok) return
  const of = admission.identity.targets.map((t) => [t.kind, t.tenant, t.id, t.version])
  // Then the key that signed it, and the transaction that begins here.
  expect(of.slice(0, -2)).toEqual(targets)
  expect(of.at(-2)).toEqual(['client', '', expect.stringMatching(/^key:./), 0])
})

test.each(targets.map((target) => [target[0], target] as const))(
  'a floor of its %s hits it above the version it names, however young the token is',
  async (_kind, [kind, tenant, id, version]) => {
    const f = stand({ issuers: [CONFIG] })
    f.view.raise({ kind, tenant, id }, 'reason:logout', version)
    expect(await codeOf(OWN_CLAIMS, f)).toBe('ok')
    f.view.raise({ kind, tenant, id }, 'reason:logout', version + 1)
    expect(await codeOf(OWN_CLAIMS, f)).toBe('credential_revoked')
  },
)

test('a floor of the key that signed it hits it, whatever times it says', async () => {
  const f = stand({ issuers: [CONFIG] })
  const admission = await admit(OWN_CLAIMS, f)
  const signer = admission.ok ? admission.identity.targets.at(-2) : undefined
  f.view.raise(signer as NonNullable<typeof signer>, 'reason:compromise', NOW - 3_600_000)
  expect(await codeOf(OWN_CLAIMS, f)).toBe('credential_revoked')
})

test('a token that does not name its key is refused: nothing would end it with that key', async () => {
  const f = stand({ issuers: [CONFIG] })
  expect(await codeOf(OWN_CLAIMS, f)).toBe('ok')
  expect(await codeOf(OWN_CLAIMS, f, { kid: undefined })).toBe('credential_invalid')
})

test('a token exchanged within a transaction goes on with it, and ends with it', async () => {
  const f = stand({ issuers: [CONFIG] })
  const claims = withTarget('transaction', '', 'txn_1', NOW - 1_000)
  const admission = await admit(claims, f)
  expect(admission).toMatchObject({ ok: true, identity: { txn: 'txn_1', correlationId: 'txn_1' } })
  if (!admission.ok) return
  expect(admission.identity.targets).toHaveLength(claims.targets.length + 1)
  f.view.raise({ kind: 'transaction', tenant: '', id: 'txn_1' }, 'reason:admin', NOW)
  expect(await codeOf(claims, f)).toBe('credential_revoked')
})

test('a scope taken away after they were computed is taken off', async () => {
  const f = stand({ issuers: [CONFIG] })
  f.view.raise({ kind: 'affiliation', tenant: 'acme', id: 'u_1' }, 'scope:invoices:export', NOW - 49_999)
  expect(await admit(OWN_CLAIMS, f)).toMatchObject({ identity: { scopes: ['invoices:read'] } })
})

test('who acts for another is named, current actor first, and their targets are among those of the token', async () => {
  const claims = {
    ...withTarget('subject', '', 'u_admin', NOW - 70_000),
    act: { sub: 'u_admin', principal: 'user', act: { sub: 'u_1', principal: 'user' } },
  }
  expect(await admit(claims)).toMatchObject({
    identity: {
      act: [
        { sub: 'u_admin', principal: 'user' },
        { sub: 'u_1', principal: 'user' },
      ],
    },
  })
  const f = stand({ issuers: [CONFIG] })
  f.view.raise({ kind: 'subject', tenant: '', id: 'u_admin' }, 'reason:suspension', NOW)
  expect(await codeOf(claims, f)).toBe('credential_revoked')
})

test('a service is not a person, and needs no session', async () => {
  const { sid: _, device: __, auth_time: ___, amr: ____, acr: _____, ...rest } = without('family')
  const claims = { ...rest, principal: 'service', scope: '' }
  expect(await admit(claims)).toMatchObject({ identity: { principal: 'service', session: null, scopes: [], amr: [] } })
})

describe('refused', () => {
  const required = ['sub', 'tenant', 'principal', 'client_id', 'jti', 'scope', 'scope_version', 'targets'] as const
  test.each(required)('without %s', async (name) => {
    expect(await codeOf({ ...OWN_CLAIMS, [name]: undefined })).toBe('credential_invalid')
    expect(await codeOf({ ...OWN_CLAIMS, [name]: null })).toBe('credential_invalid')
  })

  test.each(['tenant', 'subject', 'affiliation', 'client', 'family', 'token', 'device'])(
    'without the target of its %s',
    async (kind) => {
      expect(await codeOf(without(kind))).toBe('credential_invalid')
    },
  )

  test.each<[string, object]>([
    ['another tenant than its targets', { ...OWN_CLAIMS, tenant: 'globex' }],
    ['another subject', { ...OWN_CLAIMS, sub: 'u_2' }],
    ['another session', { ...OWN_CLAIMS, sid: 'fam_2' }],
    ['another device', { ...OWN_CLAIMS, device: 'dev_2' }],
    ['another client', { ...OWN_CLAIMS, client_id: 'cli' }],
    ['another id', { ...OWN_CLAIMS, jti: 'tok_2' }],
    ['a principal no token may have', { ...OWN_CLAIMS, principal: 'webhook' }],
    ['an unknown kind', withTarget('planet', '', 'x', 1)],
    ['a kind by prototype', withTarget('constructor', '', 'x', 1)],
    ['a subject with a tenant', withTarget('subject', 'acme', 'u_1', 1)],
    ['a broken character', withTarget('subject', '', '\ud800', 1)],
    ['a target of three parts', withTarget('subject', '', 'u_3')],
    ['a target of five', withTarget('subject', '', 'u_3', 1, 1)],
    ['a target that is an object', { ...OWN_CLAIMS, targets: [...targets, { kind: 'subject' }] }],
    ['targets that are an object', { ...OWN_CLAIMS, targets: {} }],
    ...[-1, 1.5, 2 ** 53, '1', null, true].map((version): [string, object] => [
      `version ${version}`,
      withTarget('subject', '', 'u_3', version),
    ]),
    ['33 targets', { ...OWN_CLAIMS, targets: [...targets, ...Array(26).fill(targets[0])] }],
    ['a scope version that is text', { ...OWN_CLAIMS, scope_version: '1' }],
    ['scopes apart by two blanks', { ...OWN_CLAIMS, scope: 'a  b' }],
    ['scopes in a list', { ...OWN_CLAIMS, scope: ['a'] }],
    ['an actor nobody ends', { ...OWN_CLAIMS, act: { sub: 'u_9', principal: 'user' } }],
    ['an actor without principal', { ...OWN_CLAIMS, act: { sub: 'u_1' } }],
    [
      'five actors',
      {
        ...OWN_CLAIMS,
        act: [1, 2, 3, 4, 5].reduce<object | undefined>((act) => ({ sub: 'u_1', principal: 'user', act }), undefined),
      },
    ],
    ['a position: nobody was asked', { ...OWN_CLAIMS, position: { log_id: 'log-1', offset: 99 } }],
  ])('%s', async (_name, claims) => {
    expect(await codeOf(claims)).toBe('credential_invalid')
  })

  test('32 targets are taken', async () => {
    expect(await codeOf({ ...OWN_CLAIMS, targets: [...targets, ...Array(25).fill(targets[0])] })).toBe('ok')
  })

  test('CVE-2026-37979: a token for another audience, though ours in all else', async () => {
    expect(await codeOf({ ...OWN_CLAIMS, aud: 'other' })).toBe('credential_invalid')
    expect(await codeOf({ ...OWN_CLAIMS, aud: ['other', 'api'] })).toBe('ok')
  })

  test.each(['JWT', 'id+jwt', 'logout+jwt', 'secevent+jwt', 'token-introspection+jwt', undefined])(
    'another type of token by the same key: %s',
    async (typ) => {
      expect(await codeOf(OWN_CLAIMS, stand({ issuers: [CONFIG] }), { typ })).toBe('credential_invalid')
    },
  )

  test('older than it may be, or with a view that is not fresh', async () => {
    const { iat } = OWN_CLAIMS
    expect(await codeOf({ ...OWN_CLAIMS, iat: iat - 606 })).toBe('credential_invalid')
    const f = stand({ issuers: [CONFIG] })
    f.view.fresh = false
    expect(await codeOf(OWN_CLAIMS, f)).toBe('view_not_fresh')
  })
})
