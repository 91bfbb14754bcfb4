import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { FakeClock } from '@countersign/kernel/testing'
import { exportJWK, SignJWT } from 'jose'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ALGORITHMS, type Algorithm } from './algorithms.ts'
import { ClientAssertions, clientKeyFault } from './client-assertion.ts'

const ISSUER = 'https://id.example'
const TOKEN_ENDPOINT = 'https://id.example/token'
const clock = new FakeClock()
const now = Math.floor(clock.now() / 1000)

const pairs = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  small: generateKeyPairSync('rsa', { modulusLength: 1024 }),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ec384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ed: generateKeyPairSync('ed25519'),
}
type PairName = keyof typeof pairs
let jwks: Record<PairName, Record<string, unknown>>
beforeAll(async () => {
  const entries = Object.entries(pairs).map(async ([kid, pair]) => [kid, { ...(await exportJWK(pair.publicKey)), kid }])
  jwks = Object.fromEntries(await Promise.all(entries))
})

const CLAIMS = { iss: 'app', sub: 'app', aud: ISSUER, iat: now, exp: now + 60, jti: 'j1' }
const assertions = () => new ClientAssertions({ audiences: [ISSUER, TOKEN_ENDPOINT], clock })
const client = (...keys: object[]) => ({ id: 'app', jwks: JSON.stringify({ keys }) })

async function signed(claims: object, header: object = {}, key: KeyObject = pairs.ec.privateKey): Promise<string> {
  return new SignJWT(claims as never).setProtectedHeader({ alg: 'ES256', kid: 'ec', ...header } as never).sign(key)
}

