import { KeyRing, sealTxnToken } from '@countersign/envelope'
import { testAuthority } from '@countersign/envelope/testing'
import { describe, expect, test } from 'vitest'
import type { BoundaryOptions } from './boundary.ts'
import { COOKIE, NOW, OWN_CLAIMS, requestOf, stand } from './testing.ts'
import {
  byBoundary,
  byIdentity,
  codeOf,
  IDENTITY,
  IDENTITY_KEY,
  identityOf,
  MADE_BY_BOUNDARY,
  MADE_BY_IDENTITY,
  shown,
  txnTokens,
} from './testing-txn-tokens.ts'

const S = NOW / 1000
const { iss: _, ...UNISSUED } = MADE_BY_IDENTITY

describe('two makers', () => {
  const both = () => stand({ txnTokens: { ...txnTokens, issuers: [IDENTITY] } })

  test('identity’s is an identity too; its own end is all it says of its credential’s', async () => {
    const identity = await identityOf(both(), shown(byIdentity(MADE_BY_IDENTITY)))
    expect(identity).toMatchObject({ txn: 'txn_1', client: 'spa', credential: 'jwt', expiresAt: NOW + 60_000 })
    const told = { ...MADE_BY_IDENTITY, credential: 'session_cookie', credential_exp: S + 900 }
    const other = await identityOf(both(), shown(byIdentity(told)))
    expect(other).toMatchObject({ credential: 'session_cookie', expiresAt: NOW + 900_000 })
  })

  test.each<[string, string, string]>([
    ['a boundary’s', byBoundary(MADE_BY_BOUNDARY), 'ok'],
    [
      'identity’s name under a boundary’s key',
      byBoundary(MADE_BY_IDENTITY),
      'credential_invalid txn_token_issuer_unexpected',
    ],
    [
      'identity’s key under a boundary’s key id',
      byIdentity(MADE_BY_IDENTITY, { kid: 'env-1' }),
      'credential_invalid token_key_unknown',
    ],
    [
      'identity’s key, a boundary’s key id and algorithm',
      byIdentity(MADE_BY_IDENTITY, { kid: 'env-1', alg: 'EdDSA' }),
      'credential_invalid txn_token_signature_invalid',
    ],
    [
      'a boundary’s key under identity’s key id',
      byBoundary(MADE_BY_IDENTITY, { kid: 'identity-1' }),
      'credential_invalid token_algorithm_refused',
    ],
    [
      'a boundary’s key under identity’s key id and algorithm',
      byBoundary(MADE_BY_IDENTITY, { kid: 'identity-1', alg: 'ES256' }),
      'credential_invalid token_signature_invalid',
    ],
    ['identity’s without its name', byIdentity(UNISSUED), 'credential_invalid issuer_unknown'],
    [
      'another’s name',
      byIdentity({ ...MADE_BY_IDENTITY, iss: 'https://evil.example' }),
      'credential_invalid issuer_unknown',
    ],
    [
      'an access token',
      byIdentity({ ...MADE_BY_IDENTITY, aud: txnTokens.trustDomain }, { typ: 'at+jwt' }),
      'credential_invalid token_type_mismatch',
    ],
    [
      'another trust domain',
      byIdentity({ ...MADE_BY_IDENTITY, aud: 'api' }),
      'credential_invalid token_audience_mismatch',
    ],
    ['crit', byIdentity(MADE_BY_IDENTITY, { crit: ['exp'] }), 'credential_invalid token_header_refused'],
    [
      'a key of its own',
      byIdentity(MADE_BY_IDENTITY, { jwk: IDENTITY_KEY }),
      'credential_invalid token_header_refused',
    ],
  ])('%s', async (_, text, code) => {
    expect(await codeOf(both(), text)).toBe(code)
  })

  test('without an issuer identity’s are refused', async () => {
    expect(await codeOf(stand({ txnTokens }), byIdentity(MADE_BY_IDENTITY))).toBe(
      'credential_invalid txn_token_header_refused',
    )
  })

  test('neither is a bearer, and no access token is a Txn-Token', async () => {
    const here = stand({ txnTokens, issuers: [{ ...IDENTITY, typ: 'at+jwt', audience: 'api' }] })
    for (const text of [byBoundary(MADE_BY_BOUNDARY), byIdentity(MADE_BY_IDENTITY)]) {
      expect(await here.boundary.present({ bearer: text })).toMatchObject({ code: 'credential_invalid' })
    }
    expect(await codeOf(here, byIdentity(OWN_CLAIMS, { typ: 'at+jwt' }))).toMatch(/^credential_invalid/)
  })
})

