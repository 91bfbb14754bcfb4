import { generateKeyPairSync, sign } from 'node:crypto'
import { KeyRing } from '@countersign/envelope'
import { describe, expect, test, vi } from 'vitest'
import type { Demands } from './demands.ts'
import type { BoundaryIdentity } from './identity.ts'
import { cookieRequest, type FakeView, NOW, OWN_CLAIMS, person, requestOf, type Stand, stand } from './testing.ts'

const SESSION = { kind: 'session', tenant: '', id: 's_1' } as const
const settle = (here: Stand) => here.clock.advance(0)

async function identityOf(here: Stand, request = cookieRequest): Promise<BoundaryIdentity> {
  const admission = await here.boundary.admit(request)
  if (!admission.ok) throw new Error(admission.code)
  return admission.identity
}
/** A boundary with one open connection, and what it was told. */
async function open(over: Parameters<typeof person>[0] = {}, demands?: Pick<Demands, 'scopes'>) {
  const here = stand()
  here.answer = { ok: true, identity: person(over) }
  const told: string[] = []
  const identity = await identityOf(here)
  const close = here.boundary.watch(identity, (denial) => void told.push(denial.code), demands)
  await settle(here)
  return { ...here, here, identity, told, close }
}

describe('an open connection', () => {
  test('is told at once that its session ended, once', async () => {
    const { here, view, told } = await open()
    expect(told).toEqual([])
    view.raise(SESSION, 'reason:logout', NOW)
    await Promise.resolve()
    expect(told).toEqual(['credential_revoked'])
    view.raise(SESSION, 'reason:compromise', NOW + 1)
    await here.clock.advance(86_400_000)
    expect(told).toEqual(['credential_revoked'])
  })

  test.each<[string, Parameters<FakeView['raise']>[0]]>([
    ['subject', { kind: 'subject', tenant: '', id: 'u_1' }],
    ['tenant', { kind: 'tenant', tenant: 'acme', id: '' }],
    ['affiliation', { kind: 'affiliation', tenant: 'acme', id: 'u_1' }],
  ])('is told that its %s ended', async (_, target) => {
    const { here, view, told } = await open()
    view.raise(target, 'reason:suspension', NOW)
    await settle(here)
    expect(told).toEqual(['credential_revoked'])
  })

  test('is told that its own transaction ended', async () => {
    const { here, view, told, identity } = await open()
    view.raise({ kind: 'transaction', tenant: '', id: identity.txn }, 'reason:admin', NOW + 1)
    await settle(here)
    expect(told).toEqual(['credential_revoked'])
  })

  test('is left open by what ends others, or what came before it', async () => {
    const { here, view, told } = await open()
    view.raise({ ...SESSION, id: 's_2' }, 'reason:logout', NOW)
    view.raise(SESSION, 'reason:logout', NOW - 60_000)
    await settle(here)
    expect(told).toEqual([])
  })

  test('is told of a scope it needs, and of no other', async () => {
    const { here, view, told } = await open({}, { scopes: ['invoices:read'] })
    const affiliation = { kind: 'affiliation', tenant: 'acme', id: 'u_1' } as const
    view.raise(affiliation, 'scope:invoices:export', NOW)
    await settle(here)
    expect(told).toEqual([])
    view.raise(affiliation, 'scope:invoices:read', NOW)
    await settle(here)
    expect(told).toEqual(['scope_missing'])
  })

  test('is told of what ended between its being let in and its being watched, after the call', async () => {
    const here = stand()
    const identity = await identityOf(here)
    here.view.raise(SESSION, 'reason:logout', NOW)
    const onEnd = vi.fn()
    here.boundary.watch(identity, onEnd)
    expect(onEnd).not.toHaveBeenCalled()
    await settle(here)
    expect(onEnd).toHaveBeenCalledOnce()
  })

  test('ends when its credential does', async () => {
    const { here, told } = await open({ expiresAt: NOW + 5_000 })
    await here.clock.advance(4_999)
    expect(told).toEqual([])
    await here.clock.advance(1)
    expect(told).toEqual(['credential_expired'])
  })

  test('ends when the clock says so, however long its timer ran', async () => {
    const { here, told } = await open({ expiresAt: NOW + 5_000 })
    here.clock.step(-3_000)
    await here.clock.advance(5_000)
    expect(told).toEqual([])
    await here.clock.advance(3_000)
    expect(told).toEqual(['credential_expired'])
  })

  test('without an end stays', async () => {
    const { here, told } = await open({ expiresAt: null })
    await here.clock.advance(3_600_000)
    expect(told).toEqual([])
  })

  test('of a self-contained credential ends with the window', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const keys = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1' }] }
    const here = stand({
      issuers: [
        {
          issuer: OWN_CLAIMS.iss,
          audience: 'api',
          algorithms: ['EdDSA'],
          typ: 'at+jwt',
          maxAgeS: 600,
          keys,
          identifiers: 'own',
        },
      ],
    })
    here.view.ringInForce = new KeyRing({ ...here.authority.bundle, window_ms: 60_000 })
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const input = `${part({ alg: 'EdDSA', kid: 'k1', typ: 'at+jwt' })}.${part(OWN_CLAIMS)}`
    const token = `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`
    const told: string[] = []
    here.boundary.watch(
      await identityOf(here, requestOf([['Authorization', `Bearer ${token}`]])),
      ({ code }) => void told.push(code),
    )
    await here.clock.advance(59_999)
    expect(told).toEqual([])
    await here.clock.advance(1)
    expect(told).toEqual(['credential_expired'])
  })

  test('ends when nothing vouches for it any more: the view is older than the budget', async () => {
    const { here, view, told } = await open()
    view.ageMs = 10_000
    await here.clock.advance(1_000)
    expect(told).toEqual([])
    view.ageMs = 10_001
    await here.clock.advance(1_000)
    expect(told).toEqual(['view_not_fresh'])
  })

  test('opened under a view that is too old already is told so, after the call', async () => {
    const here = stand()
    const identity = await identityOf(here)
    here.view.ageMs = 10_001
    const onEnd = vi.fn()
    here.boundary.watch(identity, onEnd)
    expect(onEnd).not.toHaveBeenCalled()
    await settle(here)
    expect(onEnd).toHaveBeenCalledOnce()
    expect(here.view.listeners).toBe(0)
  })

  test('outlives a view that is closed for a moment, by no more than the budget', async () => {
    const { here, view, told } = await open()
    await here.clock.advance(5_000)
    view.fresh = false
    await here.clock.advance(8_000)
    view.fresh = true
    await here.clock.advance(1_000)
    expect(told).toEqual([])
    view.fresh = false
    // Its last proof was a second old.
    await here.clock.advance(9_000)
    expect(told).toEqual([])
    await here.clock.advance(1_000)
    expect(told).toEqual(['view_not_fresh'])
  })

  test('closed by its owner is told nothing', async () => {
    const { here, view, told, close } = await open({ expiresAt: NOW + 5_000 })
    close()
    close()
    view.raise(SESSION, 'reason:logout', NOW)
    await here.clock.advance(60_000)
    expect(told).toEqual([])
  })

  test('of nobody known, or without a view that tells, is not watched', async () => {
    const { here, identity } = await open()
    const thrown = (code: string) => expect.objectContaining({ code })
    expect(() => here.boundary.watch({ ...identity }, () => {})).toThrowError(thrown('BOUNDARY_IDENTITY_UNKNOWN'))
    const silent = stand()
    const { floors, freshness, position, reached, ring } = silent.view
    const view = { floors, freshness, position, reached, ring }
    for (const name of Object.keys(view) as (keyof typeof view)[]) view[name] = view[name].bind(silent.view) as never
    const other = stand({ replica: view }, silent.authority)
    const known = await identityOf(other)
    expect(() => other.boundary.watch(known, () => {})).toThrowError(thrown('BOUNDARY_OPTIONS_INVALID'))
  })
})

