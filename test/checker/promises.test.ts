import { describe, expect, it } from 'vitest'
import { exposures, outcomes, spread } from './exposure.ts'
import type { Facts } from './history.ts'
import { check } from './promises.ts'

const checkpoint = { logId: 'log', reading: 0, horizon: 0, epoch: 1 }
const key = 'aa'.repeat(16)
const finish = { logout: 'finish', suspension: 'stop', compromise: 'stop' } as const

/** One job that ran, one that was denied after a suspension, and nothing out of order. */
function good(): Facts {
  const identity = {
    tenant: 't',
    iat: 1_000,
    exp: 9_000,
    scopes: ['a'],
    scopeVersion: 500,
    position: { logId: 'log', offset: 1 },
    targets: [{ key, version: 500 }],
  }
  const produced = { topic: 'jobs', partition: 0, at: 1_000, key: 'aa', content: 'whole', identity }
  const decision = {
    consumer: 'w',
    class: 'c',
    topic: 'jobs',
    partition: 0,
    recordedIn: 0,
    record: 'r',
    viewOffset: 0,
    asOf: 1_000,
    reason: 'allowed',
    observed: false,
  }
  return {
    produced: [
      { ...produced, offset: 0, eventId: 'e0' },
      { ...produced, offset: 1, eventId: 'e1' },
    ],
    flawed: [],
    signals: [
      { offset: 3, id: 's', key, effect: 'reason:suspension', fallback: 'suspension', floor: 2_000, at: 2_000 },
    ],
    unvouched: [],
    checkpoints: [
      { ...checkpoint, offset: 1, covers: -1, digest: 'd0', sequence: 1, asOf: 0, sentAt: 900 },
      { ...checkpoint, offset: 2, covers: 1, digest: 'd1', sequence: 2, asOf: 900, sentAt: 1_900 },
    ],
    decisions: [
      { ...decision, phase: 'admitted', offset: 0, eventId: 'e0', outcome: 'executed', at: 1_100 },
      { ...decision, phase: 'final', offset: 0, eventId: 'e0', outcome: 'executed', at: 1_300 },
      {
        ...decision,
        phase: 'final',
        offset: 1,
        eventId: 'e1',
        outcome: 'denied',
        reason: 'revoked_suspension',
        viewOffset: 3,
        at: 2_200,
      },
    ],
    setAside: [],
    consumers: [
      { type: 'checkpoint', consumer: 'w', at: 1_000, offset: 1, proven: true, digest: 'd1' },
      {
        type: 'start',
        consumer: 'w',
        class: 'c',
        eventId: 'e0',
        attempt: 1,
        at: 1_200,
        asOf: 900,
        ageMs: 300,
        viewOffset: 2,
      },
      { type: 'end', consumer: 'w', class: 'c', eventId: 'e0', attempt: 1, at: 1_250, outcome: 'done' },
      { type: 'applied', consumer: 'w', at: 2_040, offset: 3, id: 's' },
    ],
    revocations: [{ ids: ['s'], kind: 'suspend', state: 'acknowledged', offset: 3, askedAt: 1_990, answeredAt: 2_010 }],
    classes: [
      {
        name: 'c',
        topic: 'jobs',
        scopes: ['a'],
        stalenessBudgetMs: 3_250,
        observe: false,
        inFlight: { queued: finish, running: finish },
      },
    ],
    epsilonMs: 250,
  }
}

const start = { type: 'start', consumer: 'w', class: 'c', eventId: 'e1', attempt: 1, ageMs: 100 } as const
const effect = { type: 'effect', consumer: 'w', class: 'c', eventId: 'e0' } as const
const end = { type: 'end', consumer: 'w', class: 'c', attempt: 1, outcome: 'done' } as const
const done = { type: 'end', consumer: 'w', class: 'c', eventId: 'e1', attempt: 1, at: 9_000, outcome: 'done' } as const

