/** Any interleaving, duplication, forgery and withholding, against a plain map. */
import type { LogRecord } from '@countersign/event-log'
import { FakeClock } from '@countersign/kernel/testing'
import { targetKey, View } from '@countersign/revocation'
import type { Reason, Signal } from '@countersign/schemas'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Follower } from './follower.ts'
import { readRecord } from './records.ts'
import { MemoryLog, Scribe, testKeys, testSchemas } from './testing.ts'

const WINDOW_MS = 8_000
const TARGETS = ['a', 'b', 'c'].map((id) => ({ kind: 'session' as const, tenant: '', id }))
const REASONS: readonly Reason[] = ['logout', 'compromise']
const forger = testKeys(666)

type Step =
  | { kind: 'signal'; target: number; reason: number; ago: number }
  | { kind: 'forge'; target: number }
  | { kind: 'again'; pick: number }
  | { kind: 'takeover' }
  | { kind: 'renew' }
  | { kind: 'tick' }
  /** The reader gets the next record unreadable. */
  | { kind: 'withhold' }
  /** The reader begins anew: a new process, or a re-reading. */
  | { kind: 'bootstrap' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('signal' as const),
      target: fc.nat(2),
      reason: fc.nat(1),
      ago: fc.nat(12_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('forge' as const), target: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('again' as const), pick: fc.nat(1_000) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'takeover' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'renew' as const }) },
  { weight: 6, arbitrary: fc.constant({ kind: 'tick' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'withhold' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'bootstrap' as const }) },
)

interface Genuine {
  readonly signal: Signal
  readonly offset: number
}

/** Floors as a plain map would keep them: per target and effect the two highest distinct ones at or above the horizon. */
function oracle(genuine: readonly Genuine[], upTo: number, horizon: number): Map<string, readonly number[]> {
  const floors = new Map<string, Set<number>>()
  for (const { signal, offset } of genuine) {
    if (offset > upTo || signal.floor < horizon) continue
    const key = `${signal.target.id} ${signal.effect}`
    floors.set(key, (floors.get(key) ?? new Set()).add(signal.floor))
  }
  return new Map([...floors].map(([key, set]) => [key, [...set].sort((x, y) => y - x).slice(0, 2)]))
}

class Run {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly scribe = new Scribe(this.log)
  readonly genuine: Genuine[] = []
  readonly withheld = new Set<number>()
  follower: Follower

  constructor() {
    this.scribe.windowMs = WINDOW_MS
    this.scribe.bundle()
    this.scribe.begin()
    this.scribe.checkpoint()
    this.follower = this.newFollower(true)
  }

  newFollower(trustHistory: boolean, legacy?: ReturnType<Follower['legacy']>): Follower {
    return new Follower({
      schemas: testSchemas,
      rootKeys: [this.scribe.keys.rootPublic],
      epsilonMs: 250,
      minBundleVersion: 1,
      newView: () => new View(),
      end: this.log.partition().records.length,
      trustHistory,
      complete: true,
      ...(legacy && { legacy }),
    })
  }

  async apply(step: Step): Promise<void> {
    const { scribe, log, clock } = this
    if (step.kind === 'signal') {
      const reason = REASONS[step.reason] as Reason
      // Some come late enough to be below the horizon: then they are no signals for anyone.
      const floor = Math.max(clock.now() - step.ago, scribe.nextCheckpoint().horizon)
      const target = TARGETS[step.target] as Signal['target']
      const record = scribe.signal({ target, effect: `reason:${reason}`, fallback: reason, floor })
      const read = readRecord(record, testSchemas)
      if (read) this.genuine.push({ signal: scribe.lastSignal as Signal, offset: record.offset })
    } else if (step.kind === 'forge') {
      const target = TARGETS[step.target] as Signal['target']
      const signal = scribe.makeSignal({ target, effect: 'scope:forged', fallback: 'compromise' })
      log.write(scribe.signalRecord(signal, forger.signal))
    } else if (step.kind === 'again') {
      const { records } = log.partition()
      log.write(records[step.pick % records.length] as LogRecord)
    } else if (step.kind === 'takeover') {
      scribe.begin(`n${scribe.epoch + 1}`)
    } else if (step.kind === 'renew') {
      scribe.bundle()
      scribe.claim({ epoch: scribe.epoch })
    } else if (step.kind === 'tick') {
      await clock.advance(1_000)
      scribe.checkpoint()
    } else if (step.kind === 'withhold') {
      this.withheld.add(log.partition().records.length)
    } else {
      this.follower = this.newFollower(true)
    }
    this.read()
  }

  read(): void {
    const before = this.follower.limits
    for (const record of this.log.partition().records) {
      if (record.offset <= this.follower.position) continue
      // A tail loses a record once; whoever reads again finds it.
      const lost = this.withheld.delete(record.offset)
      this.follower.fold(lost ? { ...record, value: null } : record, { monotonic: this.clock.monotonic() })
      this.check()
    }
    const after = this.follower.limits
    for (const name of ['horizon', 'asOf', 'outboxSeq', 'bundleVersion'] as const) {
      expect(after[name]).toBeGreaterThanOrEqual(before[name])
    }
  }

  /** Whenever a view is open, it has everything up to its proof, and nothing that nobody signed. */
  check(): void {
    const { follower } = this
    if (!follower.freshness(this.clock).proven) return
    const covered = follower.last?.checkpoint.covers ?? -1
    const expected = oracle(this.genuine, covered, follower.limits.horizon)
    for (const [key, floors] of expected) {
      const [id, effect] = key.split(' ')
      const found = follower.floors(targetKey({ kind: 'session', tenant: '', id: id as string }))
      const entry = found.find((e) => e.effect === effect)
      expect(entry?.higher ?? 0, key).toBeGreaterThanOrEqual(floors[0] as number)
    }
    for (const target of TARGETS) {
      expect(follower.floors(targetKey(target)).some((e) => e.effect === 'scope:forged')).toBe(false)
    }
  }

  /** What the shell does: read again while in doubt. */
  async settle(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      await this.apply({ kind: 'tick' })
      await this.apply({ kind: 'tick' })
      if (this.follower.suspicion === null) continue
      this.follower = this.newFollower(false, this.follower.legacy('digest_differs'))
      this.read()
    }
  }
}

test('2.1 2.3 2.5 whatever happens on the way, an open view is complete and true, and every reader ends equal', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const run = new Run()
      for (const each of steps) await run.apply(each)
      await run.settle()
      const { follower, scribe } = run
      expect(follower.freshness(run.clock)).toMatchObject({ proven: true, closed: null })
      expect(follower.view.digest()).toEqual(scribe.view.digest())
      const expected = oracle(run.genuine, follower.position, follower.limits.horizon)
      for (const target of TARGETS) {
        for (const reason of REASONS) {
          const entry = follower.floors(targetKey(target)).find((e) => e.effect === `reason:${reason}`)
          const floors = entry ? [entry.higher, entry.lower].filter((f) => f > 0) : []
          expect(floors).toEqual(expected.get(`${target.id} reason:${reason}`) ?? [])
        }
      }
    }),
    { numRuns: 120 },
  )
})
