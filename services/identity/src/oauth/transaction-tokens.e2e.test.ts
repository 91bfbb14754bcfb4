import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TXN_TOKEN } from './exchange-request.ts'
import {
  actorsOf,
  claimsOf,
  DOMAIN,
  ExchangeWorld,
  headerOf,
  ISSUER,
  TRANSACTION,
  targetsOf,
} from './exchange-testing.ts'
import type { Form, Party } from './testing.ts'

const SUBJECT = fault('invalid_request', 'the subject token is unknown, expired, ended or for others')

let at: ExchangeWorld
beforeAll(async () => {
  at = await ExchangeWorld.start()
})
afterAll(() => at.world.destroy())

function fault(error: string, description?: string): object {
  return { error, error_description: description ?? expect.any(String) }
}

describe('a Txn-Token', () => {
  it('says what the draft asks for, and what a boundary needs', async () => {
    const { access_token } = await at.person()
    const details = { invoice: 'inv-1', nested: { a: [1] } }
    const asked = { ...TRANSACTION, request_details: JSON.stringify(details), request_context: '{"ip":"192.0.2.1"}' }
    const { json } = await at.exchange(access_token, at.chain.gateway, asked)
    expect(json).toEqual({
      access_token: expect.any(String),
      issued_token_type: TXN_TOKEN,
      token_type: 'N_A',
      expires_in: expect.any(Number),
      scope: 'invoices:read',
    })
    expect(json.expires_in).toBeLessThanOrEqual(300)
    expect(headerOf(json.access_token)).toEqual({ alg: 'ES256', typ: 'txntoken+jwt', kid: expect.any(String) })
    const claims = claimsOf(json.access_token)
    const { sub, tenant, scope_version, sid } = claimsOf(access_token)
    expect(claims).toMatchObject({
      iss: ISSUER,
      aud: DOMAIN,
      sub,
      tenant,
      scope_version,
      sid,
      req_wl: 'gateway',
      scope: 'invoices:read',
    })
    expect(claims).toMatchObject({ tctx: details, rctx: { ip: '192.0.2.1' }, txn: expect.stringMatching(/^txn_/) })
    expect(targetsOf(claims, 'transaction')).toEqual([claims.txn])
    expect(actorsOf(claims.act)).toEqual([at.subs.get('gateway')])
    // It is no access token.
    expect(await at.seen(json.access_token, at.chain.api)).toEqual({ active: false })
    expect((await at.exchange(json.access_token, at.chain.api)).json).toEqual(SUBJECT)
    const bare = claimsOf(await at.exchanged(access_token, at.chain.gateway, TRANSACTION))
    expect([bare.tctx, bare.rctx]).toEqual([undefined, undefined])
    expect(bare.txn).not.toBe(claims.txn)
  })

  const replaced = { subject_token_type: TXN_TOKEN, ...TRANSACTION }

  it('is replaced by one of the same TRANSACTION, never wider, while it stands', async () => {
    const { access_token } = await at.person()
    const asked = { ...TRANSACTION, scope: 'invoices:read reports:read', request_details: '{"invoice":"inv-1"}' }
    const first = await at.exchanged(access_token, at.chain.gateway, asked)
    const more = { ...replaced, request_details: '{"line":7}' }
    const second = claimsOf(await at.exchanged(first, at.chain.api, more))
    const before = claimsOf(first)
    expect(second).toMatchObject({
      txn: before.txn,
      sub: before.sub,
      aud: DOMAIN,
      req_wl: 'api',
      scope: 'invoices:read',
    })
    expect(second.tctx).toEqual({ invoice: 'inv-1', line: 7 })
    expect(second.exp).toBeLessThanOrEqual(before.exp)
    expect(actorsOf(second.act)).toEqual([at.subs.get('api'), at.subs.get('gateway')])
    expect(targetsOf(second, 'transaction')).toEqual([before.txn])
    const refused = async (change: Form, as: Party = at.chain.api) =>
      (await at.exchange(first, as, { ...replaced, ...change })).json
    expect(await refused({ scope: 'invoices:export' })).toEqual(fault('invalid_scope'))
    expect(await refused({ audience: 'ledger' })).toEqual(fault('invalid_target'))
    expect(await refused({ request_details: '{"invoice":"inv-2"}' })).toEqual(fault('invalid_request'))
    expect(await refused({ request_details: JSON.stringify({ x: 'x'.repeat(1000) }) })).toEqual(
      fault('invalid_request'),
    )
    // Outside the trust domain it is for nobody.
    expect(await refused({}, at.chain.ledger)).toEqual(SUBJECT)
    // Back to an access token for the next service.
    const forLedger = await at.exchanged(first, at.chain.api, { subject_token_type: TXN_TOKEN, audience: 'ledger' })
    expect(await at.seen(forLedger, at.chain.ledger)).toMatchObject({
      active: true,
      scope: 'invoices:read reports:read',
    })
    expect((await at.oauth.revoke(access_token, at.shop)).status).toBe(200)
    expect(await refused({})).toEqual(SUBJECT)
    expect(await at.seen(forLedger, at.chain.ledger)).toEqual({ active: false })
  })

  it('is given back like any other token, and ends with its transaction', async () => {
    const { access_token } = await at.person()
    const [one, two] = [
      await at.exchanged(access_token, at.chain.gateway, TRANSACTION),
      await at.exchanged(access_token, at.chain.gateway, TRANSACTION),
    ]
    expect((await at.oauth.revoke(one, at.chain.api)).json.error).toBe('invalid_grant')
    expect((await at.oauth.revoke(one, at.chain.gateway)).status).toBe(200)
    expect((await at.exchange(one, at.chain.api, replaced)).json).toEqual(SUBJECT)
    expect((await at.exchange(two, at.chain.api, replaced)).status).toBe(200)
    const target = { kind: 'transaction', id: claimsOf(two).txn }
    expect((await at.identity.operate('POST', '/v1/revocations', { target, reason: 'admin' })).status).toBe(200)
    expect((await at.exchange(two, at.chain.api, replaced)).json).toEqual(SUBJECT)
  })

  it.each<[string, Form, string]>([
    ['without scope', { scope: undefined }, 'invalid_request'],
    ['without audience', { audience: undefined }, 'invalid_request'],
    ['for another domain', { audience: 'api' }, 'invalid_target'],
    ['for more than the domain', { resource: 'api' }, 'invalid_target'],
    ['with wider scope', { scope: 'payments:run' }, 'invalid_scope'],
    ['with details that are no object', { request_details: '[]' }, 'invalid_request'],
    ['with details that are no JSON', { request_details: '{' }, 'invalid_request'],
    ['with too much context', { request_context: JSON.stringify({ x: 'x'.repeat(1024) }) }, 'invalid_request'],
  ])('is not had %s', async (_, more, error) => {
    const { access_token } = await at.person()
    const answer = await at.exchange(access_token, at.chain.gateway, { ...TRANSACTION, ...more })
    expect([answer.status, answer.json.error]).toEqual([400, error])
  })

  it('is not had by a client that may not name the domain', async () => {
    const { access_token } = await at.person()
    const atApi = await at.exchanged(access_token, at.chain.gateway, { audience: 'api' })
    const atLedger = await at.exchanged(atApi, at.chain.api)
    expect((await at.exchange(atLedger, at.chain.ledger, TRANSACTION)).json).toEqual(fault('invalid_target'))
  })
})
