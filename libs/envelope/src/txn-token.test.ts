import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import type { KeyGrant } from '@countersign/schemas'
import { describe, expect, test } from 'vitest'
import { ed25519Key } from './keys.ts'
import { NOW, type TestAuthority, testAuthority } from './testing.ts'
import { openTxnToken, sealTxnToken, type TxnTokenClaims, type TxnTokenContext } from './txn-token.ts'

const S = NOW / 1000
const CLAIMS: TxnTokenClaims = { aud: 'services.example', iat: S, exp: S + 60, tenant: 'acme', sub: 'u_1', txn: 't_1' }
const HEADER = { alg: 'EdDSA', typ: 'txntoken+jwt', kid: 'env-1' }
const authority = testAuthority()
const { envelope } = authority.keys

const contextOf = ({ ring }: TestAuthority, over: Partial<TxnTokenContext> = {}): TxnTokenContext => ({
  ring,
  now: NOW,
  epsilonMs: 250,
  trustDomain: 'services.example',
  ...over,
})
const open = (text: string, over: Partial<TxnTokenContext> = {}, of = authority): string => {
  const result = openTxnToken(text, contextOf(of, over))
  return result.ok ? 'ok' : result.code
}
const part = (what: string | Buffer | object): string =>
  (Buffer.isBuffer(what) ? what : Buffer.from(typeof what === 'string' ? what : JSON.stringify(what))).toString(
    'base64url',
  )
/** Signed by whatever key, whatever it says. */
const signed = (header: string | object, claims: string | object, key = envelope): string => {
  const input = `${part(header)}.${part(claims)}`
  return `${input}.${key.sign(Buffer.from(input)).toString('base64url')}`
}
const granted = (over: Partial<KeyGrant>): TestAuthority =>
  testAuthority(1, (grant) => (grant.key_id === 'env-1' ? { ...grant, ...over } : grant))

describe('a transaction token', () => {
  test('opens to its claims, under the key that sealed it', () => {
    expect(openTxnToken(sealTxnToken(CLAIMS, envelope), contextOf(authority))).toEqual({
      ok: true,
      claims: CLAIMS,
      keyId: 'env-1',
      key: authority.ring.key('env-1'),
    })
  })

  test('is compact JWS with exactly three header members, to the character', () => {
    expect(sealTxnToken(CLAIMS, envelope)).toBe(signed(HEADER, CLAIMS))
  })

  test.each<[string, Partial<TxnTokenClaims>]>([
    ['an issuer', { iss: 'https://identity.example' }],
    ['no audience', { aud: '' }],
    ['no tenant', { tenant: '' }],
    ['no life', { exp: S }],
    ['more than five minutes', { exp: S + 301 }],
    ['a time in fractions', { iat: S - 0.5 }],
  ])('with %s is not sealed', (_, over) => {
    expect(() => sealTxnToken({ ...CLAIMS, ...over }, envelope)).toThrowError(
      expect.objectContaining({ code: 'ENVELOPE_CLAIMS_INVALID' }),
    )
  })

  test('of more than 8192 characters is neither sealed nor looked at', () => {
    const room = 8192 - sealTxnToken({ ...CLAIMS, more: '' }, envelope).length
    const fitting = sealTxnToken({ ...CLAIMS, more: 'x'.repeat(Math.floor((room * 3) / 4)) }, envelope)
    expect([fitting.length <= 8192, open(fitting)]).toEqual([true, 'ok'])
    const long = { ...CLAIMS, more: 'x'.repeat(room) }
    expect(() => sealTxnToken(long, envelope)).toThrowError(expect.objectContaining({ code: 'ENVELOPE_SEAL_OVERSIZE' }))
    expect(open(signed(HEADER, long))).toBe('txn_token_oversize')
  })
})

