import { beforeEach, expect, it } from 'vitest'
import { tokenOf } from '../contract/credential-cases.ts'
import { family, login, NOW, newClient, newDevice, person } from '../contract/fixture.ts'
import type { SessionStore } from '../port.ts'
import type { Session } from '../records.ts'
import { type Method, stepOf } from './index.ts'
import { CLIENT } from './kinds.ts'
import { type Answer, type Ask, type Changes, FOLLOWED, Tx } from './tx.ts'

/** Records and entries in two maps; notes what is asked. */
class Memory {
  readonly records = new Map<string, { text: string; refs: string }>()
  readonly entries = new Map<string, Map<string, number>>()
  asked: Ask['ask'][] = []

  run<K extends Method>(method: K, ...args: Parameters<SessionStore[K]>): Awaited<ReturnType<SessionStore[K]>> {
    this.asked = []
    const tx = new Tx()
    const step = stepOf(tx, method, args)
    let next = step.next()
    while (!next.done) next = step.next(this.#answer(next.value))
    const { puts, drops, entries } = tx.changes()
    for (const { key, text, refs } of puts) this.records.set(key, { text, refs })
    for (const key of drops) this.records.delete(key)
    for (const { index, key, score } of entries) {
      const list = this.entries.get(index) ?? new Map<string, number>()
      this.entries.set(index, list)
      if (score === null) list.delete(key)
      else list.set(key, score)
    }
    return next.value as Awaited<ReturnType<SessionStore[K]>>
  }

  #answer(ask: Ask): Answer {
    this.asked.push(ask.ask)
    if (ask.ask === 'get') return ask.keys.map((key) => [key, this.records.get(key)?.text ?? null] as const)
    if (ask.ask === 'range') {
      const list = [...(this.entries.get(ask.index) ?? [])].filter(([, score]) => score >= ask.from && score <= ask.to)
      list.sort((a, b) => a[1] - b[1])
      return (ask.newestFirst ? list.reverse() : list).slice(0, ask.limit)
    }
    if (ask.ask === 'count')
      return [...(this.entries.get(ask.index)?.values() ?? [])].filter((score) => score >= ask.from).length
    const found = new Set(ask.keys)
    for (let depth = 0; depth < FOLLOWED; depth++)
      for (const key of [...found])
        for (const ref of this.records.get(key)?.refs.split('\n') ?? []) if (ref !== '') found.add(ref)
    return [...found].map((key) => [key, this.records.get(key)?.text ?? null] as const)
  }
}

let store: Memory
beforeEach(() => {
  store = new Memory()
  store.run('createAccount', person({ affiliations: [{ tenant: 'acme', roles: ['member'] }] }))
  store.run('createClient', newClient('app'), NOW)
})

const begin = (asked: Parameters<SessionStore['createSession']>[0]): Session => {
  const result = store.run('createSession', asked)
  if ('refused' in result) throw new Error(result.refused)
  return result.session
}

it('asks once for whatever is asked often', () => {
  const parent = login()
  begin(parent)
  const child = login(null, { parent: parent.handle, device: newDevice('dev_1'), client: 'app' })
  const session = begin(child)
  const tokens = begin(family({ parent: parent.handle, client: 'app' }))
  expect(store.run('resolveSession', child.secretHash, NOW)).not.toBeNull()
  expect(store.asked).toEqual(['follow'])
  expect(store.run('resolveHandle', session.handle, NOW)).not.toBeNull()
  expect(store.asked).toEqual(['follow'])
  const hash = Buffer.alloc(32, 1)
  store.run('putToken', hash, tokenOf(tokens))
  expect(store.asked).toEqual([])
  expect(store.run('resolveToken', hash, NOW)).not.toBeNull()
  expect(store.asked).toEqual(['follow'])
  expect(store.run('resolveTargets', { targets: tokens.targets, tenant: 'acme', sub: 'sub-1' })).not.toBeNull()
  expect(store.asked).toEqual(['get'])
  const asked = { handle: tokens.handle, client: 'app', graceMs: 1, idleExpiresAt: NOW, now: NOW }
  expect(store.run('rotate', { ...asked, generation: 1 })).toMatchObject({ outcome: 'rotated' })
  expect(store.asked).toEqual(['follow'])
  expect(store.run('rotate', { ...asked, generation: 1 })).toMatchObject({ outcome: 'repeated' })
  expect(store.asked).toEqual(['follow'])
})

it('asks of a list three times at most, however long it is', () => {
  for (let i = 0; i < 9; i++) begin(login(1, { device: newDevice(`dev_${i}`) }))
  expect(store.run('sessionsOf', 'sub-1', NOW)).toHaveLength(9)
  expect(store.asked).toEqual(['range', 'follow'])
  begin(login(1, { most: 20, device: newDevice('dev') }))
  expect(store.asked).toEqual(['follow', 'range', 'follow'])
})

it('writes nothing that stands already, and no entry that stays', () => {
  const { handle } = begin(login())
  const changes = (now: number): Changes => {
    const tx = new Tx()
    const step = stepOf(tx, 'touchSession', [handle, now, NOW])
    let next = step.next()
    const texts = [...store.records].map(([key, { text }]) => [key, text] as const)
    while (!next.done) next = step.next(texts)
    return tx.changes()
  }
  expect(changes(NOW)).toEqual({ puts: [], drops: [], entries: [] })
  expect(changes(NOW + 1)).toMatchObject({ puts: [{ key: `session:${handle}` }], drops: [], entries: [] })
})

it('refuses to write what it has not read', () => {
  expect(() => new Tx().drop(CLIENT, 'app')).toThrow('was not read')
})