describe('claims', () => {
  const { targets } = MADE_BY_BOUNDARY
  const without = (kind: string) => ({ targets: targets.filter((target) => target[0] !== kind) })

  test.each<[string, object]>([
    ['no transaction', { txn: undefined }],
    ['no workload that asked', { req_wl: undefined }],
    ['no position', { position: undefined }],
    ['no target of its transaction', without('transaction')],
    ['no target of itself', without('token')],
    ['no target of its session', without('family')],
    ['no target of its client', without('client')],
    ['a target of another transaction', { txn: 'txn_2' }],
    ['an actor who is no target', { act: { sub: 'agent_1', principal: 'user' } }],
    ['a credential of another kind', { credential: 'password' }],
    ['a credential’s end that is no time', { credential_exp: 'never' }],
    ['details that are text', { tctx: 'all' }],
    ['a context that is a list', { rctx: [] }],
    ['an address that is a number', { rctx: { req_ip: 1 } }],
    ['a principal there is not', { principal: 'root' }],
    ['a request id that is a number', { request_id: 7 }],
  ])('with %s are refused', async (_, over) => {
    const text = byBoundary({ ...MADE_BY_BOUNDARY, ...over })
    expect(await codeOf(stand({ txnTokens }), text)).toBe('credential_invalid claims_malformed')
  })

  test('of one that ends before its credential does it count as they stand', async () => {
    const here = stand({ txnTokens })
    const over = byBoundary({ ...MADE_BY_BOUNDARY, credential_exp: S })
    expect(await codeOf(here, over)).toBe('credential_expired')
  })

  test('ids in another form are made anew', async () => {
    const text = byBoundary({ ...MADE_BY_BOUNDARY, request_id: 'a b', correlation_id: 'x\ny' })
    const identity = await identityOf(stand({ txnTokens }), shown(text))
    expect(identity.requestId).toBe('request-1')
    expect(identity.correlationId).toBe('txn_1')
  })
})

describe('at the door', () => {
  const text = byBoundary(MADE_BY_BOUNDARY)
  const token = ['Txn-Token', text] as const
  const cookie = ['Cookie', `__Host-session=${COOKIE}`] as const

  test.each<[string, readonly (readonly [string, string])[], string]>([
    ['beside a session cookie', [token, cookie], 'credential_ambiguous'],
    ['beside a bearer', [token, ['Authorization', 'Bearer at_1']], 'credential_ambiguous'],
    ['twice', [token, token], 'credential_ambiguous'],
    ['twice in another spelling', [token, ['TXN-TOKEN', text]], 'credential_ambiguous'],
    ['joined', [['Txn-Token', `${text}, ${text}`]], 'credential_invalid'],
    ['as a list in one line', [['Txn-Token', `${text},${text}`]], 'credential_invalid'],
    ['empty', [['Txn-Token', '']], 'credential_invalid'],
    ['beside other cookies', [token, ['Cookie', 'theme=dark']], 'ok'],
  ])('%s', async (_, headers, code) => {
    const admission = await stand({ txnTokens }).boundary.admit(requestOf(headers))
    expect(admission.ok ? 'ok' : admission.code).toBe(code)
  })

  test('of a boundary that takes none one is refused, alone and beside a good credential', async () => {
    for (const over of [{}, { txnTokens: { ...txnTokens, accept: false } }]) {
      const here = stand(over)
      expect(await codeOf(here, text)).toBe('credential_invalid no_txn_token')
      expect(await here.boundary.admit(requestOf([token, cookie]))).toMatchObject({ code: 'credential_ambiguous' })
    }
    const edge = stand({ txnTokens: { ...txnTokens, accept: false } })
    expect(edge.boundary.txnToken(await identityOf(edge))).toMatchObject({ ok: true })
  })

  test('a stale view, or none yet, refuses it: nobody else vouches', async () => {
    const here = stand({ txnTokens })
    here.view.fresh = false
    for (const credential of ['jwt', 'session_cookie', 'opaque_token']) {
      expect(await codeOf(here, byBoundary({ ...MADE_BY_BOUNDARY, credential }))).toBe('view_not_fresh')
    }
    here.view.ringInForce = null
    expect(await codeOf(here, text)).toBe('key_not_in_force')
  })

  test('expired it is refused, and older than the window whatever it says of its end', async () => {
    const here = stand({ txnTokens })
    await here.clock.advance(60_000)
    expect(await codeOf(here, text)).toBe('credential_expired txn_token_expired')
    const short = stand({ txnTokens })
    const { bundle } = short.authority
    short.view.ringInForce = new KeyRing({ ...bundle, window_ms: 20_000 })
    await short.clock.advance(20_000)
    expect(await codeOf(short, text)).toBe('credential_too_old')
  })

  test('no counter and no line of the log holds it', async () => {
    const lines: string[] = []
    const logger = { info: (...parts: unknown[]) => void lines.push(JSON.stringify(parts)) }
    const here = stand({ txnTokens, logger: logger as unknown as NonNullable<BoundaryOptions['logger']> })
    await codeOf(here, `${text}x`)
    expect(lines).toHaveLength(1)
    expect(lines.join()).not.toContain(text.slice(0, 40))
  })
})

test('sealing says the same to the character as anybody who signs those claims', () => {
  expect(sealTxnToken(MADE_BY_BOUNDARY, testAuthority().keys.envelope)).toBe(byBoundary(MADE_BY_BOUNDARY))
})