function forged(header: object, signature: (input: string) => Buffer, claims: object = CLAIMS): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part(header)}.${part(claims)}`
  return `${input}.${signature(input).toString('base64url')}`
}

async function code(assertion: string, ...keys: object[]): Promise<string> {
  const result = await assertions().verify(assertion, client(...keys))
  return result.ok ? 'ok' : result.code
}

test('an assertion of the client is accepted, and names what to take once', async () => {
  const result = await assertions().verify(await signed(CLAIMS), client(jwks.ec))
  expect(result).toEqual({
    ok: true,
    onceKey: expect.stringMatching(/^client_assertion:[\w-]{43}$/),
    expiresAt: (now + 65) * 1000,
  })
  expect(assertions().clientOf(await signed(CLAIMS))).toBe('app')
})

test('CVE-2020-5300 CVE-2020-15222: what is taken once differs by client and jti, however they are cut', async () => {
  const keyOf = async (id: string, jti: string): Promise<string> => {
    const assertion = await signed({ ...CLAIMS, iss: id, sub: id, jti })
    const result = await assertions().verify(assertion, { ...client(jwks.ec), id })
    return result.ok ? result.onceKey : result.code
  }
  const pairs = [
    ['app', 'j1'],
    ['app', 'j2'],
    ['appj', '1'],
    ['ap', 'pj1'],
    ['app:', 'j1'],
    ['1:a', 'b'],
    ['1', ':ab'],
  ] as const
  const keys = await Promise.all(pairs.map(([id, jti]) => keyOf(id, jti)))
  expect(new Set(keys).size).toBe(pairs.length)
  expect(await keyOf('app', 'j1')).toBe(keys[0])
})

describe('CVE-2022-23539 CVE-2022-23540 CVE-2022-23541: the keys of the client say with which algorithm', () => {
  const home: Record<Algorithm, PairName> = { RS256: 'rsa', PS256: 'rsa', ES256: 'ec', EdDSA: 'ed', Ed25519: 'ed' }
  const signers = [
    ...ALGORITHMS.map((alg) => [alg, home[alg]] as const),
    ...(['RS384', 'RS512', 'PS384', 'PS512'] as const).map((alg) => [alg, 'rsa'] as const),
    ['ES384', 'ec384'] as const,
  ]

  test.each(Object.keys(pairs) as PairName[])('key %s', async (published) => {
    const secret = pairs[published].publicKey.export({ type: 'spki', format: 'pem' }) as string
    for (const alg of [...ALGORITHMS, undefined]) {
      const key = { ...jwks[published], ...(alg && { alg }) }
      for (const [by, pair] of signers) {
        const verdict = await code(await signed(CLAIMS, { alg: by, kid: published }, pairs[pair].privateKey), key)
        const edwards = pair === 'ed' && alg === undefined
        const fits = by in home && home[by as Algorithm] === published
        const passes = fits && (alg === by || edwards || (alg === undefined && by !== 'PS256'))
        expect([alg, by, verdict === 'ok']).toEqual([alg, by, passes])
      }
      for (const hash of ['256', '384', '512']) {
        for (const dressed of [
          secret,
          ` ${secret}`,
          `\uFEFF${secret}`,
          secret.replaceAll('\n', '\r\n'),
          secret.trim(),
        ]) {
          const hmac = forged({ alg: `HS${hash}`, kid: published }, (i) =>
            createHmac(`sha${hash}`, dressed).update(i).digest(),
          )
          expect(await code(hmac, key)).toBe('token_algorithm_refused')
        }
      }
      expect(
        await code(
          forged({ alg: 'none', kid: published }, () => Buffer.from('x')),
          key,
        ),
      ).toBe('token_algorithm_refused')
    }
  })

  test('a client secret is no key, and a key set that is none verifies nothing', async () => {
    expect(await code(await signed(CLAIMS), { kty: 'oct', k: 'AAAA', kid: 'ec' })).toBe('token_key_unknown')
    for (const jwks of ['', '{', '[]', '{"keys":{}}', '{"keys":[7]}', 'null']) {
      const result = await assertions().verify(await signed(CLAIMS), { id: 'app', jwks })
      expect(result).toEqual({ ok: false, code: 'token_key_unknown' })
    }
  })
})

describe('GHSA-869p-cjfg-cm3x CVE-2018-0114 CVE-2026-35042: nothing an assertion names is followed', () => {
  test.each(['crit', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'b64', 'zip', 'enc', 'cty'])('%s', async (name) => {
    const fetched = vi.spyOn(globalThis, 'fetch')
    const value = name === 'jwk' ? jwks.ec : name === 'crit' ? ['x'] : 'http://127.0.0.1:9/'
    const token = forged({ alg: 'ES256', kid: 'ec', x: 1, [name]: value }, (input) =>
      sign('sha256', Buffer.from(input), { key: pairs.ec.privateKey, dsaEncoding: 'ieee-p1363' }),
    )
    expect(await code(token, jwks.ec)).toBe('token_header_refused')
    expect(assertions().clientOf(token)).toBe(null)
    expect(fetched).not.toHaveBeenCalled()
    fetched.mockRestore()
  })

  test.each(['../../etc/passwd', 'http://169.254.169.254/', 'ec\0', '', '__proto__', 7, null, 'k'.repeat(65_536)])(
    'kid %j',
    async (kid) => {
      const token = forged({ alg: 'ES256', kid }, () => Buffer.alloc(64))
      expect(await code(token, jwks.ec)).toMatch(/^token_(key_unknown|header_refused|oversize)$/)
    },
  )
})

test('tokens of other kinds are no assertions', async () => {
  for (const typ of ['at+jwt', 'logout+jwt', 'secevent+jwt', 'dpop+jwt', 'txntoken+jwt', 'id_token', '', 7, null]) {
    const token = forged({ alg: 'ES256', kid: 'ec', typ }, () => Buffer.alloc(64))
    expect(await code(token, jwks.ec)).toBe('token_type_mismatch')
  }
  for (const typ of ['JWT', 'client-authentication+jwt', undefined])
    expect(await code(await signed(CLAIMS, { typ }), jwks.ec)).toBe('ok')
})

describe('claims', () => {
  test('GHSA-wxg7-w2v3-w38g: each is needed, singly and in pairs', async () => {
    const needed = ['iss', 'sub', 'aud', 'exp', 'jti'] as const
    for (const a of needed) {
      for (const b of needed) {
        const claims: Record<string, unknown> = { ...CLAIMS }
        delete claims[a]
        delete claims[b]
        expect(await code(await signed(claims), jwks.ec)).toBe('token_claim_missing')
      }
    }
  })

  test.each([
    ['another client as issuer', { iss: 'other' }, 'token_issuer_mismatch'],
    ['another client as subject', { sub: 'other' }, 'token_issuer_mismatch'],
    ['another client as both', { iss: 'other', sub: 'other' }, 'token_issuer_mismatch'],
    ['our token endpoint', { aud: TOKEN_ENDPOINT }, 'ok'],
    ['a list of one', { aud: [ISSUER] }, 'ok'],
    ['both our names', { aud: [ISSUER, TOKEN_ENDPOINT] }, 'ok'],
    ['another server', { aud: 'https://other.example' }, 'token_audience_mismatch'],
    ['another server too (CVE-2025-27370)', { aud: [ISSUER, 'https://other.example'] }, 'token_audience_mismatch'],
    ['almost us', { aud: `${ISSUER}/` }, 'token_audience_mismatch'],
    ['no audience', { aud: [] }, 'token_claim_missing'],
    ['an audience in a list in a list', { aud: [[ISSUER]] }, 'token_claim_missing'],
    ['expired', { exp: now - 6 }, 'token_expired'],
    ['expired within the skew', { exp: now - 4 }, 'ok'],
    ['five minutes', { exp: now + 305 }, 'ok'],
    ['more than five minutes', { exp: now + 306 }, 'token_lives_too_long'],
    ['no end', { exp: 1e12 }, 'token_claim_missing'],
    ['exp as text', { exp: String(now + 60) }, 'token_claim_missing'],
    ['made in the future', { iat: now + 6 }, 'token_not_yet_valid'],
    ['not before the future', { nbf: now + 6 }, 'token_not_yet_valid'],
    ['iat as text', { iat: 'now' }, 'token_claim_missing'],
    ['without iat', { iat: undefined }, 'ok'],
    ['empty jti', { jti: '' }, 'token_claim_missing'],
    ['jti as number', { jti: 7 }, 'token_claim_missing'],
    ['jti of 1025 characters', { jti: 'j'.repeat(1025) }, 'token_claim_missing'],
  ])('%s', async (_name, change, expected) => {
    expect(await code(await signed({ ...CLAIMS, ...change }), jwks.ec)).toBe(expected)
  })
})

test('CVE-2026-27840: an assertion cut or changed at any byte is refused', async () => {
  const assertion = await signed(CLAIMS)
  for (let i = 0; i < assertion.length; i++) {
    const other = assertion[i] === 'A' ? 'B' : 'A'
    for (const bad of [assertion.slice(0, i), `${assertion.slice(0, i)}${other}${assertion.slice(i + 1)}`])
      expect(await code(bad, jwks.ec)).not.toBe('ok')
  }
})

test('the client named is only a name: none for anything that is no assertion', async () => {
  const subject = assertions()
  for (const text of ['', 'a.b.c', 'rt_x', `${'A'.repeat(8190)}.A.A`, await signed({ ...CLAIMS, sub: 7 })])
    expect(subject.clientOf(text)).toBe(null)
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  expect(subject.clientOf(await signed(CLAIMS, {}, stranger))).toBe('app')
  expect(await code(await signed(CLAIMS, {}, stranger), jwks.ec)).toBe('token_signature_invalid')
})

test('changed keys of a client count at once, and as many clients as there are', async () => {
  const subject = assertions()
  const assertion = await signed(CLAIMS)
  expect((await subject.verify(assertion, client(jwks.ec))).ok).toBe(true)
  expect((await subject.verify(assertion, client(jwks.ed))).ok).toBe(false)
  for (let i = 0; i < 600; i++) await subject.verify(assertion, { id: 'app', jwks: `{"keys":[],"n":${i}}` })
  expect((await subject.verify(assertion, client(jwks.ec))).ok).toBe(true)
})

test('keys a client may not have are named at registration', () => {
  const fault = (...keys: unknown[]) => clientKeyFault(JSON.stringify({ keys }))
  expect(fault(jwks.ec)).toBe(null)
  expect(fault(jwks.ec, jwks.rsa, jwks.ed)).toBe(null)
  expect(fault({ ...jwks.rsa, alg: 'PS256' })).toBe(null)
  expect(fault()).toBe('keys_empty')
  for (const text of ['', 'null', '{}', '{"keys":{}}', '{"keys":[1]}', '{"keys":[[]]}'])
    expect(clientKeyFault(text)).toBe('keys_malformed')
  expect(fault(...Array(11).fill(jwks.ec))).toBe('keys_malformed')
  expect(fault({ ...jwks.ec, d: 'AAAA' })).toBe('key_private')
  expect(fault({ kty: 'oct', k: 'AAAA' })).toBe('key_private')
  for (const bad of [
    jwks.small,
    jwks.ec384,
    { ...jwks.ec, use: 'enc' },
    { ...jwks.ec, alg: 'HS256' },
    { ...jwks.ec, x: 'AA' },
    { ...jwks.ec, kid: 7 },
  ])
    expect(fault(bad)).toBe('key_unusable')
  expect(fault(jwks.ec, jwks.ec)).toBe('key_ids_ambiguous')
  expect(fault(jwks.ec, { ...jwks.ed, kid: undefined })).toBe('key_ids_ambiguous')
})

test.each([
  ['no audience', { audiences: [] }],
  ['an empty audience', { audiences: [''] }],
  ['no life', { longestS: 0 }],
  ['a day', { longestS: 86_400 }],
  ['an hour of skew', { skewS: 3600 }],
])('%s is refused', (_name, change) => {
  expect(() => new ClientAssertions({ audiences: [ISSUER], clock, ...change })).toThrow(
    expect.objectContaining({ code: 'TOKENS_OPTIONS_INVALID' }),
  )
})
