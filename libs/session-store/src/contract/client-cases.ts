/** OAuth clients and how they end. */
import type { SignalTarget } from '@countersign/schemas'
import { expect, it } from 'vitest'
import { begin, ended, family, NOW, newClient, raise, type Seed, step } from './fixture.ts'

const target: SignalTarget = { kind: 'client', tenant: '', id: 'app' }

export function clientCases(seeded: Seed): void {
  it('makes, changes and lists clients, each change over the one it saw', async () => {
    const { store, open } = await seeded()
    const other = await open()
    const asked = newClient('app', { jwks: '{"keys":[]}', service: { sub: 'svc', tenant: 'acme' } })
    const made = { ...asked, scopes: ['invoices:read', 'reports:read'], state: 'active', revision: 1, createdAt: NOW }
    const both = await Promise.all([store.createClient(asked, NOW), other.createClient(asked, NOW)])
    expect(both).toContainEqual(made)
    expect(both).toContainEqual({ refused: 'client_exists' })
    expect(await store.client('app')).toEqual(made)
    expect(await store.client('none')).toBeNull()
    const wider = { ...asked, name: 'Wider', scopes: ['z', 'a'] }
    // A caller's own record may carry more than an administrator may say.
    const smuggled = { ...wider, state: 'disabled', revision: 9, createdAt: 1 } as typeof wider
    const changed = { ...made, name: 'Wider', scopes: ['a', 'z'], revision: 2 }
    const updates = await Promise.all([store.updateClient(smuggled, 1), other.updateClient(smuggled, 1)])
    expect(updates).toContainEqual(changed)
    expect(updates).toContainEqual({ refused: 'client_changed' })
    expect(await store.updateClient(newClient('none'), 1)).toEqual({ refused: 'client_unknown' })
    await store.createClient(newClient('aaa', { secretHash: null, authMethod: 'none' }), NOW + 1)
    expect((await store.clients()).map(({ id }) => id)).toEqual(['aaa', 'app'])
    expect((await store.clients())[1]).toEqual(changed)
  })

  it('ends what goes through a disabled client; afterwards a new session is needed', async () => {
    const { store } = await seeded()
    await store.createClient(newClient('app'), NOW)
    const { handle } = await begin(store, family({ client: 'app' }))
    const change = { kind: 'client_disabled', client: 'app' } as const
    await ended(store, step({ change, raises: [raise(target, 'reason:suspension')] }))
    expect(await store.session(handle, NOW)).toBeNull()
    expect(await store.client('app')).toMatchObject({ state: 'disabled', revision: 2 })
    expect(await store.createSession(family({ client: 'app' }))).toEqual({ refused: 'client_not_active' })
    expect(await store.restoreClient('app')).toMatchObject({ state: 'active', revision: 3 })
    expect(await store.restoreClient('app')).toMatchObject({ state: 'active', revision: 3 })
    expect(await store.restoreClient('none')).toEqual({ refused: 'client_unknown' })
    expect(await store.session(handle, NOW)).toBeNull()
    const next = await begin(store, family({ client: 'app', now: NOW + 2 }))
    expect(await store.session(next.handle, NOW + 2)).not.toBeNull()
    expect(await store.end(step({ change: { kind: 'client_disabled', client: 'none' } }))).toEqual({
      refused: 'client_unknown',
    })
  })

  it('rotates the secret and narrows a client over the revision it was judged by', async () => {
    const { store } = await seeded()
    await store.createClient(newClient('app'), NOW)
    const secretHash = Buffer.from('another')
    const rotation = { kind: 'client_secret_rotated', client: 'app', secretHash, revision: 1 } as const
    await ended(store, step({ change: rotation, raises: [raise(target, 'reason:password_reset')] }))
    expect(await store.client('app')).toMatchObject({ secretHash, revision: 2 })
    expect(await store.end(step({ change: rotation }))).toEqual({ refused: 'client_changed' })
    const narrowed = newClient('app', { secretHash, scopes: [], grants: ['client_credentials'] })
    const narrowing = { kind: 'client_narrowed', client: narrowed, revision: 2 } as const
    await ended(store, step({ change: narrowing, raises: [raise(target, 'reason:role_change')] }))
    expect(await store.client('app')).toMatchObject({ ...narrowed, state: 'active', revision: 3 })
    expect(await store.end(step({ change: narrowing }))).toEqual({ refused: 'client_changed' })
    const unknown = { ...rotation, client: 'none' }
    expect(await store.end(step({ change: unknown }))).toEqual({ refused: 'client_unknown' })
  })
}
