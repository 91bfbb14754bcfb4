/** Refresh tokens: each used once, lost answers given again, theft told from a retry. */
import { expect, it } from 'vitest'
import type { Rotated, SessionStore } from '../port.ts'
import { begin, ended, ending, family, HOUR, login, NOW, newClient, type Seed, step } from './fixture.ts'

const GRACE = 10_000

interface Family {
  readonly store: SessionStore
  readonly open: () => Promise<SessionStore>
  readonly handle: string
  /** Asks with a generation at a time after the beginning. @returns outcome and generation, or null. */
  readonly ask: (generation: number, after: number, by?: SessionStore) => Promise<string | null>
  readonly rotate: (generation: number, after: number, client?: string, by?: SessionStore) => Promise<Rotated | null>
}

export function familyCases(seeded: Seed): void {
  const begun = async (): Promise<Family> => {
    const { store, open } = await seeded()
    await store.createClient(newClient('app'), NOW)
    const { handle } = await begin(store, family({ client: 'app' }))
    const rotate: Family['rotate'] = (generation, after, client = 'app', by = store) =>
      by.rotate({ handle, client, generation, graceMs: GRACE, idleExpiresAt: NOW + after + HOUR, now: NOW + after })
    const ask: Family['ask'] = async (generation, after, by) => {
      const rotated = await rotate(generation, after, 'app', by)
      if (rotated === null) return null
      return 'generation' in rotated ? `${rotated.outcome} ${rotated.generation}` : rotated.outcome
    }
    return { store, open, handle, ask, rotate }
  }

  it('rotates, moves idle expiry on, and keeps no more than it may need', async () => {
    const { store, handle, rotate } = await begun()
    const first = (await rotate(1, 100)) as Extract<Rotated, { resolved: unknown }>
    expect(first).toMatchObject({
      outcome: 'rotated',
      generation: 2,
      resolved: { roles: ['admin', 'member'], scopeVersion: NOW, account: { sub: 'sub-1', principal: 'user' } },
    })
    expect(first.resolved.session).toMatchObject({
      ...{ lastSeenAt: NOW + 100, idleExpiresAt: NOW + 100 + HOUR },
      refresh: { generation: 2, rotations: [{ from: 1, at: NOW + 100, deliveredAt: null }] },
    })
    expect(await store.session(handle, NOW + 100)).toEqual(first.resolved.session)
    for (let generation = 2; generation < 30; generation++) await rotate(generation, 100 + generation)
    const refresh = (await store.session(handle, NOW + 200))?.refresh
    expect(refresh?.generation).toBe(30)
    expect(refresh?.rotations.map(({ from }) => from)).toEqual([29, 28, 27, 26, 25, 24, 23, 22])
  })

  it('gives the same successor again until the answer is known to have left, however late', async () => {
    const { ask, store, handle } = await begun()
    expect(await ask(1, 0)).toBe('rotated 2')
    expect(await ask(1, HOUR - 1)).toBe('repeated 2')
    await store.delivered([{ handle, from: 1, at: NOW + HOUR - 1 }])
    expect(await ask(1, HOUR - 1)).toBe('repeated 2')
    // The grace counts from when the answer left.
    await store.touchSession(handle, NOW + HOUR - 1, NOW + 5 * HOUR)
    expect(await ask(1, HOUR - 1 + GRACE)).toBe('repeated 2')
    expect(await ask(1, HOUR + GRACE)).toBe('reused')
    expect(await ask(2, HOUR + GRACE)).toBe('rotated 3')
  })

  it('lets stragglers of one moment have the successor when another has used it already', async () => {
    const { ask, store, handle } = await begun()
    expect(await ask(1, 0)).toBe('rotated 2')
    expect(await ask(2, 5)).toBe('rotated 3')
    expect(await ask(1, GRACE)).toBe('repeated 2')
    // Not known to have left, but what was in it has been used: it arrived.
    expect(await ask(1, GRACE + 1)).toBe('reused')
    expect(await ask(2, GRACE + 100)).toBe('repeated 3')
    await store.delivered([{ handle, from: 1, at: NOW + 50 }])
    expect(await ask(1, GRACE + 50)).toBe('repeated 2')
    expect(await ask(1, GRACE + 51)).toBe('reused')
  })

  it('notes once when an answer left, and passes over what it does not know', async () => {
    const { ask, store, handle } = await begun()
    await ask(1, 0)
    const plain = await begin(store, login())
    await store.delivered([
      { handle, from: 5, at: NOW + 5 },
      { handle, from: 1, at: NOW + 7 },
      { handle, from: 1, at: NOW + 9 },
      { handle: 'nobody', from: 1, at: NOW + 9 },
      { handle: plain.handle, from: 1, at: NOW + 9 },
    ])
    const rotations = (await store.session(handle, NOW))?.refresh?.rotations
    expect(rotations).toEqual([{ from: 1, at: NOW, deliveredAt: NOW + 7 }])
  })

  it('calls a generation it no longer knows of reused, one it never gave out ahead, and changes nothing', async () => {
    const { ask, store, handle } = await begun()
    for (let generation = 1; generation <= 10; generation++) await ask(generation, 0)
    const before = await store.session(handle, NOW)
    expect(await ask(2, 0)).toBe('reused')
    expect(await ask(3, 0)).toBe('repeated 4')
    expect(await ask(12, 0)).toBe('ahead')
    expect(await store.session(handle, NOW)).toEqual(before)
    expect(await store.rotate({ ...base(handle), generation: 12 })).toMatchObject({ session: before })
    expect(await store.rotate({ ...base(handle), generation: 2 })).toMatchObject({ session: before })
  })

  it('gives one successor to all who ask at the same time', async () => {
    const { ask, open, store, handle } = await begun()
    const other = await open()
    const answers = await Promise.all(Array.from({ length: 24 }, (_, i) => ask(1, i % 3, i % 2 ? store : other)))
    expect(answers.filter((answer) => answer === 'rotated 2')).toHaveLength(1)
    expect(answers.filter((answer) => answer === 'repeated 2')).toHaveLength(23)
    expect((await store.session(handle, NOW))?.refresh?.generation).toBe(2)
  })

  it('answers nothing for a family that ended, expired or is not that, and for another client', async () => {
    const { ask, rotate, store, handle } = await begun()
    expect(await rotate(1, 0, 'other')).toBeNull()
    expect(await ask(1, HOUR)).toBeNull()
    const plain = await begin(store, login(1, { client: 'app' }))
    expect(await store.rotate({ ...base(plain.handle), generation: 1 })).toBeNull()
    expect(await store.rotate({ ...base('nobody'), generation: 1 })).toBeNull()
    const session = await store.session(handle, NOW)
    if (session === null) throw new Error('the family is gone')
    await ended(store, ending(session))
    expect(await ask(1, 0)).toBeNull()
    expect(await ask(7, 0)).toBeNull()
    expect(await store.session(handle, NOW)).toBeNull()
  })

  it('judges a token against an ending of the same moment: one of both wins, never both', async () => {
    const { ask, store, open, handle } = await begun()
    const other = await open()
    const session = await store.session(handle, NOW)
    if (session === null) throw new Error('the family is gone')
    const [answer] = await Promise.all([ask(1, 0), ended(other, ending(session))])
    expect(['rotated 2', null]).toContain(answer)
    expect(await ask(2, 1)).toBeNull()
    expect(await store.sessionsOf('sub-1', NOW)).toEqual([])
    expect(await store.end(step({ change: { kind: 'session_ended', handle } }))).toEqual({ refused: 'session_unknown' })
  })
}

const base = (handle: string): Omit<Parameters<SessionStore['rotate']>[0], 'generation'> => ({
  ...{ handle, client: 'app', graceMs: GRACE, idleExpiresAt: NOW + HOUR, now: NOW },
})
