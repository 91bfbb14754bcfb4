/** The lists people see, against a plain model of who is let in: never an ended session in them, never a live one missing. */
import { randomInt } from 'node:crypto'
import type { SignalTarget } from '@countersign/schemas'
import { expect, it } from 'vitest'
import type { Change, NewSession, SessionStore } from '../port.ts'
import {
  begin,
  ended,
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

const PEOPLE = ['sub-1', 'sub-2']
const ACTS = 80

/** What the model knows of a session. */
interface Known {
  readonly asked: NewSession
  readonly absolute: number
  idle: number
  over: boolean
}

/** Numbers from a seed (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

class Model {
  readonly sessions: Known[] = []
  now = NOW
  readonly #next: (below: number) => number
  readonly #stores: readonly SessionStore[]
  #counter = 0

  constructor(next: (below: number) => number, stores: readonly SessionStore[]) {
    this.#next = next
    this.#stores = stores
  }

  isLive(known: Known): boolean {
    const parent = this.sessions.find(({ asked }) => asked.handle === known.asked.parent)
    const expired = this.now >= Math.min(known.idle, known.absolute)
    return !known.over && !expired && (parent === undefined || this.isLive(parent))
  }

  live(sub?: string): Known[] {
    return this.sessions.filter((known) => (sub ?? known.asked.sub) === known.asked.sub && this.isLive(known))
  }

  async act(): Promise<string> {
    this.now += 1 + this.#next(HOUR / 20)
    const acts = [
      ...[this.#begin, this.#begin, this.#begin, this.#begin, this.#touch, this.#rotate, this.#endOne, this.#endOthers],
      ...[this.#suspend, this.#suspendPlace, this.#loseDevice, this.#disableClient, this.#sweep, this.#forget],
    ]
    return await (acts[this.#next(acts.length)] as () => Promise<string>).call(this)
  }

  get #store(): SessionStore {
    return this.#stores[this.#next(this.#stores.length)] as SessionStore
  }

  #pick<T>(from: readonly T[]): T | null {
    return from[this.#next(Math.max(1, from.length))] ?? null
  }

  async #begin(): Promise<string> {
    const sub = this.#pick(PEOPLE) as string
    const make = this.#next(2) === 0 ? family : login.bind(null, null)
    const parent = this.#next(3) === 0 ? this.#pick(this.live()) : null
    const asked = make({
      ...{ sub, now: this.now, parent: parent?.asked.handle ?? null },
      client: this.#next(2) === 0 ? 'app' : null,
      device: this.#next(3) === 0 ? newDevice(`dev_${++this.#counter}`) : null,
      idleExpiresAt: this.now + HOUR,
      absoluteExpiresAt: this.now + 1 + this.#next(4 * HOUR),
      most: this.#next(4) === 0 ? 2 : null,
    })
    const same = this.live(sub).filter((known) => known.asked.kind === asked.kind)
    const result = await this.#store.createSession(asked)
    expect('refused' in result ? result.refused : 'begun').toBe(
      asked.most !== null && same.length >= asked.most ? 'session_limit' : 'begun',
    )
    const absolute = Math.min(asked.absoluteExpiresAt, parent?.absolute ?? Number.POSITIVE_INFINITY)
    if ('session' in result) this.sessions.push({ asked, absolute, idle: asked.idleExpiresAt, over: false })
    return `begin ${asked.handle} of ${sub}`
  }

  async #touch(): Promise<string> {
    const known = this.#pick(this.sessions)
    if (known === null) return 'nothing to touch'
    await this.#store.touchSession(known.asked.handle, this.now, this.now + HOUR)
    if (this.isLive(known)) known.idle = Math.max(known.idle, this.now + HOUR)
    return `touch ${known.asked.handle}`
  }

  async #rotate(): Promise<string> {
    const known = this.#pick(this.sessions.filter(({ asked }) => asked.kind === 'family'))
    if (known === null) return 'nothing to rotate'
    const { handle, client } = known.asked
    const asked = { handle, client: client ?? 'none', graceMs: 1, idleExpiresAt: this.now + HOUR, now: this.now }
    const refresh = (await this.#store.session(handle, this.now))?.refresh
    const rotated = await this.#store.rotate({ ...asked, generation: refresh?.generation ?? 1 })
    expect(rotated?.outcome ?? null).toBe(this.isLive(known) && client !== null ? 'rotated' : null)
    if (rotated !== null) known.idle = Math.max(known.idle, this.now + HOUR)
    return `rotate ${handle}`
  }

  async #endOne(): Promise<string> {
    const known = this.#pick(this.sessions)
    if (known === null) return 'nothing to end'
    const { handle, kind } = known.asked
    const target: SignalTarget = { kind: kind === 'family' ? 'family' : 'session', tenant: '', id: handle }
    const change: Change = { kind: 'session_ended', handle }
    const result = await this.#store.end(step({ change, raises: [raise(target)], now: this.now }))
    expect('refused' in result).toBe(!this.isLive(known))
    if (!('refused' in result)) known.over = true
    return `end ${handle}`
  }

  async #endOthers(): Promise<string> {
    const sub = this.#pick(PEOPLE) as string
    const named = this.sessions.filter(({ asked }) => asked.sub === sub && this.#next(2) === 0)
    const live = named.filter((known) => this.isLive(known))
    const raises = named.map(({ asked: { kind, handle: id } }) =>
      raise({ kind: kind === 'family' ? 'family' : 'session', tenant: '', id }),
    )
    const change: Change = { kind: 'sessions_ended', handles: named.map(({ asked }) => asked.handle) }
    const result = await this.#store.end(step({ change, raises, now: this.now }))
    expect('refused' in result ? 0 : result.revocation.seqs.length).toBe(live.length)
    for (const known of live) known.over = true
    return `end ${live.length} of ${sub}`
  }

  async #suspend(): Promise<string> {
    const sub = this.#pick(PEOPLE) as string
    const target: SignalTarget = { kind: 'subject', tenant: '', id: sub }
    await this.#endAll({ kind: 'account_suspended', sub }, target, (asked) => asked.sub === sub)
    await this.#store.restoreAccount(sub)
    return `suspend ${sub}`
  }

  async #suspendPlace(): Promise<string> {
    const sub = this.#pick(PEOPLE) as string
    const target: SignalTarget = { kind: 'affiliation', tenant: 'acme', id: sub }
    await this.#endAll({ kind: 'affiliation_suspended', tenant: 'acme', sub }, target, (asked) => asked.sub === sub)
    await this.#store.restoreAffiliation('acme', sub)
    return `suspend the place of ${sub}`
  }

  async #loseDevice(): Promise<string> {
    const known = this.#pick(this.sessions.filter(({ asked }) => asked.device !== null))
    const device = known?.asked.device?.handle
    if (!known || device === undefined) return 'nothing to lose'
    const { sub } = known.asked
    const [active] = (await this.#store.devicesOf(sub)).filter(({ handle }) => handle === device)
    if (active?.state !== 'active') return 'lost before'
    const target: SignalTarget = { kind: 'device', tenant: '', id: device }
    await this.#endAll({ kind: 'device_lost', sub, device }, target, (asked) => asked.device?.handle === device)
    return `lose ${device}`
  }

  async #disableClient(): Promise<string> {
    const target: SignalTarget = { kind: 'client', tenant: '', id: 'app' }
    await this.#endAll({ kind: 'client_disabled', client: 'app' }, target, (asked) => asked.client === 'app')
    await this.#store.restoreClient('app')
    return 'disable the client'
  }

  async #endAll(change: Change, target: SignalTarget, isHit: (asked: NewSession) => boolean): Promise<void> {
    await ended(this.#store, step({ change, raises: [raise(target)], now: this.now }))
    for (const known of this.sessions) if (isHit(known.asked)) known.over = true
  }

  async #sweep(): Promise<string> {
    const wanted = this.sessions.filter((known) => {
      const parents = this.sessions.filter(({ asked }) => asked.handle === known.asked.parent)
      return (
        !this.#isOver(known) && this.now >= Math.min(known.idle, known.absolute) && !parents.some(this.#isOver, this)
      )
    })
    const expired = await this.#store.expiredSessions(this.now, 1000)
    expect(expired.map(({ handle }) => handle).sort()).toEqual(wanted.map(({ asked }) => asked.handle).sort())
    for (const { handle, kind } of expired) {
      const target: SignalTarget = { kind: kind === 'family' ? 'family' : 'session', tenant: '', id: handle }
      const change: Change = { kind: 'session_ended', handle, expiredBy: this.now }
      const result = await this.#store.end(step({ change, raises: [raise(target)], now: this.now }))
      const known = this.sessions.find(({ asked }) => asked.handle === handle) as Known
      // One whose parent was swept a moment before needs no word of its own.
      expect('refused' in result).toBe(this.#isOver(known))
      known.over = true
    }
    return `sweep ${expired.length}`
  }

  #isOver(known: Known): boolean {
    const parent = this.sessions.find(({ asked }) => asked.handle === known.asked.parent)
    return known.over || (parent !== undefined && this.#isOver(parent))
  }

  async #forget(): Promise<string> {
    const rows = await this.#store.pendingRows({ fromSeq: 1, limit: 1000 })
    await this.#store.acknowledge(rows.map(({ seq }) => ({ seq, position: { log_id: 'log', offset: seq } })))
    await this.#store.dropRows(this.now - this.#next(HOUR))
    return 'forget'
  }
}

export function listCases(seeded: Seed): void {
  it.each([1, 2, 3, randomInt(2 ** 31)])('lists what a plain model lists (seed %i)', async (seed) => {
    const { store, open } = await seeded()
    const stores = [store, await open()]
    await store.nameLog({ log_id: 'log', predecessor: null }, null)
    await store.createClient(newClient('app'), NOW)
    await store.createAccount(
      person({ sub: 'sub-2', email: 'bob@acme.test', affiliations: [{ tenant: 'acme', roles: [] }] }),
    )
    const model = new Model(numbers(seed), stores)
    const story: string[] = []
    for (let i = 0; i < ACTS; i++) {
      story.push(await model.act())
      for (const sub of PEOPLE) {
        const listed = (await (stores[i % 2] as SessionStore).sessionsOf(sub, model.now)).map(({ handle }) => handle)
        const wanted = model.live(sub).map(({ asked }) => asked.handle)
        expect(listed, story.join('\n')).toEqual(wanted.reverse())
      }
      const known = model.sessions[i % Math.max(1, model.sessions.length)]
      if (known?.asked.credential.kind !== 'secret') continue
      const resolved = await store.resolveSession(known.asked.credential.hash, model.now)
      expect(resolved?.session.handle ?? null, story.join('\n')).toBe(model.isLive(known) ? known.asked.handle : null)
    }
    expect(model.sessions.length).toBeGreaterThan(10)
  })

  it('shows each session begun at the same time as others to all who look afterwards', async () => {
    const { store, open } = await seeded()
    const stores = [store, await open()]
    const begun = await Promise.all(Array.from({ length: 20 }, (_, i) => begin(stores[i % 2] as SessionStore, login())))
    for (const by of stores) expect(await by.sessionsOf('sub-1', NOW)).toHaveLength(20)
    const handles = begun.map(({ handle }) => handle)
    const halves = [handles.slice(0, 12), handles.slice(8)]
    const results = await Promise.all(
      halves.map((half, i) => {
        const raises = half.map((id) => raise({ kind: 'session', tenant: '', id }))
        const ending = step({ change: { kind: 'sessions_ended', handles: half }, raises })
        return ended(stores[i] as SessionStore, ending)
      }),
    )
    // Each ended once, whoever named it.
    expect(results.flatMap(({ revocation }) => revocation.seqs)).toHaveLength(20)
    for (const by of stores) expect(await by.sessionsOf('sub-1', NOW)).toEqual([])
  })
}
