/** An HTTP enforcer by itself: what it takes, what it writes down, and how it ends. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { MAX_TXN_TOKEN_LIFE_MS } from '@countersign/envelope'
import { NOW, testAuthority } from '@countersign/envelope/testing'
import { describe, expect, test } from 'vitest'
import { fastifyEnforce } from './fastify.ts'
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

  test('takes those of identity by its keys, where it issues some', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const byIdentity = (over: object = {}): string => {
      const claims = { ...CLAIMS, iss: 'https://identity.example', position: undefined, ...over }
      const input = `${encoded({ alg: 'ES256', kid: 'identity-1', typ: 'txntoken+jwt' })}.${encoded(claims)}`
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
    w.view.raise(SESSION, 'reason:logout', NOW + 5_000)
    expect(await judged(byIdentity())).toBe('revoked_logout')
    expect(() =>
      world({}, { txnTokens: { trustDomain: 'services.example', issuers: [{ ...issuer, typ: 'at+jwt' }] } }),
    ).toThrow(expect.objectContaining({ code: 'ENFORCER_TOKENS_INVALID' }))
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
