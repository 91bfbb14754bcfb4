import { Opener } from '@countersign/envelope'
import { testAuthority } from '@countersign/envelope/testing'
import { describe, expect, test } from 'vitest'
import type { BoundaryOptions } from './boundary.ts'
import type { Denial } from './denial.ts'
import type { ResolvedIdentity } from './identity.ts'
import { COOKIE, NOW, person, type Stand, stand } from './testing.ts'
import {
  byBoundary,
  codeOf,
  IDENTITY,
  identityOf,
  MADE_BY_BOUNDARY,
  shown,
  tokenOf,
  txnTokens,
} from './testing-txn-tokens.ts'
import type { TxnTokenRequest } from './txn-tokens.ts'

const S = NOW / 1000
const EXPORT = { topic: 'invoices.export', value: { invoice_id: 'i-1', format: 'csv', work_ms: 0 } } as const

const behindOf = (edge: Stand, over: Partial<BoundaryOptions> = {}): Stand =>
  stand({ txnTokens, workload: 'behind', ...over }, edge.authority)
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
    // It is itself a target, so that it can be ended alone; and what comes of it ends with the key that sealed it.
    expect(targets).toEqual([
      ...before,
      { kind: 'token', tenant: '', id: claimsIn(text).jti, version: NOW },
      { kind: 'client', tenant: '', id: expect.stringMatching(/^key:[\w-]{43}$/), version: 0 },
    ])
    expect(trace.traceId).not.toBe(first.trace.traceId)
    expect(Object.isFrozen(second) && Object.isFrozen(second.details) && Object.isFrozen(second.targets[0])).toBe(true)
  })

  test('says what the draft asks for, and what identity’s access tokens say', async () => {
    const { text } = await handedOn({ client: 'web', device: 'dev_1' }, { context: { channel: 'branch' } })
    const claims = claimsIn(text)
    expect(claims).toMatchObject({
      aud: txnTokens.trustDomain,
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

  test('ends with the key that sealed it, which from then on seals nothing', async () => {
    const { edge, first, text } = await handedOn()
    const behind = behindOf(edge)
    const second = await identityOf(behind, shown(text))
    const key = edge.authority.ring.key('env-1')
    if (!key) throw new Error('no such key')
    behind.view.raise(key.signer, 'reason:compromise', NOW - 3_600_000)
    edge.view.raise(key.signer, 'reason:compromise', NOW - 3_600_000)
    expect(edge.boundary.txnToken(first)).toMatchObject({ ok: false, code: 'key_not_in_force' })
    expect(behind.boundary.txnToken(second)).toMatchObject({ ok: false })
    expect(await behind.boundary.admit(shown(text))).toMatchObject({ ok: false, code: 'key_not_in_force' })
  })

  test('signed beside the thread is judged at once, and says the same', async () => {
    const edge = stand({ txnTokens, workload: 'edge' })
    const identity = await identityOf(edge)
    const made = edge.boundary.txnTokenBeside(identity)
    edge.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW)
    const token = await made
    if (!token.ok) throw new Error(token.code)
    const { jti: _j, targets: _t, ...claims } = claimsIn(token.text)
    expect(claims).toMatchObject({
      txn: identity.txn,
      aud: txnTokens.trustDomain,
      exp: token.expiresAt / 1000,
      req_wl: 'edge',
    })
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