describe('many open connections', () => {
  async function many(count: number, logger?: { error: (...args: unknown[]) => void }) {
    const here = stand(logger ? { logger: logger as never } : {})
    const told: string[] = []
    for (let i = 0; i < count; i++) {
      const [tenant, id] = [`t_${i % 4}`, `s_${i}`]
      const targets = [
        { kind: 'tenant', tenant, id: '', version: NOW - 1 },
        { kind: 'session', tenant: '', id, version: NOW - 1 },
      ] as const
      here.answer = { ok: true, identity: person({ tenant, session: id, targets }) }
      here.boundary.watch(await identityOf(here), () => void told.push(id))
    }
    await settle(here)
    return { here, told }
  }

  test('a signal is judged for those it names alone, signals of one go once', async () => {
    const { here, told } = await many(400)
    const floors = vi.spyOn(here.view, 'floors')
    here.view.raise({ kind: 'session', tenant: '', id: 's_7' }, 'reason:logout', NOW)
    here.view.raise({ kind: 'session', tenant: '', id: 's_7' }, 'reason:compromise', NOW)
    here.view.raise({ kind: 'session', tenant: '', id: 's_none' }, 'reason:logout', NOW)
    await settle(here)
    expect(told).toEqual(['s_7'])
    expect(floors.mock.calls.length).toBeLessThanOrEqual(3)
    here.view.raise({ kind: 'tenant', tenant: 't_1', id: '' }, 'reason:admin', NOW)
    await settle(here)
    expect(told).toHaveLength(101)
  })

  test('one that cannot be closed keeps no other open', async () => {
    const errors: unknown[] = []
    const { here, told } = await many(4, { error: (...args) => void errors.push(args) })
    const identity = await identityOf(here)
    here.boundary.watch(identity, () => {
      throw new Error('broken pipe')
    })
    here.boundary.watch(identity, () => void told.push('last'))
    await settle(here)
    here.view.raise({ kind: 'tenant', tenant: identity.tenant, id: '' }, 'reason:admin', NOW)
    await settle(here)
    expect(told).toEqual(['s_3', 'last'])
    expect(errors).toHaveLength(1)
  })

  test('the last one closed leaves nothing behind: no listener, no timer', async () => {
    const here = stand()
    const waiting = new Set<() => void>()
    const after = here.clock.after.bind(here.clock)
    here.clock.after = (ms, fn) => {
      const fire = (): void => {
        waiting.delete(fire)
        fn()
      }
      waiting.add(fire)
      const cancel = after(ms, fire)
      return () => {
        waiting.delete(fire)
        cancel()
      }
    }
    const identity = await identityOf(here)
    const closers = Array.from({ length: 10 }, () => here.boundary.watch(identity, () => {}))
    await here.clock.advance(5_000)
    expect([waiting.size, here.view.listeners]).toEqual([11, 1])
    for (const close of closers) close()
    expect([waiting.size, here.view.listeners]).toEqual([0, 0])
  })
})
