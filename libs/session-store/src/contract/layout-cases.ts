/** Records of other versions, and ids that look alike. */
import type { SignalTarget } from '@countersign/schemas'
import { expect, it } from 'vitest'
import { ACCOUNT, AFFILIATION, CLIENT, SESSION } from '../steps/kinds.ts'
import { keyOf } from '../steps/layout.ts'
import { begin, bytes, ended, family, login, NOW, newClient, person, raise, type Seed, step } from './fixture.ts'

const later =
  (schema: number) =>
  (text: string): string =>
    JSON.stringify({ ...JSON.parse(text), schema, later: [1] })

export function layoutCases(seeded: Seed): void {
  it('keeps what a newer version wrote when it writes a record again, and shows none of it', async () => {
    const { store, rewrite } = await seeded()
    await store.createClient(newClient('app'), NOW)
    const begun = await begin(store, family({ client: 'app' }))
    const nested = (text: string): string => {
      const record = JSON.parse(text)
      return JSON.stringify({ ...record, schema: 99, later: [1], refresh: { ...record.refresh, bound: 'yes' } })
    }
    await rewrite(keyOf(SESSION, begun.handle), nested)
    for (const key of [keyOf(ACCOUNT, 'sub-1'), keyOf(AFFILIATION, 'acme', 'sub-1'), keyOf(CLIENT, 'app')])
      await rewrite(key, later(99))
    await store.touchSession(begun.handle, NOW + 1, NOW + 2)
    const asked = { handle: begun.handle, client: 'app', generation: 1, graceMs: 1, idleExpiresAt: NOW, now: NOW }
    expect(await store.rotate(asked)).toMatchObject({ outcome: 'rotated', generation: 2 })
    await store.delivered([{ handle: begun.handle, from: 1, at: NOW }])
    await ended(store, step({ change: { kind: 'account_suspended', sub: 'sub-1' } }))
    await ended(store, step({ change: { kind: 'affiliation_suspended', tenant: 'acme', sub: 'sub-1' } }))
    await ended(store, step({ change: { kind: 'client_disabled', client: 'app' } }))
    expect(Object.keys((await store.account('sub-1')) ?? {})).not.toContain('later')
    const texts: string[] = []
    for (const key of [
      ...[keyOf(SESSION, begun.handle), keyOf(ACCOUNT, 'sub-1')],
      ...[keyOf(AFFILIATION, 'acme', 'sub-1'), keyOf(CLIENT, 'app')],
    ])
      await rewrite(key, (text) => {
        texts.push(text)
        return text
      })
    const records = texts.map((text) => JSON.parse(text))
    expect(records).toMatchObject(Array.from({ length: 4 }, () => ({ schema: 99, later: [1] })))
    expect(records[0]).toMatchObject({ refresh: { bound: 'yes', generation: 2 } })
    expect(records[1]).toMatchObject({ state: 'suspended' })
  })

  it('refuses a record that means something else, and never writes over it', async () => {
    const { store, rewrite } = await seeded()
    const { handle } = await begin(store, login())
    await rewrite(keyOf(SESSION, handle), later(100))
    const refused = { code: 'SESSION_STORE_SCHEMA_UNKNOWN', retriable: false, outcome: 'none' }
    await expect(store.session(handle, NOW)).rejects.toMatchObject(refused)
    await expect(store.touchSession(handle, NOW, NOW)).rejects.toMatchObject(refused)
    await expect(store.sessionsOf('sub-1', NOW)).rejects.toMatchObject(refused)
    const change = { kind: 'session_ended', handle } as const
    const target: SignalTarget = { kind: 'session', tenant: '', id: handle }
    await expect(store.end(step({ change, raises: [raise(target)] }))).rejects.toMatchObject(refused)
    expect(await store.highestSeq()).toBe(0)
    expect(await store.account('sub-1')).not.toBeNull()
    await rewrite(keyOf(SESSION, handle), later(2))
    expect(await store.session(handle, NOW)).not.toBeNull()
  })

  it('never takes a value for that of another key', async () => {
    const { store, rewrite } = await seeded()
    await rewrite(keyOf(ACCOUNT, 'sub-1'), (text) => text.replace('sub-1', 'sub-2'))
    await expect(store.account('sub-1')).rejects.toMatchObject({ code: 'SESSION_STORE_UNAVAILABLE' })
  })

  it('keeps ids apart that are equal once joined, and all that can be written', async () => {
    const { store } = await seeded()
    const subs = ['c', 'b:c', 'b%003ac', 'B:C', 'é', 'e\u0301', 'x\ny', 'x\0y', '\ud800', '\udfff', '%', '%%', '']
    for (const [i, sub] of subs.entries()) {
      const affiliations = ['a', 'a:b', 'a%003ab', 'a\n'].map((tenant) => ({ tenant, roles: [`${tenant} ${i}`] }))
      const made = await store.createAccount(person({ sub, email: `mail ${sub}`, affiliations }))
      expect(made).toHaveProperty('sub', sub)
    }
    for (const [i, sub] of subs.entries()) {
      expect(await store.accountByEmail(`mail ${sub}`)).toHaveProperty('sub', sub)
      expect((await store.affiliation('a', sub))?.roles).toEqual([`a ${i}`])
      expect((await store.affiliation('a:b', sub))?.roles).toEqual([`a:b ${i}`])
      expect((await store.affiliationsOf(sub)).map(({ tenant }) => tenant)).toEqual(['a', 'a\n', 'a%003ab', 'a:b'])
    }
    const target = (id: string): SignalTarget => ({ kind: 'affiliation', tenant: 'a', id })
    await ended(store, step({ raises: [raise(target('b:c'))], now: NOW + 9 }))
    expect((await store.target(target('b:c')))?.version).toBe(NOW + 9)
    expect((await store.target({ ...target('c'), tenant: 'a:b' }))?.version).toBe(NOW)
    expect((await store.target(target('b%003ac')))?.version).toBe(NOW)
    expect(await store.takeOnce({ key: bytes(4).toString('latin1'), expiresAt: NOW + 1, now: NOW })).toBe(true)
    expect(await store.tenants()).toEqual(['a', 'a\n', 'a%003ab', 'a:b', 'acme'])
  })
}
