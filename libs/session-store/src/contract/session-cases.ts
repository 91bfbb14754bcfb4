/** Sessions of all kinds: whose they are, what they hang on, how many there may be. */
import type { SignalTarget } from '@countersign/schemas'
import { expect, it } from 'vitest'
import type { NewSession, SessionStore } from '../port.ts'
import type { AuthorizationCode, Session } from '../records.ts'
import {
  begin,
  bytes,
  ended,
  ending,
  family,
  HOUR,
  login,
  NOW,
  newClient,
  newDevice,
  person,
  raise,
  type Seed,
  step,
} from './fixture.ts'

const handlesOf = async (store: SessionStore, sub = 'sub-1', now = NOW): Promise<string[]> =>
  (await store.sessionsOf(sub, now)).map(({ handle }) => handle)

export function sessionCases(seeded: Seed): void {
  it('keeps what a session was begun with, and takes client, device and parent as targets', async () => {
    const { store } = await seeded()
    await store.createClient(newClient('reports'), NOW)
    const parent = await begin(store, login(1, { now: NOW + 1 }))
    const act = [{ sub: 'sub-9', principal: 'user' }] as const
    const asked = family({
      ...{ client: 'reports', device: newDevice('dev_1'), parent: parent.handle, act, acr: 'high', now: NOW + 2 },
      scope: ['b', 'a', 'b'],
      absoluteExpiresAt: NOW + 100 * HOUR,
      idleExpiresAt: NOW + 50 * HOUR,
    })
    const session = await begin(store, asked)
    expect(session).toEqual({
      ...{ handle: asked.handle, kind: 'family', sub: 'sub-1', tenant: 'acme', client: 'reports', device: 'dev_1' },
      ...{ act, parent: parent.handle, scope: ['a', 'b'], createdAt: NOW + 2, lastSeenAt: NOW + 2 },
      // It must not outlive its parent.
      ...{ idleExpiresAt: parent.absoluteExpiresAt, absoluteExpiresAt: parent.absoluteExpiresAt },
      ...{ authTime: NOW, amr: ['pwd'], acr: 'high', newDevice: true },
      targets: [
        ...parent.targets.slice(0, 3),
        { kind: 'family', tenant: '', id: asked.handle, version: NOW + 2 },
        { kind: 'device', tenant: '', id: 'dev_1', version: NOW + 2 },
        { kind: 'client', tenant: '', id: 'reports', version: NOW + 2 },
        { kind: 'session', tenant: '', id: parent.handle, version: NOW + 1 },
      ],
      refresh: {
        ...{ keyId: 'k1', nonce: asked.credential.kind === 'refresh' && asked.credential.nonce },
        ...{ generation: 1, rotations: [] },
      },
    })
    expect(await store.session(asked.handle, NOW + 3)).toEqual(session)
  })

  it('refuses what cannot begin, each for its reason', async () => {
    const { store } = await seeded()
    await store.createClient(newClient('off'), NOW)
    await ended(store, step({ change: { kind: 'client_disabled', client: 'off' } }))
    const refusals: [Partial<NewSession>, string][] = [
      [{ sub: 'nobody' }, 'account_unknown'],
      [{ tenant: 'nowhere' }, 'affiliation_unknown'],
      [{ accountRevision: 2 }, 'account_changed'],
      [{ client: 'nothing' }, 'client_not_active'],
      [{ client: 'off' }, 'client_not_active'],
      [{ parent: 'ses_none' }, 'parent_ended'],
      [{ codeHash: bytes(32) }, 'code_unknown'],
      [{ most: 0 }, 'session_limit'],
      [{ seenSeq: 1 }, 'store_behind_log'],
    ]
    for (const [changes, refused] of refusals) {
      expect(await store.createSession(login(1, changes))).toEqual({ refused })
    }
    expect(await store.sessionsOf('sub-1', NOW)).toEqual([])
  })

  it('gives a lost answer again, and never lets a handle or a secret stand for two sessions', async () => {
    const { store, open } = await seeded()
    const other = await open()
    const asked = login(1, { device: newDevice('dev_1') })
    const answers = await Promise.all([store, other, store].map((s) => s.createSession(asked)))
    expect(answers[1]).toEqual(answers[0])
    expect(answers[2]).toEqual(answers[0])
    expect(await handlesOf(store)).toEqual([asked.handle])
    expect(await store.createSession(login(1, { handle: asked.handle }))).toEqual({ refused: 'id_reused' })
    expect(await store.createSession(login(1, { credential: asked.credential }))).toEqual({ refused: 'id_reused' })
    await ended(store, ending(await begin(store, asked)))
    expect(await store.createSession(asked)).toEqual({ refused: 'session_unknown' })
  })

  it('ends with its parent, by whatever the parent ends, and goes on when a sibling ends', async () => {
    const { store } = await seeded()
    const parent = await begin(store, login(1, { idleExpiresAt: NOW + 10 }))
    const child = login(1, { parent: parent.handle })
    await begin(store, child)
    const sibling = await begin(store, login(1, { parent: parent.handle }))
    const grandchild = login(null, { parent: child.handle })
    await begin(store, grandchild)
    await ended(store, ending(sibling))
    expect(await store.resolveSession(child.secretHash, NOW + 9)).not.toBeNull()
    // Idle, though no sweeper has told of it.
    expect(await store.resolveSession(grandchild.secretHash, NOW + 10)).toBeNull()
    expect(await handlesOf(store, 'sub-1', NOW + 10)).toEqual([])
    expect(await store.createSession(login(1, { parent: parent.handle, now: NOW + 10 }))).toEqual({
      refused: 'parent_ended',
    })
    await ended(store, ending(parent))
    expect(await store.resolveSession(grandchild.secretHash, NOW)).toBeNull()
    expect(await store.session(child.handle, NOW)).toBeNull()
    expect(await handlesOf(store)).toEqual([])
    expect(await store.createSession(login(1, { parent: child.handle }))).toEqual({ refused: 'parent_ended' })
  })

  it("ends an impersonation with the administrator's own session, account or place", async () => {
    const { store } = await seeded()
    await store.createAccount(
      person({ sub: 'admin', email: 'root@acme.test', affiliations: [{ tenant: 'acme', roles: ['admin'] }] }),
    )
    const own = await begin(store, login(1, { sub: 'admin', kind: 'admin' }))
    const acted = login(null, { parent: own.handle, act: [{ sub: 'admin', principal: 'user' }] })
    await begin(store, acted)
    expect(await handlesOf(store)).toEqual([acted.handle])
    const target: SignalTarget = { kind: 'affiliation', tenant: 'acme', id: 'admin' }
    const change = { kind: 'affiliation_suspended', tenant: 'acme', sub: 'admin' } as const
    await ended(store, step({ change, raises: [raise(target, 'reason:suspension')] }))
    expect(await store.resolveSession(acted.secretHash, NOW)).toBeNull()
    expect(await handlesOf(store)).toEqual([])
  })

  it('lets nobody in whose account or place is suspended, whatever their targets say', async () => {
    const { store } = await seeded()
    const asked = login()
    await begin(store, asked)
    const changes = [
      { kind: 'account_suspended', sub: 'sub-1' },
      { kind: 'affiliation_suspended', tenant: 'acme', sub: 'sub-1' },
    ] as const
    for (const change of changes) {
      expect(await store.resolveSession(asked.secretHash, NOW)).not.toBeNull()
      await ended(store, step({ change }))
      expect(await store.resolveSession(asked.secretHash, NOW)).toBeNull()
      expect(await store.session(asked.handle, NOW)).toBeNull()
      expect(await handlesOf(store)).toEqual([])
      await store.restoreAccount('sub-1')
      await store.restoreAffiliation('acme', 'sub-1')
    }
    expect(await handlesOf(store)).toEqual([asked.handle])
  })

  it('lets a person have so many sessions of a kind, whoever asks at the same time', async () => {
    const { store, open } = await seeded()
    const stores = [store, await open()]
    await begin(store, login(1, { kind: 'api' }))
    const asked = Array.from({ length: 12 }, () => login(1, { most: 3 }))
    const results = await Promise.all(asked.map((one, i) => (stores[i % 2] as SessionStore).createSession(one)))
    const begun = results.filter((result) => !('refused' in result))
    expect(begun).toHaveLength(3)
    expect(results.filter((result) => 'refused' in result && result.refused === 'session_limit')).toHaveLength(9)
    expect(await handlesOf(store)).toHaveLength(4)
    // One that goes in the same step makes room; so does one that time has ended.
    const [first] = begun as { session: Session }[]
    const makesRoom = login(1, { most: 3, ends: [ending((first as { session: Session }).session)] })
    expect(await store.createSession(makesRoom)).toHaveProperty('ended.length', 1)
    expect(await store.createSession(login(1, { most: 3 }))).toEqual({ refused: 'session_limit' })
    const later = { now: NOW + HOUR, idleExpiresAt: NOW + 2 * HOUR }
    expect(await store.createSession(login(1, { most: 1, ...later }))).toHaveProperty('session.newDevice', false)
  })

  it('uses a code once, whoever asks at the same time', async () => {
    const { store, open } = await seeded()
    const other = await open()
    const authorising = await begin(store, login())
    const codeHash = bytes(32)
    const code: AuthorizationCode = {
      ...{ client: 'reports', redirectUri: 'https://reports.test/cb', challenge: 'c', session: authorising.handle },
      ...{ scope: ['a'], audience: ['api'], expiresAt: NOW + 60, usedFor: null },
    }
    await store.putCode(codeHash, code)
    expect(await store.code(codeHash, NOW + 59)).toEqual(code)
    expect(await store.code(codeHash, NOW + 60)).toBeNull()
    expect(await store.createSession(family({ codeHash, now: NOW + 60 }))).toEqual({ refused: 'code_unknown' })
    // A refused step leaves the code as it was.
    expect(await store.createSession(family({ codeHash, parent: 'nobody' }))).toEqual({ refused: 'parent_ended' })
    const asked = [family({ codeHash }), family({ codeHash })]
    const results = await Promise.all(asked.map((one, i) => (i ? other : store).createSession(one)))
    expect(results.filter((result) => 'refused' in result)).toEqual([{ refused: 'code_used' }])
    const winner = results.find((result) => !('refused' in result)) as { session: Session }
    expect(await store.code(codeHash, NOW)).toEqual({ ...code, usedFor: winner.session.handle })
    // Said again by whoever lost the answer, it stays used.
    await store.putCode(codeHash, code)
    expect((await store.code(codeHash, NOW))?.usedFor).toBe(winner.session.handle)
  })

  it('knows a device again by its secret, as that of one person and until it is lost', async () => {
    const { store } = await seeded()
    const device = newDevice('dev_1')
    expect((await begin(store, login(1, { device }))).newDevice).toBe(true)
    expect((await begin(store, login(1, { device, now: NOW + 5 }))).newDevice).toBe(false)
    const kept = { handle: 'dev_1', sub: 'sub-1', name: 'Firefox on Linux', state: 'active' }
    expect(await store.device(device.secretHash)).toEqual({ ...kept, createdAt: NOW, lastSeenAt: NOW + 5 })
    await begin(store, login(1, { device: newDevice('dev_2'), now: NOW + 6 }))
    expect((await store.devicesOf('sub-1')).map(({ handle }) => handle)).toEqual(['dev_2', 'dev_1'])
    expect(await store.devicesOf('sub-2')).toEqual([])
    expect(await store.device(bytes(32))).toBeNull()
    await store.createAccount(
      person({ sub: 'sub-2', email: 'bob@acme.test', affiliations: [{ tenant: 'acme', roles: [] }] }),
    )
    const refused = { refused: 'device_unknown' }
    expect(await store.createSession(login(1, { device, sub: 'sub-2' }))).toEqual(refused)
    expect(await store.createSession(login(1, { device: { ...device, secretHash: bytes(32) } }))).toEqual(refused)
    expect(await store.createSession(login(1, { device: { ...device, handle: 'dev_3' } }))).toEqual(refused)
  })

  it('begins a session on a device known by its handle alone, and makes none of it', async () => {
    const { store } = await seeded()
    await begin(store, login(1, { device: newDevice('dev_1') }))
    const known = (handle: string) => ({ handle, secretHash: null, name: '' })
    const session = await begin(store, login(1, { device: known('dev_1') }))
    expect(session).toMatchObject({ device: 'dev_1', newDevice: false })
    expect(session.targets.map(({ kind, id }) => `${kind} ${id}`)).toContain('device dev_1')
    expect(await store.createSession(login(1, { device: known('dev_9') }))).toEqual({ refused: 'device_unknown' })
    expect((await store.devicesOf('sub-1')).map(({ name }) => name)).toEqual(['Firefox on Linux'])
  })

  it('lists the live sessions of a person in all tenants, newest first', async () => {
    const { store } = await seeded()
    await store.createAffiliation({ tenant: 'beta', sub: 'sub-1', roles: [], atLeast: [], now: NOW })
    const first = await begin(store, login(1, { now: NOW + 1 }))
    const second = await begin(store, login(1, { now: NOW + 2, tenant: 'beta', kind: 'api' }))
    const third = await begin(store, family({ now: NOW + 3 }))
    expect(await store.sessionsOf('sub-1', NOW + 3)).toEqual([third, second, first])
    await ended(store, ending(second))
    expect(await store.sessionsOf('sub-1', NOW + 3)).toEqual([third, first])
    expect(await store.sessionsOf('sub-1', NOW + HOUR)).toEqual([])
    expect(await store.sessionsOf('nobody', NOW)).toEqual([])
  })
}
