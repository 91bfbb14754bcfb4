/** Tenants shared between two logs: by whose view an identity is judged, and with whose position it is sealed. */
import { ed25519Key, generateEd25519, KeyRing, Opener, type SigningKey } from '@countersign/envelope'
import { testAuthority } from '@countersign/envelope/testing'
import { SeededRandom } from '@countersign/kernel/testing'
import type { ByTenant } from '@countersign/replica'
import { ENVELOPE_HEADER, type EnvelopeClaims, exampleCatalogue, logNameOf } from '@countersign/schemas'
import { describe, expect, test } from 'vitest'
import type { JudgingView } from './authority.ts'
import type { BoundaryOptions } from './boundary.ts'
import { FakeView, NOW, type Stand, stand } from './testing.ts'
import { txnTokens } from './testing-txn-tokens.ts'

const EXPORT = { topic: 'invoices.export', value: { invoice_id: 'i-1', format: 'csv', work_ms: 0 } } as const
const SESSION = { kind: 'session', tenant: '', id: 's_1' } as const
const POSITIONS = { acme: { log_id: 'eu.log-2', offset: 7 }, globex: { log_id: 'log-1', offset: 41 } }

/** One boundary, `acme` on the log `eu` and everybody else on `main`, with one key that both bundles name. */
function two(options: Partial<BoundaryOptions> = {}): Stand & { readonly main: FakeView; readonly eu: FakeView } {
  const authority = testAuthority(7)
  const main = new FakeView(authority)
  const eu = new FakeView(testAuthority(7, (grant) => ({ ...grant, tenants: ['acme'] })))
  eu.logId = 'eu.log-2'
  eu.offset = 7
  const logOf = (tenant: string): string => (tenant === 'acme' ? 'eu' : 'main')
  const byTenant: ByTenant<JudgingView> = {
    views: [main, eu],
    logs: ['main', 'eu'],
    viewOf: (tenant) => (logOf(tenant) === 'eu' ? eu : main),
    isElsewhere: ({ log_id }, tenant) => logNameOf(log_id) !== logOf(tenant),
  }
  const nobody = new FakeView(authority)
  nobody.ringInForce = null
  nobody.fresh = false
  const tells = (fn: Parameters<FakeView['onSignal']>[0]) => {
    const ends = [main.onSignal(fn), eu.onSignal(fn)]
    return () => ends.forEach((end) => void end())
  }
  const replica = Object.assign(nobody, { byTenant, onSignal: tells })
  return Object.assign(stand({ replica, ...options }, authority), { main, eu })
}

async function sealed(here: Stand, tenant: 'acme' | 'globex'): Promise<EnvelopeClaims> {
  const identity = await here.identityOf({ tenant, position: POSITIONS[tenant] })
  await here.boundary.jobs.send({ ...EXPORT, identity })
  const record = here.log.partition('invoices.export.v1').records.at(-1)
  const header = record?.headers.find(([name]) => name === ENVELOPE_HEADER)?.[1] as Uint8Array
  const { key = null, value = null } = record ?? {}
  const context = { now: NOW, epsilonMs: 250, topic: 'invoices.export', audience: 'billing-export', key, value }
  const opened = new Opener().open(header, { ...context, ring: here.authority.ring })
  if (!opened.ok) throw new Error(opened.code)
  return opened.envelope.claims
}

describe('an envelope', () => {
  test('names the position of its tenant’s log', async () => {
    const here = two()
    here.eu.offset = 9
    expect((await sealed(here, 'acme')).tctx.position).toEqual({ log_id: 'eu.log-2', offset: 9 })
    expect((await sealed(here, 'globex')).tctx.position).toEqual({ log_id: 'log-1', offset: 41 })
  })

  test('names what identity answered where that is further on', async () => {
    const here = two()
    const identity = await here.identityOf({ tenant: 'acme', position: { log_id: 'eu.log-2', offset: 12 } })
    expect(await here.boundary.demand(identity, {})).toEqual({ ok: true })
    here.eu.offset = 3
    expect((await sealed(here, 'acme')).tctx.position).toEqual({ log_id: 'eu.log-2', offset: 7 })
  })

  test('needs a grant of its tenant’s bundle', async () => {
    const here = two()
    here.eu.ringInForce = testAuthority(7, (grant) => ({ ...grant, tenants: ['initech'] })).ring
    await expect(sealed(here, 'acme')).rejects.toMatchObject({ denial: 'key_not_granted' })
    await expect(sealed(here, 'globex')).resolves.toBeDefined()
  })
})

