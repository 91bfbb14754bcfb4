import { join } from 'node:path'
import { sealTxnToken, type TxnTokenClaims } from '@countersign/envelope'
import { newHandle, systemRandom } from '@countersign/kernel'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KeyOrder, readSigningKey } from '../key-files.ts'
import { type Reply, until } from '../testing.ts'
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
import type { Form } from './testing.ts'

type Row = [kind: string, tenant: string, id: string, version: number]

const order = (name: string, more: Partial<KeyOrder> = {}): KeyOrder => ({
  name,
  use: 'envelope',
  tenants: ['acme'],
  topics: ['txn-token'],
  ...more,
})
const ORDERS = [
  order('edge'),
  order('elsewhere', { tenants: ['beta'] }),
  order('jobs', { topics: ['invoices.export'] }),
  order('derived', { use: 'derive' }),
]
const SUBJECT = { error: 'invalid_request', error_description: expect.stringMatching(/^the subject token is unknown/) }
const SHOWN: Form = { subject_token_type: TXN_TOKEN }
const FOR_LEDGER: Form = { ...SHOWN, audience: 'ledger', scope: 'invoices:read' }

let at: ExchangeWorld
beforeAll(async () => {
  // A machine that is busy with other things stays fresh.
  at = await ExchangeWorld.start(ORDERS, { COUNTERSIGN_MAX_STALENESS: '4s' })
})
afterAll(() => at.world.destroy())

/** What a boundary seals of a request that came with a cookie, or with an access token. */
async function shown(name: string, by: 'cookie' | 'bearer'): Promise<TxnTokenClaims> {
  const now = at.world.clock.now()
  const second = Math.floor(now / 1000)
  const { access_token, browser } = await at.person(name)
  const { iss: _, aud: __, ...bearer } = claimsOf(access_token)
  const ofBearer = bearer.targets as Row[]
  const session = (await browser.resolve()).json
  const ofCookie = session.targets.map(({ kind, tenant, id, version }: Record<string, string | number>) => [
    kind,
    tenant ?? '',
    id ?? '',
    version,
  ]) as Row[]
  const cookie = { ...bearer, client_id: undefined, sid: session.session, targets: ofCookie }
  const [jti, txn] = [newHandle(systemRandom, 'tok'), newHandle(systemRandom, 'txn')]
  const own: Row[] = [
    ['token', '', jti, now],
    ['transaction', '', txn, now],
  ]
  return {
    ...(by === 'cookie' ? cookie : bearer),
    aud: DOMAIN,
    iat: second,
    exp: second + 60,
    jti,
    txn,
    targets: [...(by === 'cookie' ? ofCookie : ofBearer), ...own],
    req_wl: 'edge',
    credential: by === 'cookie' ? 'session_cookie' : 'jwt',
    credential_exp: second + 3600,
    position: { log_id: 'log-1', offset: 7 },
    request_id: 'r-1',
    correlation_id: 'c-1',
    tctx: { invoice: 'inv-1' },
    rctx: { req_ip: '192.0.2.1' },
  } as unknown as TxnTokenClaims
}

const sealed = (claims: TxnTokenClaims, key = 'edge'): string =>
  sealTxnToken(claims, readSigningKey(join(at.world.folder, 'keys'), key))

const exchange = (token: string, more: Form = FOR_LEDGER): Promise<Reply> => at.exchange(token, at.chain.api, more)

