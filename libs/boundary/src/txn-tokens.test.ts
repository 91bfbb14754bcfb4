import { generateKeyPairSync, sign } from 'node:crypto'
import { Opener, sealTxnToken, type TxnTokenClaims } from '@countersign/envelope'
import { testAuthority } from '@countersign/envelope/testing'
import { describe, expect, test } from 'vitest'
import type { BoundaryOptions } from './boundary.ts'
import type { Denial } from './denial.ts'
import type { BoundaryIdentity, ResolvedIdentity } from './identity.ts'
import type { OwnIssuerConfig } from './issuers.ts'
import { COOKIE, cookieRequest, NOW, OWN_CLAIMS, person, requestOf, type Stand, stand } from './testing.ts'
import type { TxnTokenRequest } from './txn-tokens.ts'

const DOMAIN = 'services.example'
const txnTokens = { trustDomain: DOMAIN }
const S = NOW / 1000
const EXPORT = { topic: 'invoices.export', value: { invoice_id: 'i-1', format: 'csv', work_ms: 0 } } as const

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
/** Identity as the other maker of such tokens. */
const IDENTITY: OwnIssuerConfig = {
  issuer: OWN_CLAIMS.iss,
  audience: DOMAIN,
  algorithms: ['ES256'],
  typ: 'txntoken+jwt',
  maxAgeS: 300,
  keys: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'identity-1' }] },
  identifiers: 'own',
}
const MADE_BY_IDENTITY = {
  ...OWN_CLAIMS,
  aud: DOMAIN,
  exp: S + 60,
  txn: 'txn_1',
  req_wl: 'spa',
  targets: [...OWN_CLAIMS.targets, ['transaction', '', 'txn_1', NOW]],
}
const { iss: _, ...UNISSUED } = MADE_BY_IDENTITY
const MADE_BY_BOUNDARY = { ...UNISSUED, position: { log_id: 'log-1', offset: 41 } } as unknown as TxnTokenClaims

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const byIdentity = (claims: object, header: object = {}): string => {
  const input = `${part({ alg: 'ES256', kid: 'identity-1', typ: 'txntoken+jwt', ...header })}.${part(claims)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
const byBoundary = (claims: object, header: object = {}): string => {
  const input = `${part({ alg: 'EdDSA', typ: 'txntoken+jwt', kid: 'env-1', ...header })}.${part(claims)}`
  return `${input}.${testAuthority().keys.envelope.sign(Buffer.from(input)).toString('base64url')}`
}

const shown = (text: string) => requestOf([['Txn-Token', text]])
const behindOf = (edge: Stand, over: Partial<BoundaryOptions> = {}): Stand =>
  stand({ txnTokens, workload: 'behind', ...over }, edge.authority)
async function identityOf(from: Stand, request = cookieRequest): Promise<BoundaryIdentity> {
  const admission = await from.boundary.admit(request)
  if (!admission.ok) throw new Error(`${admission.code} ${admission.detail}`)
  return admission.identity
}
const codeOf = async (from: Stand, text: string): Promise<string> => {
  const admission = await from.boundary.admit(shown(text))
  return admission.ok ? 'ok' : [admission.code, admission.detail].join(' ').trim()
}
function tokenOf(from: Stand, identity: BoundaryIdentity, request?: TxnTokenRequest): string {
  const token = from.boundary.txnToken(identity, request)
  if (!token.ok) throw new Error(token.code)
  return token.text
}
const claimsIn = (text: string) => JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString())
/** A boundary at the edge whose person is this, and the token it hands on. */
async function handedOn(who: Partial<ResolvedIdentity> = {}, request?: TxnTokenRequest) {
  const edge = stand({ txnTokens, workload: 'edge' })
  edge.answer = { ok: true, identity: person(who) }
  const first = await identityOf(edge)
  return { edge, first, text: tokenOf(edge, first, request) }
}

describe('a transaction token', () => {
  test('sealed at one boundary is an identity at another, of the same transaction', async () => {
    const { edge, first, text } = await handedOn({}, { scopes: ['invoices:read'], details: { invoice: 'i-1' } })
    const second = await identityOf(behindOf(edge), shown(text))
    const { trace, targets, ...rest } = second
    const { trace: _t, targets: before, ...same } = first
    expect(rest).toEqual({ ...same, scopes: ['invoices:read'], details: { invoice: 'i-1' } })
    // It is itself a target, so that it can be ended alone.
    expect(targets).toEqual([...before, { kind: 'token', tenant: '', id: claimsIn(text).jti, version: NOW }])
    expect(trace.traceId).not.toBe(first.trace.traceId)
    expect(Object.isFrozen(second) && Object.isFrozen(second.details) && Object.isFrozen(second.targets[0])).toBe(true)
  })

  test('says what the draft asks for, and what identity’s access tokens say', async () => {
    const { text } = await handedOn({ client: 'web', device: 'dev_1' }, { context: { channel: 'branch' } })
    const claims = claimsIn(text)
    expect(claims).toMatchObject({
      aud: DOMAIN,
      iat: S,
      exp: S + 60,
      sub: 'u_1',
      scope: 'invoices:export invoices:read',
      req_wl: 'edge',
      rctx: { req_ip: '192.0.2.0/24', channel: 'branch' },
      tenant: 'acme',
      principal: 'user',
      sid: 's_1',
      client_id: 'web',
      device: 'dev_1',
      auth_time: S - 60,
      acr: 'pwd',
      amr: ['pwd'],
      scope_version: NOW - 60_000,
      credential: 'session_cookie',
      credential_exp: S + 3600,
      position: { log_id: 'log-1', offset: 41 },
      request_id: 'request-1',
      correlation_id: claims.txn,
    })
    expect(Object.keys(claims)).not.toContain('iss')
    expect(text).not.toContain(COOKIE)
  })

  test.each<[string, number | undefined, number | null, number]>([
    ['a minute by default', undefined, NOW + 3_600_000, 60],
    ['five minutes at most', 3_600_000, NOW + 3_600_000, 300],
    ['what is asked for', 20_000, NOW + 3_600_000, 20],
    ['not beyond its credential', undefined, NOW + 30_900, 30],
    ['as long for a credential without an end', undefined, null, 60],
  ])('lives %s', async (_, lifeMs, expiresAt, seconds) => {
    const { text } = await handedOn({ expiresAt }, lifeMs === undefined ? {} : { lifeMs })
    expect(claimsIn(text)).toMatchObject({ iat: S, exp: S + seconds })
  })

  test('of a credential with less than a second left there is none', async () => {
    const edge = stand({ txnTokens })
    edge.answer = { ok: true, identity: person({ expiresAt: NOW + 999 }) }
    expect(edge.boundary.txnToken(await identityOf(edge))).toMatchObject({ ok: false, code: 'credential_expired' })
  })

  test('is refused as a job is: for what has been ended or removed since, or what its key may not sign', async () => {
    const edge = stand({ txnTokens })
    const identity = await identityOf(edge)
    const codeNow = (request?: TxnTokenRequest) => (edge.boundary.txnToken(identity, request) as Denial).code ?? 'ok'
    expect(codeNow({ scopes: ['invoices:read', 'admin'] })).toBe('scope_missing')
    edge.view.raise({ kind: 'affiliation', tenant: 'acme', id: 'u_1' }, 'scope:invoices:read', NOW)
    expect([codeNow({ scopes: ['invoices:read'] }), codeNow()]).toEqual(['scope_missing', 'ok'])
    edge.view.ringInForce = testAuthority(1, (grant) => ({ ...grant, tenants: ['globex'] })).ring
    expect(codeNow()).toBe('key_not_granted')
    edge.view.ringInForce = testAuthority(1, (grant) => ({ ...grant, topics: ['invoices.export'] })).ring
    expect(codeNow()).toBe('key_not_granted')
    edge.view.ringInForce = testAuthority(1, (grant) => ({ ...grant, not_before: NOW + 1 })).ring
    expect(codeNow()).toBe('key_not_in_force')
    edge.view.ringInForce = edge.authority.ring
    edge.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW)
    expect(codeNow()).toBe('credential_revoked')
  })

  test('signed beside the thread is judged at once, and says the same', async () => {
    const edge = stand({ txnTokens, workload: 'edge' })
    const identity = await identityOf(edge)
    const made = edge.boundary.txnTokenBeside(identity)
    edge.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW)
    const token = await made
    if (!token.ok) throw new Error(token.code)
    const { jti: _j, targets: _t, ...claims } = claimsIn(token.text)
    expect(claims).toMatchObject({ txn: identity.txn, aud: DOMAIN, exp: token.expiresAt / 1000, req_wl: 'edge' })
    expect(await edge.boundary.txnTokenBeside(identity)).toMatchObject({ ok: false, code: 'credential_revoked' })
    await expect(edge.boundary.txnTokenBeside({ ...identity })).rejects.toMatchObject({
      code: 'BOUNDARY_IDENTITY_UNKNOWN',
    })
    const fresh = stand({ txnTokens })
    await expect(
      fresh.boundary.txnTokenBeside(await identityOf(fresh), { details: { big: 'x'.repeat(8000) } }),
    ).rejects.toMatchObject({ code: 'BOUNDARY_TXN_TOKEN_INVALID' })
  })

  test('is made for nobody else’s identity, without a trust domain, or of what is no JSON or too much', async () => {
    const [edge, other] = [stand({ txnTokens }), stand({ txnTokens })]
    const identity = await identityOf(edge)
    const thrown = (code: string) => expect.objectContaining({ code })
    expect(() => other.boundary.txnToken(identity)).toThrowError(thrown('BOUNDARY_IDENTITY_UNKNOWN'))
    expect(() => edge.boundary.txnToken({ ...identity })).toThrowError(thrown('BOUNDARY_IDENTITY_UNKNOWN'))
    const without = stand()
    const theirs = await identityOf(without)
    expect(() => without.boundary.txnToken(theirs)).toThrowError(thrown('BOUNDARY_OPTIONS_INVALID'))
    for (const details of [{ big: 'x'.repeat(8000) }, { n: 1n }]) {
      expect(() => edge.boundary.txnToken(identity, { details })).toThrowError(thrown('BOUNDARY_TXN_TOKEN_INVALID'))
    }
    const many = Array.from(
      { length: 40 },
      (_, i) => ({ kind: 'client', tenant: '', id: `c${i}`, version: NOW }) as const,
    )
    edge.answer = { ok: true, identity: person({ targets: [...person().targets, ...many] }) }
    const dependent = await identityOf(edge)
    expect(() => edge.boundary.txnToken(dependent)).toThrowError(thrown('BOUNDARY_TXN_TOKEN_INVALID'))
  })

  test.each<[string, ConstructorParameters<typeof Array>[0]]>([
    ['no trust domain', { trustDomain: '' }],
    ['an issuer of access tokens', { ...txnTokens, issuers: [{ ...IDENTITY, typ: 'at+jwt' }] }],
    ['an issuer for another domain', { ...txnTokens, issuers: [{ ...IDENTITY, audience: 'api' }] }],
  ])('options with %s are refused', (_, options) => {
    expect(() => stand({ txnTokens: options as BoundaryOptions['txnTokens'] & object })).toThrowError(
      expect.objectContaining({ code: 'BOUNDARY_OPTIONS_INVALID' }),
    )
  })
})

describe('along a chain', () => {
  test('the transaction, what it is about and who acts stay; scopes and life only shrink', async () => {
    const act = [{ sub: 'agent_1', principal: 'user' }] as const
    const targets = [...person().targets, { kind: 'subject', tenant: '', id: 'agent_1', version: NOW - 1000 } as const]
    const { edge, first, text } = await handedOn({ act, targets }, { details: { invoice: 'i-1' } })
    const behind = behindOf(edge)
    await behind.clock.advance(20_000)
    const second = await identityOf(behind, shown(text))
    expect(second.act).toEqual(act)
    const more = { details: { invoice: 'i-2', line: 3 }, context: { req_ip: '203.0.113.9' }, lifeMs: 300_000 }
    const next = tokenOf(behind, second, { scopes: ['invoices:read'], ...more })
    expect(claimsIn(next)).toMatchObject({
      txn: first.txn,
      req_wl: 'behind',
      scope: 'invoices:read',
      iat: S + 20,
      exp: S + 60,
      tctx: { invoice: 'i-1', line: 3 },
      rctx: { req_ip: '192.0.2.0/24' },
      act: { sub: 'agent_1', principal: 'user' },
      credential_exp: S + 3600,
    })
    const last = behindOf(edge)
    await last.clock.advance(20_000)
    const third = await identityOf(last, shown(next))
    expect(last.boundary.txnToken(third, { scopes: ['invoices:export'] })).toMatchObject({ code: 'scope_missing' })
    await last.clock.advance(40_000)
    expect(last.boundary.txnToken(third)).toMatchObject({ code: 'credential_expired' })
  })

  test.each<[string, Parameters<Stand['view']['raise']>[0]]>([
    ['the session it began with', { kind: 'session', tenant: '', id: 's_1' }],
    ['its subject', { kind: 'subject', tenant: '', id: 'u_1' }],
    ['its tenant', { kind: 'tenant', tenant: 'acme', id: '' }],
  ])('%s ended ends every hop, also what was accepted there', async (_, target) => {
    const { edge, text } = await handedOn()
    const behind = behindOf(edge)
    const second = await identityOf(behind, shown(text))
    behind.view.raise(target, 'reason:compromise', NOW)
    expect(await codeOf(behind, text)).toBe('credential_revoked reason:compromise')
    expect(behind.boundary.txnToken(second)).toMatchObject({ code: 'credential_revoked' })
    const denied = expect.objectContaining({ denial: 'credential_revoked' })
    await expect(behind.boundary.jobs.send({ ...EXPORT, identity: second })).rejects.toThrowError(denied)
  })

  test('the transaction or one token ended ends that alone', async () => {
    const { edge, first, text } = await handedOn()
    const behind = behindOf(edge)
    behind.view.raise({ kind: 'token', tenant: '', id: claimsIn(text).jti }, 'reason:compromise', NOW + 1)
    expect(await codeOf(behind, text)).toBe('credential_revoked reason:compromise')
    const another = tokenOf(edge, first)
    expect(await codeOf(behind, another)).toBe('ok')
    behind.view.raise({ kind: 'transaction', tenant: '', id: first.txn }, 'reason:compromise', NOW + 1)
    expect(await codeOf(behind, another)).toBe('credential_revoked reason:compromise')
    expect(await codeOf(behind, tokenOf(edge, await identityOf(edge)))).toBe('ok')
  })

  test('the position is the higher of the token’s and the view’s', async () => {
    const { edge, text } = await handedOn()
    const positionAt = async (offset: number) => {
      const behind = behindOf(edge)
      behind.view.offset = offset
      return claimsIn(tokenOf(behind, await identityOf(behind, shown(text)))).position
    }
    expect(await positionAt(12)).toEqual({ log_id: 'log-1', offset: 41 })
    expect(await positionAt(50)).toEqual({ log_id: 'log-1', offset: 50 })
  })

  test('a position that the log is proven not to have is refused; one not read yet is not', async () => {
    const ahead = { ...MADE_BY_BOUNDARY, position: { log_id: 'log-1', offset: 99 } }
    const behind = stand({ txnTokens })
    expect(await codeOf(behind, byBoundary(ahead))).toBe('ok')
    behind.view.asOf = NOW + 1250
    expect(await codeOf(behind, byBoundary(ahead))).toBe('ok')
    behind.view.asOf = NOW + 1251
    expect(await codeOf(behind, byBoundary(ahead))).toBe('credential_invalid position_beyond')
    expect(await codeOf(behind, byBoundary({ ...ahead, position: { log_id: 'log-2', offset: 3 } }))).toContain('beyond')
  })

  test('a job sealed behind the edge lives by the credential, and says whose it was', async () => {
    const { edge, first, text } = await handedOn()
    const behind = behindOf(edge)
    const identity = await identityOf(behind, shown(text))
    await behind.clock.advance(90_000)
    await behind.boundary.jobs.send({ ...EXPORT, identity })
    const [record] = behind.log.partition('invoices.export.v1').records
    const { key, value, headers } = record as NonNullable<typeof record>
    const header = headers.find(([name]) => name === 'countersign-envelope')?.[1] as Buffer
    const at = { ring: edge.authority.ring, now: NOW + 91_000, epsilonMs: 250, audience: 'billing-export' }
    const opened = new Opener().open(header, { ...at, topic: EXPORT.topic, key, value })
    if (!opened.ok) throw new Error(opened.code)
    expect(opened.envelope.claims).toMatchObject({
      txn: first.txn,
      req_wl: 'behind',
      exp: NOW + 3_600_000,
      tctx: { credential: 'session_cookie', session: 's_1', position: { offset: 41 } },
      rctx: { request_id: 'request-1', ip: '192.0.2.0/24', acr: 'pwd' },
    })
  })

  test('work of a webhook has no end of its own, and is not taken for a person’s', async () => {
    const { edge, text } = await handedOn({
      credential: 'webhook_signature',
      principal: 'webhook',
      session: null,
      expiresAt: null,
      authTime: null,
      acr: null,
      amr: [],
    })
    const identity = await identityOf(behindOf(edge), shown(text))
    expect(identity).toMatchObject({
      credential: 'webhook_signature',
      principal: 'webhook',
      expiresAt: null,
      acr: null,
    })
  })
})

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
      byIdentity({ ...MADE_BY_IDENTITY, aud: DOMAIN }, { typ: 'at+jwt' }),
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
      byIdentity(MADE_BY_IDENTITY, { jwk: publicKey.export({ format: 'jwk' }) }),
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
  const { targets } = MADE_BY_BOUNDARY as unknown as typeof OWN_CLAIMS
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
    short.view.ringInForce = new (short.authority.ring.constructor as typeof import('@countersign/envelope').KeyRing)({
      ...bundle,
      window_ms: 20_000,
    })
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