describe('an identity', () => {
  test('is ended by a signal on its tenant’s log alone', async () => {
    const here = two()
    here.main.raise(SESSION, 'reason:logout', NOW)
    await expect(here.identityOf({ tenant: 'acme', position: POSITIONS.acme })).resolves.toBeDefined()
    await expect(here.identityOf({ tenant: 'globex', position: POSITIONS.globex })).rejects.toThrow(
      'credential_revoked',
    )
    here.eu.raise(SESSION, 'reason:logout', NOW)
    await expect(here.identityOf({ tenant: 'acme', position: POSITIONS.acme })).rejects.toThrow('credential_revoked')
  })

  test('with a position on another log is refused: whoever answered has other logs', async () => {
    const here = two()
    await expect(here.identityOf({ tenant: 'acme', position: POSITIONS.globex })).rejects.toThrow('credential_invalid')
    await expect(here.identityOf({ tenant: 'globex', position: POSITIONS.acme })).rejects.toThrow('credential_invalid')
  })

  test('is judged stale with its tenant’s log alone', async () => {
    const here = two({ remember: { maxAgeMs: 600_000 } })
    const [acme, globex] = await Promise.all([
      here.identityOf({ tenant: 'acme', position: POSITIONS.acme }),
      here.identityOf({ tenant: 'globex', position: POSITIONS.globex }),
    ])
    here.eu.fresh = false
    await here.clock.advance(60_000)
    expect(here.boundary.demand(acme, {})).toMatchObject({ code: 'view_not_fresh' })
    expect(here.boundary.demand(globex, {})).toEqual({ ok: true })
  })
})

describe('readiness', () => {
  test('goes only with the last log', () => {
    const here = two()
    expect(here.boundary.notReady()).toEqual([])
    here.main.fresh = false
    expect(here.boundary.notReady()).toEqual([])
    here.eu.ringInForce = null
    expect(here.boundary.notReady()).toEqual(['view_not_fresh'])
  })
})

describe('an open connection', () => {
  test('is told what its tenant’s log says, and ends blind with it', async () => {
    const here = two()
    const told: string[] = []
    for (const tenant of ['acme', 'globex'] as const) {
      const identity = await here.identityOf({ tenant, position: POSITIONS[tenant], expiresAt: null })
      here.boundary.watch(identity, ({ code }) => void told.push(`${tenant} ${code}`))
    }
    await here.clock.advance(5_000)
    here.main.raise(SESSION, 'reason:logout', NOW)
    await here.clock.advance(0)
    expect(told).toEqual(['globex credential_revoked'])
    here.main.fresh = false
    await here.clock.advance(60_000)
    expect(told).toHaveLength(1)
    here.eu.fresh = false
    await here.clock.advance(60_000)
    expect(told).toEqual(['globex credential_revoked', 'acme view_not_fresh'])
  })
})

describe('a transaction token', () => {
  async function tokenOf(here: Stand, tenant: 'acme' | 'globex'): Promise<string> {
    const made = here.boundary.txnToken(await here.identityOf({ tenant, position: POSITIONS[tenant] }))
    if (!made.ok) throw new Error(made.code)
    return made.text
  }

  test('goes on with its tenant’s log', async () => {
    const here = two({ txnTokens })
    for (const tenant of ['acme', 'globex'] as const) {
      const shown = await here.boundary.present({ txnToken: await tokenOf(here, tenant) })
      expect(shown).toMatchObject({ ok: true, identity: { tenant, position: POSITIONS[tenant] } })
    }
  })

  test('is not taken by the keys of another log', async () => {
    const here = two({ txnTokens })
    const text = await tokenOf(here, 'acme')
    here.eu.ringInForce = withKey(otherKey())
    // `main` names the key that signed it, for every tenant: that says nothing of tenants it does not own.
    expect(await here.boundary.present({ txnToken: text })).toMatchObject({ ok: false, code: 'credential_invalid' })
  })

  function otherKey(): SigningKey & { readonly publicKey: Buffer } {
    const { publicKey, privateKeyPem } = generateEd25519(new SeededRandom(3))
    return { ...ed25519Key('env-3', privateKeyPem), publicKey }
  }

  function withKey({ keyId, publicKey }: ReturnType<typeof otherKey>): KeyRing {
    const { bundle } = testAuthority(7)
    const [grant] = bundle.keys
    if (grant === undefined) throw new Error('a bundle has keys')
    return new KeyRing({ ...bundle, keys: [{ ...grant, key_id: keyId, public_key: publicKey }] })
  }
})

test('one log costs nothing: there is one view, and it judges everybody', async () => {
  const here = stand({ catalogue: exampleCatalogue })
  expect((await here.identityOf({ tenant: 'globex' })).tenant).toBe('globex')
})