describe('a Txn-Token sealed by a boundary', () => {
  it.each(['cookie', 'bearer'] as const)('of a %s is exchanged as one of identity is', async (by) => {
    const claims = await shown('bob', by)
    const token = sealed(claims)
    expect(headerOf(token)).toEqual({ alg: 'EdDSA', typ: 'txntoken+jwt', kid: 'edge' })
    const { json } = await exchange(token)
    expect(json).toMatchObject({ token_type: 'Bearer', scope: 'invoices:read' })
    const seen = await at.seen(json.access_token, at.chain.ledger)
    const { sub, tenant, sid } = claims as unknown as Record<string, string>
    expect(seen).toMatchObject({ active: true, sub, tenant, sid, aud: 'ledger', client_id: 'api' })
    expect(seen.exp).toBeLessThanOrEqual(claims.exp)
    expect(actorsOf(seen.act)).toEqual([at.subs.get('api')])
    for (const target of claims.targets as Row[]) expect(seen.targets).toContainEqual(target)
    expect(targetsOf(seen, 'transaction')).toEqual([claims.txn])

    const replaced = await exchange(token, { ...SHOWN, ...TRANSACTION, request_details: '{"line":7}' })
    const next = claimsOf(replaced.json.access_token)
    const { txn, credential, credential_exp, position, request_id, correlation_id } = claims
    expect(next).toMatchObject({ txn, credential, credential_exp, position, request_id, correlation_id })
    expect(next).toMatchObject({ iss: ISSUER, aud: DOMAIN, req_wl: 'api', tctx: { invoice: 'inv-1', line: 7 } })
    expect(next).toMatchObject({ rctx: { req_ip: '192.0.2.1' } })
    expect(targetsOf(next, 'token')).toEqual([...targetsOf(claims as never, 'token'), next.jti])
    // And that one as any other.
    expect((await exchange(replaced.json.access_token)).status).toBe(200)
  })

  it('is for those of the trust domain alone, with no more than it has', async () => {
    const token = sealed(await shown('eve', 'cookie'))
    expect((await at.exchange(token, at.chain.ledger, { ...SHOWN, audience: 'archive' })).json).toEqual(SUBJECT)
    expect((await exchange(token, { ...FOR_LEDGER, scope: 'payments:run' })).json.error).toBe('invalid_scope')
    expect((await exchange(token, { ...FOR_LEDGER, audience: 'archive' })).json.error).toBe('invalid_target')
    expect((await exchange(token, { ...FOR_LEDGER, subject_token_type: undefined })).json.error).toBe('invalid_request')
    const asAccess = 'urn:ietf:params:oauth:token-type:access_token'
    expect((await exchange(token, { ...FOR_LEDGER, subject_token_type: asAccess })).json).toEqual(SUBJECT)
  })

  it.each<[string, (claims: Record<string, unknown> & { targets: Row[] }) => object, string?]>([
    ['of another domain', () => ({ aud: 'beta.internal' })],
    ['that has expired', ({ iat }) => ({ iat: Number(iat) - 60, exp: iat })],
    ['from the future', ({ iat }) => ({ iat: Number(iat) + 30 })],
    ['of a tenant its key is not for', () => ({}), 'elsewhere'],
    ['under a key for jobs', () => ({}), 'jobs'],
    ['under a key for derived work', () => ({}), 'derived'],
    ['of a webhook, which nobody stands behind', () => ({ principal: 'webhook' })],
    ['without txn', () => ({ txn: undefined })],
    ['of another person than its targets', () => ({ sub: 'sub_ann' })],
    ['of a session not among its targets', () => ({ sid: 'ses_other' })],
    ['of a client not among its targets', () => ({ client_id: 'shop' })],
    ['with an actor not among its targets', () => ({ act: { sub: 'sub_ann', principal: 'user' } })],
    ['without its transaction', ({ targets }) => ({ targets: targets.filter(([kind]) => kind !== 'transaction') })],
    ['without itself', ({ targets }) => ({ targets: targets.filter(([kind]) => kind !== 'token') })],
    ['without its session', ({ targets }) => ({ targets: targets.filter(([kind]) => kind !== 'session') })],
    ['without the tenant', ({ targets }) => ({ targets: targets.filter(([kind]) => kind !== 'tenant') })],
    ['without the place', ({ targets }) => ({ targets: targets.filter(([kind]) => kind !== 'affiliation') })],
    ['with a target of no kind', ({ targets }) => ({ targets: [...targets, ['other', '', 'x', 1]] })],
    ['with a target of five parts', ({ targets }) => ({ targets: [...targets, ['token', '', 'x', 1, 1]] })],
    [
      'with too many targets',
      ({ targets }) => ({
        targets: [...targets, ...Array.from({ length: 32 }, (_, i) => ['token', '', `tok_${i}`, 1])],
      }),
    ],
  ])('%s is none', async (_, change, key) => {
    const claims = (await shown('fay', 'cookie')) as never
    const changed = { ...(claims as object), ...change(claims) } as TxnTokenClaims
    expect((await exchange(sealed(changed, key))).json).toEqual(SUBJECT)
    expect((await exchange(sealed(claims))).status).toBe(200)
  })

  it('with another spelling of its signature, or another key under its name, is none', async () => {
    const claims = await shown('gus', 'cookie')
    const token = sealed(claims)
    const [head, body] = token.split('.')
    const [, , other] = sealed(claims, 'jobs').split('.')
    for (const text of [`${head}.${body}.${other}`, `${token}=`, `${token}.`, ` ${token}`, `${head}.${body}.`])
      expect((await exchange(text)).json).toEqual(SUBJECT)
  })

  it.each<[string, 'cookie' | 'bearer', (claims: TxnTokenClaims) => object]>([
    ['session', 'cookie', ({ sid }) => ({ kind: 'session', id: sid })],
    [
      'session behind its family',
      'bearer',
      ({ targets }) => ({ kind: 'session', id: targetsOf({ targets } as never, 'session')[0] }),
    ],
    ['family', 'bearer', ({ sid }) => ({ kind: 'family', id: sid })],
    [
      'access token it came from',
      'bearer',
      ({ targets }) => ({ kind: 'token', id: targetsOf({ targets } as never, 'token')[0] }),
    ],
    ['token itself', 'cookie', ({ jti }) => ({ kind: 'token', id: jti })],
    ['transaction', 'cookie', ({ txn }) => ({ kind: 'transaction', id: txn })],
    ['person', 'cookie', ({ sub }) => ({ kind: 'subject', id: sub })],
  ])('ends with its %s, and all that came of it', async (_, by, targetOf) => {
    const { name } = await at.identity.person()
    const claims = await shown(name, by)
    const token = sealed(claims)
    const forLedger = (await exchange(token)).json.access_token
    const replaced = (await exchange(token, { ...SHOWN, ...TRANSACTION })).json.access_token
    const forArchive = await at.exchanged(forLedger, at.chain.ledger, { audience: 'archive' })
    expect(await at.seen(forArchive, at.chain.archive)).toMatchObject({ active: true })
    const ended = { target: targetOf(claims), reason: 'admin' }
    expect((await at.identity.operate('POST', '/v1/revocations', ended)).status).toBe(200)
    for (const one of [token, replaced]) expect((await exchange(one)).json).toEqual(SUBJECT)
    expect(await at.seen(forLedger, at.chain.ledger)).toEqual({ active: false })
    expect(await at.seen(forArchive, at.chain.archive)).toEqual({ active: false })
  })

  it('is not judged while the own view is not fresh; those of identity are', async () => {
    const claims = await shown('hal', 'cookie')
    const own = (await exchange(sealed(claims), { ...SHOWN, ...TRANSACTION })).json.access_token
    if (at.world.log) at.world.log.mode = 'away'
    try {
      await until(async () => (await exchange(sealed(claims))).status === 503)
      const { status, json } = await exchange(sealed(claims))
      expect([status, json.error]).toEqual([503, 'temporarily_unavailable'])
      expect((await at.oauth.revoke(sealed(claims), at.shop)).status).toBe(503)
      expect((await exchange(own)).status).toBe(200)
    } finally {
      if (at.world.log) at.world.log.mode = 'present'
    }
    await until(async () => (await exchange(sealed(claims))).status === 200)
  })
})