describe('each fault has its own code', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const stranger = ed25519Key('env-1', generateKeyPairSync('ed25519').privateKey)
  const input = `${part({ ...HEADER, alg: 'HS256' })}.${part(CLAIMS)}`
  const jwk = authority.ring.key('env-1')?.publicKey.export({ format: 'jwk' })
  const hmac = createHmac('sha512', Buffer.from(jwk?.x ?? '', 'base64url'))
    .update(input)
    .digest('base64url')
  const rs256 = `${part({ ...HEADER, alg: 'RS256' })}.${part(CLAIMS)}`

  test.each<[string, string, string]>([
    ['nothing', '', 'txn_token_malformed'],
    ['two parts', 'e30.e30', 'txn_token_malformed'],
    ['alg none', `${part({ ...HEADER, alg: 'none' })}.${part(CLAIMS)}.`, 'txn_token_malformed'],
    ['alg none, signed', signed({ ...HEADER, alg: 'none' }, CLAIMS), 'txn_token_header_refused'],
    ['the public key as the secret of an HMAC', `${input}.${hmac}`, 'txn_token_header_refused'],
    [
      'an RSA signature',
      `${rs256}.${sign('sha256', Buffer.from(rs256), rsa.privateKey).toString('base64url')}`,
      'txn_token_malformed',
    ],
    ['the newer name of the algorithm', signed({ ...HEADER, alg: 'Ed25519' }, CLAIMS), 'txn_token_header_refused'],
    ['crit', signed({ ...HEADER, crit: ['exp'] }, CLAIMS), 'txn_token_header_refused'],
    ['a key of its own', signed({ ...HEADER, jwk }, CLAIMS), 'txn_token_header_refused'],
    ['an address of keys', signed({ ...HEADER, jku: 'https://evil.example' }, CLAIMS), 'txn_token_header_refused'],
    ['a detached payload', signed({ ...HEADER, b64: false }, CLAIMS), 'txn_token_header_refused'],
    ['no kid', signed({ alg: 'EdDSA', typ: 'txntoken+jwt' }, CLAIMS), 'txn_token_header_refused'],
    ['kid a number', signed({ ...HEADER, kid: 1 }, CLAIMS), 'txn_token_header_refused'],
    ['the type of an access token', signed({ ...HEADER, typ: 'at+jwt' }, CLAIMS), 'txn_token_header_refused'],
    ['its type in another case', signed({ ...HEADER, typ: 'TXNTOKEN+JWT' }, CLAIMS), 'txn_token_header_refused'],
    [
      'a member twice',
      signed('{"alg":"EdDSA","typ":"txntoken+jwt","kid":"x","kid":"env-1"}', CLAIMS),
      'txn_token_header_refused',
    ],
    [
      'a name spelt in escapes',
      signed('{"alg":"EdDSA","typ":"txntoken+jwt","\\u006bid":"env-1"}', CLAIMS),
      'txn_token_header_refused',
    ],
    [
      'white space in the header',
      signed('{"alg":"EdDSA", "typ":"txntoken+jwt","kid":"env-1"}', CLAIMS),
      'txn_token_header_refused',
    ],
    ['a header that is a list', signed('["EdDSA","txntoken+jwt","env-1"]', CLAIMS), 'txn_token_header_refused'],
    [
      'a header not in UTF-8',
      `_____w.${part(CLAIMS)}.${part('x'.repeat(64)).slice(0, 85)}A`,
      'txn_token_header_refused',
    ],
    ['an unknown key', signed({ ...HEADER, kid: 'env-2' }, CLAIMS), 'txn_token_key_unknown'],
    ['a name every object has', signed({ ...HEADER, kid: 'constructor' }, CLAIMS), 'txn_token_key_unknown'],
    ['another’s signature', signed(HEADER, CLAIMS, stranger), 'txn_token_signature_invalid'],
    [
      'a signature by another key of the bundle',
      signed(HEADER, CLAIMS, authority.keys.signal),
      'txn_token_signature_invalid',
    ],
    ['a key for signals', signed({ ...HEADER, kid: 'sig-1' }, CLAIMS, authority.keys.signal), 'txn_token_key_use'],
    [
      'a key for derived envelopes alone',
      signed({ ...HEADER, kid: 'der-1' }, CLAIMS, authority.keys.derive),
      'txn_token_key_use',
    ],
    ['an issuer', signed(HEADER, { ...CLAIMS, iss: 'https://identity.example' }), 'txn_token_issuer_unexpected'],
    ['an issuer that is null', signed(HEADER, { ...CLAIMS, iss: null }), 'txn_token_issuer_unexpected'],
    ['claims that are no JSON', signed(HEADER, 'claims'), 'txn_token_malformed'],
    [
      'claims not in UTF-8',
      signed(HEADER, Buffer.from(JSON.stringify({ ...CLAIMS, n: '\xff' }), 'latin1')),
      'txn_token_malformed',
    ],
    ['claims that are a list', signed(HEADER, '[]'), 'txn_token_malformed'],
    ['claims with a byte order mark', signed(HEADER, `\ufeff${JSON.stringify(CLAIMS)}`), 'txn_token_malformed'],
    ['no tenant', signed(HEADER, { ...CLAIMS, tenant: undefined }), 'txn_token_malformed'],
    ['times as text', signed(HEADER, { ...CLAIMS, exp: String(CLAIMS.exp) }), 'txn_token_malformed'],
    ['times in fractions', signed(HEADER, { ...CLAIMS, iat: S - 0.5 }), 'txn_token_malformed'],
    [
      'a time that is no number',
      signed(HEADER, JSON.stringify(CLAIMS).replace(String(S + 60), '1e400')),
      'txn_token_malformed',
    ],
    [
      'another trust domain',
      signed(HEADER, { ...CLAIMS, aud: 'services.example.evil' }),
      'txn_token_audience_mismatch',
    ],
    ['this trust domain in a list', signed(HEADER, { ...CLAIMS, aud: ['services.example'] }), 'txn_token_malformed'],
    ['a moment to come', signed(HEADER, { ...CLAIMS, iat: S + 1, exp: S + 61 }), 'txn_token_from_future'],
    ['its end reached', signed(HEADER, { ...CLAIMS, iat: S - 60, exp: S }), 'txn_token_expired'],
    ['a life of hours', signed(HEADER, { ...CLAIMS, exp: S + 7200 }), 'txn_token_too_long_lived'],
    ['an end before its begin', signed(HEADER, { ...CLAIMS, iat: S, exp: S - 1 }), 'txn_token_expired'],
  ])('%s', (_, text, code) => {
    expect(open(text)).toBe(code)
  })

  test('an end above its begin by nothing', () => {
    expect(open(signed(HEADER, { ...CLAIMS, iat: S + 1, exp: S + 1 }), { epsilonMs: 2000 })).toBe(
      'txn_token_too_long_lived',
    )
  })

  test.each<[string, Partial<KeyGrant>, string]>([
    ['granted for all', {}, 'ok'],
    ['granted for the tenant and for transaction tokens', { tenants: ['acme'], topics: ['txn-token'] }, 'ok'],
    ['granted for other tenants', { tenants: ['globex'] }, 'txn_token_key_tenant'],
    ['granted for jobs alone', { topics: ['invoices.export'] }, 'txn_token_key_topic'],
    ['from now on', { not_before: NOW }, 'ok'],
    ['from a moment ago, within the second it was sealed in', { not_before: NOW - 1 }, 'ok'],
    ['not yet', { not_before: NOW + 1 }, 'txn_token_key_not_yet_valid'],
    ['until now', { not_after: NOW }, 'txn_token_key_retired'],
    ['until after it sealed', { not_after: NOW + 1 }, 'ok'],
  ])('the key is %s', (_, over, code) => {
    expect(open(sealTxnToken(CLAIMS, envelope), {}, granted(over))).toBe(code)
  })

  test('a key that has ended opens what it sealed before, and one not begun then nothing it sealed', () => {
    const token = sealTxnToken(CLAIMS, envelope)
    expect(open(token, { now: NOW + 5000 }, granted({ not_after: NOW + 1000 }))).toBe('ok')
    expect(open(token, { now: NOW + 5000 }, granted({ not_before: NOW + 1000 }))).toBe('txn_token_key_not_yet_valid')
    expect(open(token, { now: NOW + 5000 }, granted({ not_before: NOW + 999 }))).toBe('ok')
  })

  test('a key taken out of the bundle opens nothing', () => {
    expect(open(sealTxnToken(CLAIMS, envelope), {}, granted({ key_id: 'env-0' }))).toBe('txn_token_key_unknown')
  })
})

describe('one spelling', () => {
  const token = sealTxnToken(CLAIMS, envelope)

  test('cut anywhere it does not open', () => {
    for (let end = 0; end < token.length; end++) expect(open(token.slice(0, end))).not.toBe('ok')
    for (let start = 1; start < token.length; start++) expect(open(token.slice(start))).not.toBe('ok')
  })

  test('with any character another it does not open', () => {
    for (let i = 0; i < token.length; i++) {
      for (const other of ['A', 'B', '_', '.', '=', ' ', '\0', 'é']) {
        if (token[i] !== other) expect(open(token.slice(0, i) + other + token.slice(i + 1))).not.toBe('ok')
      }
    }
  })

  test('with unused bits at the end of its signature it does not open', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const last = alphabet.indexOf(token.at(-1) as string)
    const same = [...alphabet].filter((_, i) => i >> 4 === last >> 4 && i !== last)
    expect(same).toHaveLength(15)
    for (const other of same) expect(open(token.slice(0, -1) + other)).toBe('txn_token_malformed')
  })

  test.each(['', ' ', '\n', '=', ',', `, ${token}`])('followed by %j it does not open', (more) => {
    expect(open(token + more)).toBe(more === '' ? 'ok' : 'txn_token_malformed')
  })
})
