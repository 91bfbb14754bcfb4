/** Views against a plain Map: order, repetition, horizons, digest, snapshot. */
import { SeededRandom } from '@countersign/kernel/testing'
import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { REASONS, type Reason, strictness } from './effects.ts'
import { digestElement } from './interning.ts'
import { LtHash } from './lthash.ts'
import type { SignalFacts } from './signals.ts'
import { type FloorEntry, View } from './view.ts'

/** Few keys, effects and floors, so that they meet; keys differ in their last byte only. */
const KEYS = Array.from({ length: 6 }, (_, i) => Buffer.alloc(16, 7).fill(i, 15))
const EFFECTS = ['reason:logout', 'reason:compromise', 'scope:pay', 'scope:read', 'assurance:low']
const signal: fc.Arbitrary<SignalFacts> = fc.record({
  key: fc.constantFrom(...KEYS),
  effect: fc.constantFrom(...EFFECTS),
  fallback: fc.constantFrom(...REASONS),
  floor: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constantFrom(2 ** 32, 2 ** 32 + 5, 2 ** 48 - 1)),
})
const step = fc.oneof(
  { weight: 12, arbitrary: signal.map((facts) => ({ facts })) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 9 }).map((horizon) => ({ horizon })) },
)
type Step = { facts: SignalFacts } | { horizon: number }

/** The view's definition over the whole set of signals: per (target, effect) the two highest floors, strictest fallback each. */
class Oracle {
  readonly floors = new Map<string, Map<number, SignalFacts>>()
  horizon = 0

  constructor(steps: readonly Step[]) {
    for (const each of steps) if ('horizon' in each) this.horizon = Math.max(this.horizon, each.horizon)
    for (const each of steps) if ('facts' in each) this.#take(each.facts)
    for (const [pair, floors] of this.floors) {
      const kept = [...floors].sort((a, b) => b[0] - a[0]).slice(0, 2)
      this.floors.set(pair, new Map(kept))
    }
  }

  #take(facts: SignalFacts): void {
    if (facts.floor < this.horizon) return
    const pair = `${Buffer.from(facts.key).toString('hex')} ${facts.effect}`
    const floors = this.floors.get(pair) ?? new Map<number, SignalFacts>()
    const same = floors.get(facts.floor)
    if (!same || strictness(facts.fallback) < strictness(same.fallback)) floors.set(facts.floor, facts)
    this.floors.set(pair, floors)
  }

  kept(): SignalFacts[] {
    return [...this.floors.values()].flatMap((floors) => [...floors.values()])
  }

  entries(key: Buffer): FloorEntry[] {
    return EFFECTS.flatMap((effect) => {
      const floors = [...(this.floors.get(`${key.toString('hex')} ${effect}`)?.values() ?? [])]
      if (floors.length === 0) return []
      const fallback = floors.map((f) => f.fallback).sort((a, b) => strictness(a) - strictness(b))[0] as Reason
      return [{ effect, fallback, higher: floors[0]?.floor ?? 0, lower: floors[1]?.floor ?? 0 }]
    }).sort((a, b) => strictness(a.fallback) - strictness(b.fallback) || (a.effect < b.effect ? -1 : 1))
  }
}

function fold(steps: readonly Step[], view: View = new View()): View {
  for (const each of steps) {
    if ('facts' in each) view.apply(each.facts)
    else view.dropOlderThan(each.horizon)
  }
  return view
}

function assertIs(view: View, oracle: Oracle): void {
  const kept = oracle.kept()
  for (const key of KEYS) expect(view.floors(key)).toEqual(oracle.entries(key))
  expect(view.count).toBe(kept.length)
  expect(view.size).toBe(oracle.floors.size)
  expect(view.horizon).toBe(oracle.horizon)
  const hash = new LtHash()
  for (const floor of kept) hash.add(digestElement(floor))
  expect(view.digestState()).toEqual(hash.state())
}

