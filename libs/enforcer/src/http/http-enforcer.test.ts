/** An HTTP enforcer by itself: what it takes, what it writes down, and how it ends. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { MAX_TXN_TOKEN_LIFE_MS } from '@countersign/envelope'
import { NOW, testAuthority } from '@countersign/envelope/testing'
import { FakeClock } from '@countersign/kernel/testing'
import { describe, expect, test } from 'vitest'
import { FakeView } from '../testing.ts'
import { expressEnforce } from './express.ts'
import { fastifyEnforce } from './fastify.ts'
import type { HttpWork } from './http-enforcer.ts'
import { authority, CLAIMS, S, SESSION, token, world } from './testing-requests.ts'

describe('an enforcer of requests', () => {
  test('writes down who was let in where it is told to', async () => {
    const w = world({}, { recordAllowed: true })
    const text = token()
    await w.http.judge('payment', { headers: { 'txn-token': text }, rawHeaders: ['txn-token', text] })
    expect(w.steps).toMatchObject([
      { outcome: 'allowed', sub: 'u_1', token: 'tok_1', route: 'payment', correlationId: 'corr_1' },
    ])
  })

  test('writes down so many refusals a second of each, and counts the rest', async () => {
    const w = world()
    for (let i = 0; i < 50; i++) await w.http.judge('payment', { headers: {}, rawHeaders: [] })
    expect(w.steps).toHaveLength(20)
    expect(await w.metrics.text()).toMatch(/request_decisions_total\{[^}]*\} 50/)
    await w.clock.advance(1_000)
    await w.http.judge('payment', { headers: {}, rawHeaders: [] })
    expect(w.steps).toHaveLength(21)
  })

  test('knows its classes, and takes no issuer of something else', () => {
    const { http } = world()
    expect(() => fastifyEnforce(http, 'refund')).toThrow(expect.objectContaining({ code: 'ENFORCER_CLASS_UNKNOWN' }))
    expect(() => world({}, { txnTokens: { trustDomain: '' } })).toThrow(
      expect.objectContaining({ code: 'ENFORCER_TOKENS_INVALID' }),
    )
  })

  test('takes no token older than what its view remembers', async () => {
    const w = world()
    const { bundle } = authority
    w.view.keys = testAuthority(7, (grant) => grant).ring
    Object.assign(w.view.keys.bundle, { window_ms: bundle.max_staleness_ms + 30_000 })
    await w.clock.advance(31_000)
    const headers = { 'txn-token': token({ exp: S + MAX_TXN_TOKEN_LIFE_MS / 1000 }) }
    const verdict = await w.http.judge('payment', { headers, rawHeaders: ['txn-token', headers['txn-token']] })
    expect(verdict).toMatchObject({ ok: false, reason: 'txn_token_expired' })
  })

  test('judges each tenant by the log that owns it, its keys and its freshness', async () => {
    const eu = testAuthority(8)
    const clock = new FakeClock(NOW + 1_000)
    const [main, other] = [new FakeView(clock), new FakeView(clock)]
    other.keys = eu.ring
    const byTenant = {
      views: [main, other],
      logs: ['main', 'eu'],
      viewOf: (tenant: string) => (tenant === 'acme' ? other : main),
      isElsewhere: ({ log_id }: { log_id: string }, tenant: string) => (log_id === 'eu.log') !== (tenant === 'acme'),
    }
    const { http } = world({}, { replica: Object.assign(new FakeView(clock), { byTenant, keys: null }) })
    const position = { log_id: 'eu.log', offset: 41 }
    const judged = async (text: string): Promise<string> => {
      const verdict = await http.judge('payment', { headers: { 'txn-token': text }, rawHeaders: ['txn-token', text] })
      return verdict.ok ? verdict.work.identity.tenant : verdict.reason
    }
    expect(await judged(token({ position }, eu.keys.envelope))).toBe('acme')
    // By a key of the other log, or with its position, nobody speaks for this tenant.
    expect(await judged(token({ position }))).toBe('txn_token_key_tenant')
    expect(await judged(token({}, eu.keys.envelope))).toBe('position_other_log')
    main.raise(SESSION, 'reason:logout', NOW + 5_000)
    main.fresh = { ...main.fresh, ageMs: 60_000 }
    expect(await judged(token({ position }, eu.keys.envelope))).toBe('acme')
    other.raise(SESSION, 'reason:logout', NOW + 5_000)
    expect(await judged(token({ position }, eu.keys.envelope))).toBe('revoked_logout')
    other.keys = null
    expect(await judged(token({ position }, eu.keys.envelope))).toBe('view_stale')
  })

  test('takes those of identity by its keys, where it issues some', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const byIdentity = (over: object = {}, header: object = {}): string => {
      const claims = { ...CLAIMS, iss: 'https://identity.example', position: undefined, ...over }
      const named = { alg: 'ES256', kid: 'identity-1', typ: 'txntoken+jwt', ...header }
      const input = `${encoded(named)}.${encoded(claims)}`
      const signature = sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
      return `${input}.${signature.toString('base64url')}`
    }
    const issuer = {
      issuer: 'https://identity.example',
      audience: 'services.example',
      algorithms: ['ES256'] as const,
      typ: 'txntoken+jwt',
      maxAgeS: 300,
      keys: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'identity-1' }] },
    }
    const w = world({}, { txnTokens: { trustDomain: 'services.example', issuers: [issuer] } })
    const judged = async (text: string): Promise<string> => {
      const request = { headers: { 'txn-token': text }, rawHeaders: ['txn-token', text] }
      const verdict = await w.http.judge('payment', request)
      return verdict.ok ? verdict.work.identity.sub : verdict.reason
    }
    expect(await judged(byIdentity())).toBe('u_1')
    expect(await judged(token())).toBe('u_1')
    expect(await judged(byIdentity({ iss: 'https://elsewhere.example' }))).toMatch(/^txn_token_/)
    expect(await judged(byIdentity({ aud: 'api' }))).toBe('token_audience_mismatch')
    expect(await judged(byIdentity({ targets: [] }))).toBe('txn_token_claims_malformed')
    // Without the name of its key, nothing would end it with that key.
    expect(await judged(byIdentity({}, { kid: undefined }))).toBe('token_key_unknown')
    w.view.raise(SESSION, 'reason:logout', NOW + 5_000)
    expect(await judged(byIdentity())).toBe('revoked_logout')
    // Identity names no position: that is on no other log than the one that owns the tenant.
    const eu = new FakeView(w.clock)
    const byTenant = { views: [eu], logs: ['eu'], viewOf: () => eu, isElsewhere: () => true }
    const replica = Object.assign(new FakeView(w.clock), { byTenant })
    const several = world({}, { replica, txnTokens: { trustDomain: 'services.example', issuers: [issuer] } })
    const text = byIdentity()
    const given = { headers: { 'txn-token': text }, rawHeaders: ['txn-token', text] }
    expect(await several.http.judge('payment', given)).toMatchObject({ ok: true })
    expect(() =>
      world({}, { txnTokens: { trustDomain: 'services.example', issuers: [{ ...issuer, typ: 'at+jwt' }] } }),
    ).toThrow(expect.objectContaining({ code: 'ENFORCER_TOKENS_INVALID' }))
  })

  test.each([
    ['HTTP/1', { closed: true }],
    ['HTTP/2', { stream: { closed: true } }],
  ])('keeps nothing of a request that was given up while it was judged: %s', async (_version, closed) => {
    const { http } = world()
    const text = token()
    const given = (): { headers: object; rawHeaders: string[]; work?: HttpWork } => ({
      headers: { 'txn-token': text },
      rawHeaders: ['txn-token', text],
    })
    const gone = Object.assign(new EventEmitter(), { statusCode: 200 }, closed)
    const [one, other] = [given(), { raw: given(), id: 'r', work: undefined as HttpWork | undefined }]
    await new Promise((next) => expressEnforce(http, 'payment')(one as never, gone as never, next))
    await fastifyEnforce(http, 'payment')(other as never, { raw: gone } as never)
    for (const { work } of [one, other]) {
      expect(() => work?.commitIfAllowed(() => {})).toThrow(expect.objectContaining({ code: 'ENFORCER_WORK_OVER' }))
    }
  })

  test('tells requests under way when it stops', async () => {
    const w = world()
    const headers = { 'txn-token': token() }
    const verdict = await w.http.judge('payment', { headers, rawHeaders: ['txn-token', headers['txn-token']] })
    if (!verdict.ok) throw new Error(verdict.reason)
    w.http.stop()
    expect(verdict.work.signal.reason).toMatchObject({ code: 'ENFORCER_WORK_STOPPED' })
  })
})