/** Each breaks one promise. */
const broken: Record<string, (f: Facts) => Facts> = {
  'nothing-lost': (f) => ({ ...f, decisions: f.decisions.slice(0, 2) }),
  'nothing-invented': (f) => ({ ...f, consumers: f.consumers.filter((e) => e.type !== 'end') }),
  'admitted-first': (f) => ({ ...f, decisions: f.decisions.slice(1) }),
  'stopped-where-known': (f) => ({
    ...f,
    consumers: [...f.consumers, { ...start, at: 2_100, asOf: 2_000, viewOffset: 3 }, done],
  }),
  'stopped-everywhere': (f) => ({
    ...f,
    consumers: [...f.consumers.slice(0, 3), { ...start, at: 5_600, asOf: 5_500, viewOffset: 2 }, done],
  }),
  'fresh-or-still': (f) => ({
    ...f,
    consumers: [...f.consumers.slice(0, 3), { ...start, at: 4_600, asOf: 1_000, viewOffset: 2 }, done],
  }),
  'reached-first': (f) => ({
    ...f,
    produced: f.produced.map((p) =>
      p.identity ? { ...p, identity: { ...p.identity, position: { logId: 'log', offset: 3 } } } : p,
    ),
  }),
  'takes-all': (f) => ({ ...f, signals: f.signals.map((s) => ({ ...s, floor: 500 })) }),
  'denied-for-cause': (f) => ({ ...f, signals: f.signals.map((s) => ({ ...s, key: 'bb'.repeat(16) })) }),
  'acknowledged-kept': (f) => ({ ...f, revocations: f.revocations.map((r) => ({ ...r, ids: ['another'] })) }),
  'signed-with-all': (f) => ({ ...f, unvouched: ['checkpoint 2 at 2 was signed without s'] }),
  'same-views': (f) => ({
    ...f,
    consumers: f.consumers.map((e) => (e.type === 'checkpoint' ? { ...e, digest: 'other' } : e)),
  }),
  'never-back': (f) => ({
    ...f,
    checkpoints: [
      ...f.checkpoints,
      { ...checkpoint, offset: 9, covers: 2, digest: 'd2', sequence: 3, asOf: 800, sentAt: 2_900 },
    ],
  }),
  'only-what-was-sealed': (f) => ({
    ...f,
    flawed: [{ topic: 'jobs', partition: 0, offset: 0, flaw: 'the signature is another' }],
  }),
  'in-order': (f) => ({
    ...f,
    // The second of the key ran first, and nothing was said against either.
    signals: [],
    consumers: [{ ...start, at: 1_150, asOf: 1_000, viewOffset: 2 }, ...f.consumers],
  }),
  'ended-where-known': (f) => ({
    ...f,
    consumers: [...f.consumers, { ...end, eventId: 'e0', at: 2_200 }],
  }),
  'effects-while-allowed': (f) => ({
    ...f,
    consumers: [...f.consumers, { ...effect, at: 2_200, asOf: 2_000 }],
  }),
  'dead-for-cause': (f) => ({
    ...f,
    decisions: f.decisions.map((d) =>
      d.outcome === 'denied' ? { ...d, outcome: 'dead_lettered', reason: 'handler_failed' } : d,
    ),
  }),
  'one-statement': (f) => ({
    ...f,
    decisions: [...f.decisions, { ...(f.decisions[1] as Facts['decisions'][number]), recordedIn: 5 }],
  }),
  'copied-whole': (f) => ({ ...f, setAside: [{ kind: 'dead', origin: 'jobs/0/1', content: 'changed' }] }),
}