describe('a view', () => {
  test.prop([fc.array(step, { maxLength: 60 })])('is the plain fold of its signals and horizon', (steps) => {
    assertIs(fold(steps), new Oracle(steps))
  })

  test.prop([fc.array(step, { maxLength: 40 }), fc.infiniteStream(fc.nat()), fc.integer({ min: 1, max: 3 })])(
    'is the same in any order, any number of times, horizons in between',
    (steps, order, times) => {
      const shuffled = Array.from({ length: times }, () => steps)
        .flat()
        .map((each) => [order.next().value, each] as const)
        .sort((a, b) => a[0] - b[0])
        .map(([, each]) => each)
      assertIs(fold(shuffled, new View({ filter: 'split-block' })), new Oracle(steps))
    },
  )

  test.prop([fc.array(step, { maxLength: 20 })], { numRuns: 20 })('does not depend on the engine', (steps) => {
    assertIs(fold(steps, new View({ filter: 'bloom-filters' })), new Oracle(steps))
  })

  test.prop([fc.array(step, { maxLength: 40 })])('says whether it changed', (steps) => {
    const view = new View()
    for (const each of steps) {
      const before = view.digest()
      const changed = 'facts' in each ? view.apply(each.facts) : view.dropOlderThan(each.horizon) > 0
      expect(changed).toBe(!view.digest().equals(before))
    }
  })

  test.prop([fc.array(step, { maxLength: 40 }), fc.array(step, { maxLength: 20 })])(
    'comes back from a snapshot and goes on',
    (before, after) => {
      const position = { logId: 'log-é', offset: -1, epoch: 3, sequence: 2 ** 40, bundleVersion: 5 }
      const view = fold(before)
      const restored = View.restore(Buffer.concat([...view.snapshot(position)]))
      expect(restored.position).toEqual({ ...position, attachment: Buffer.alloc(0) })
      assertIs(restored.view, new Oracle(before))
      assertIs(fold(after, restored.view), new Oracle([...before, ...after]))
    },
  )

  test.prop([fc.array(step, { maxLength: 40 }), fc.array(step, { maxLength: 20 })])(
    'has clones that go their own way',
    (before, after) => {
      const view = fold(before)
      const copy = view.clone()
      fold(after, copy)
      assertIs(view, new Oracle(before))
      assertIs(copy, new Oracle([...before, ...after]))
    },
  )

  test.prop([fc.array(step, { maxLength: 40 }), fc.array(step, { maxLength: 40 })])(
    'takes another in through its facts',
    (mine, theirs) => {
      const view = fold(mine)
      const other = fold(theirs)
      for (const facts of other.facts()) view.apply(facts)
      view.dropOlderThan(other.horizon)
      assertIs(view, new Oracle([...mine, ...theirs]))
    },
  )
})

test('a large view with many keys equals a Map through growth, drops and shrinking', () => {
  const seed = Date.now() >>> 0
  console.log(`large view: seed ${seed}`)
  const random = new SeededRandom(seed)
  const view = new View({ random })
  const oracle = new Map<string, number>()
  const keys = Array.from({ length: 12_000 }, () => random.bytes(16))
  for (let round = 1; round <= 4; round++) {
    for (const key of keys.slice(0, round === 3 ? 200 : keys.length)) {
      if (random.below(3) === 0) continue
      const floor = round * 1000 + random.below(1000)
      view.apply({ key, effect: 'reason:logout', fallback: 'logout', floor })
      oracle.set(key.toString('hex'), Math.max(oracle.get(key.toString('hex')) ?? 0, floor))
    }
    const horizon = round * 1000 + (round === 2 ? 990 : 400)
    view.dropOlderThan(horizon)
    for (const [key, floor] of oracle) if (floor < horizon) oracle.delete(key)
    expect(view.size, `seed ${seed}`).toBe(oracle.size)
    for (const key of keys) {
      expect(view.floors(key)[0]?.higher, `seed ${seed}`).toBe(oracle.get(key.toString('hex')))
    }
  }
})