describe('the checker', () => {
  it('finds nothing wrong with a run in which nothing is', () => {
    expect(check(good()).filter((v) => !v.held)).toEqual([])
  })

  it.each(Object.entries(broken))('sees when %s is broken', (id, breakIt) => {
    const failed = check(breakIt(good())).filter((v) => !v.held)
    expect(failed.map((v) => v.id)).toContain(id)
  })

  it('has one planted break for every promise it judges', () => {
    expect(check(good()).map((v) => v.id)).toEqual(Object.keys(broken))
  })

  it('lets work accepted before a logout finish, and nothing sealed after it', () => {
    const logout = (iat: number): Facts => {
      const f = good()
      const produced = f.produced.map((p) => (p.identity ? { ...p, identity: { ...p.identity, iat } } : p))
      const signals = f.signals.map((s) => ({ ...s, effect: 'reason:logout', fallback: 'logout' }))
      const consumers = [...f.consumers, { ...start, at: 2_100, asOf: 2_000, viewOffset: 3 }]
      return { ...f, produced, signals, consumers }
    }
    const judged = (f: Facts) => check(f).find((v) => v.id === 'stopped-where-known')?.held
    expect(judged(logout(1_700))).toBe(true)
    expect(judged(logout(1_800))).toBe(false)
  })

  it.each<[string, (f: Facts) => Facts]>([
    [
      'what runs after its end',
      (f) => ({
        ...f,
        produced: f.produced.map((p) => ({ ...p, identity: p.identity && { ...p.identity, exp: 900 } })),
      }),
    ],
    ['what nobody sealed', (f) => ({ ...f, produced: f.produced.filter(({ eventId }) => eventId !== 'e0') })],
  ])('sees %s', (_, breakIt) => {
    expect(check(breakIt(good())).find((v) => v.id === 'only-what-was-sealed')?.held).toBe(false)
  })

  it('lets effects be committed before a signal, and under a view that is fresh', () => {
    const held = (at: number, asOf: number, before: boolean): boolean | undefined => {
      const f = good()
      const [first, begun, ...rest] = f.consumers as [Facts['consumers'][number], Facts['consumers'][number]]
      const committed = { ...effect, at, asOf }
      const consumers = before ? [first, begun, committed, ...rest] : [...f.consumers, committed]
      return check({ ...f, consumers }).find((v) => v.id === 'effects-while-allowed')?.held
    }
    expect(held(1_240, 900, true)).toBe(true)
    expect(held(4_151, 900, true)).toBe(false)
    expect(held(2_050, 1_900, false)).toBe(false)
  })

  it('believes handlers that tell of themselves more than what is told of them', () => {
    const held = (eventId: string): boolean | undefined => {
      const f = good()
      const returned = { ...effect, type: 'returned', eventId, at: 1_249 } as const
      const consumers = [...f.consumers, returned]
      return check({ ...f, consumers }).find((v) => v.id === 'nothing-invented')?.held
    }
    expect(held('e0')).toBe(true)
    expect(held('another')).toBe(false)
  })

  it('asks for no order of what was parked or hit, and of a retried send where it came first', () => {
    const early = { ...start, at: 1_150, asOf: 1_000, viewOffset: 2 }
    const held = (change: Partial<Facts>): boolean | undefined => {
      const f = good()
      return check({ ...f, signals: [], consumers: [early, ...f.consumers], ...change }).find(
        (v) => v.id === 'in-order',
      )?.held
    }
    expect(held({})).toBe(false)
    expect(held({ setAside: [{ kind: 'park', origin: 'jobs/0/0', content: 'whole' }] })).toBe(true)
    expect(held({ signals: good().signals })).toBe(true)
    const [first, second] = good().produced as [Facts['produced'][number], Facts['produced'][number]]
    expect(held({ produced: [{ ...second, offset: 0 }, { ...first, offset: 1 }, second] })).toBe(true)
    const again = [first, { ...second, offset: 1 }, { ...first, offset: 2 }]
    expect(held({ produced: again, setAside: [{ kind: 'park', origin: 'jobs/0/0', content: 'whole' }] })).toBe(true)
  })

  it('sees two of one key at once in one consumer, and takes none for it of which one never ended', () => {
    const held = (...order: readonly (readonly ['start' | 'end', string])[]): boolean | undefined => {
      const f = good()
      const consumers = order.map(([type, eventId], i) => {
        const at = 1_200 + i
        const same = { consumer: 'w', class: 'c', eventId, attempt: 1, at }
        return type === 'start'
          ? { ...start, ...same, asOf: 1_000, viewOffset: 2 }
          : { ...same, type, outcome: 'done' as const }
      })
      return check({ ...f, signals: [], consumers }).find((v) => v.id === 'in-order')?.held
    }
    expect(held(['start', 'e0'], ['end', 'e0'], ['start', 'e1'], ['end', 'e1'])).toBe(true)
    expect(held(['start', 'e0'], ['start', 'e1'], ['end', 'e0'], ['end', 'e1'])).toBe(false)
    expect(held(['start', 'e0'], ['start', 'e1'], ['end', 'e1'], ['end', 'e0'])).toBe(false)
    expect(held(['start', 'e0'], ['start', 'e0'], ['end', 'e0'], ['start', 'e1'], ['end', 'e1'])).toBe(true)
    expect(held(['start', 'e0'], ['start', 'e1'], ['end', 'e1'])).toBe(true)
    // After a rebalance e0 comes again, while e1 is still under way from before it.
    expect(held(['start', 'e0'], ['end', 'e0'], ['start', 'e1'], ['start', 'e0'], ['end', 'e1'])).toBe(true)
  })

  it('sees one record that says two things of a message', () => {
    const f = good()
    const twice = {
      ...(f.decisions[1] as Facts['decisions'][number]),
      outcome: 'denied',
      reason: 'revoked_logout',
    } as const
    expect(check({ ...f, decisions: [...f.decisions, twice] }).find((v) => v.id === 'one-statement')?.held).toBe(false)
  })

  it('measures exposure from the append and counts outcomes once', () => {
    expect(exposures(good()).get('w')).toEqual([40])
    expect(outcomes(good())).toEqual([
      { class: 'c', outcome: 'denied', reason: 'revoked_suspension', count: 1 },
      { class: 'c', outcome: 'executed', reason: '', count: 1 },
    ])
    expect(spread([])).toEqual({ p50: 0, p99: 0, max: 0, n: 0 })
    expect(spread([3, 1, 2])).toEqual({ p50: 2, p99: 3, max: 3, n: 3 })
  })
})
