/** What happens in one run, from its seed alone; timing adds its own chance. */
import { SeededRandom } from '@countersign/kernel/testing'
import { KILL_POINTS, type Kill, type KillPoint } from './points.ts'
import type { AppendFaults } from './shift.ts'
import type { Fate } from './topics.ts'

export const PEOPLE = 6
export const TRAFFIC_MS = 2_500
const BURSTS = 60
const KEYS = 10

/** What can be wrong with a message before it is sent. The enforcer may run none of these. */
export const FLAWS = [
  'no envelope',
  'two envelopes',
  'no envelope but garbage',
  'signature broken',
  'payload of another',
  'payload unreadable',
  'expired',
  'sealed by a stranger',
  'for another audience',
  'position beyond the log',
] as const
export type Flaw = (typeof FLAWS)[number]

export interface PlannedJob {
  readonly kind: 'export' | 'pay'
  readonly person: number
  readonly key: string
  readonly fate: Fate
  readonly workMs: number
  readonly flaw: Flaw | null
}

/** Jobs that are sealed and sent together. */
export interface Burst {
  readonly at: number
  readonly jobs: readonly PlannedJob[]
  /** Sent a second time after so long, as producers do that got no answer; null for once. */
  readonly againAfterMs: number | null
  /** Sealed with the position of the newest signal instead of the one the view had reached. */
  readonly causal: boolean
}

export type Ending = 'logout' | 'suspension' | 'affiliation' | 'scope' | 'compromise'

const ENDINGS: readonly Ending[] = ['logout', 'logout', 'suspension', 'affiliation', 'scope', 'compromise']

export interface PlannedRevocation {
  readonly at: number
  readonly ending: Ending
  readonly person: number
}

export interface PlannedWorker {
  readonly each: 'batch' | 'message'
  readonly concurrency: number
  readonly partitionsAtOnce: number
  readonly autoResolve: boolean
  readonly commits: 'kafkajs' | 'own'
  readonly admitAtMost: number
  readonly kill: Kill | null
  readonly appends: AppendFaults
}

export interface Plan {
  readonly seed: number
  readonly bursts: readonly Burst[]
  readonly revocations: readonly PlannedRevocation[]
  /** Who works from the start, and who replaces the dead, in order. */
  readonly workers: readonly PlannedWorker[]
  /** Another one joins, and leaves in good order. */
  readonly visitor: { readonly at: number; readonly forMs: number } | null
  /** A worker is frozen for longer than its session lasts, and wakes up. */
  readonly frozen: { readonly at: number; readonly worker: number } | null
  /** The notary writes nothing. */
  readonly silence: { readonly at: number; readonly forMs: number } | null
}

/** What a point needs to be passed at all. */
const IN_BATCHES: ReadonlySet<KillPoint> = new Set([
  'before the offset is resolved',
  'after the offset is resolved',
  'before the commit',
])
/** Passed once for each piece of work, not once for each batch. */
const OFTEN: ReadonlySet<KillPoint> = new Set(['handler called', 'handler halfway', 'handler ended'])

export function planOf(seed: number): Plan {
  const random = new SeededRandom(seed)
  const chance = (share: number): boolean => random.unit() < share
  // Each point is the first kill of one seed in as many as there are points.
  const first = KILL_POINTS[seed % KILL_POINTS.length] as KillPoint
  const workers = [workerOf(random, first), ...Array.from({ length: 5 }, () => workerOf(random, null))]
  const revocations = Array.from({ length: 8 }, (_, i) => ({
    at: 300 + i * 280 + random.below(200),
    ending: pick(random, ENDINGS),
    person: random.below(PEOPLE),
  }))
  const bursts = Array.from({ length: BURSTS }, (_, i) => burstOf(random, i))
  return {
    seed,
    bursts: [...bursts, ...revocations.map((ending) => underWayAt(ending, random))],
    revocations,
    workers,
    visitor: chance(0.5) ? { at: 400 + random.below(1_200), forMs: 300 + random.below(900) } : null,
    frozen: chance(0.25) ? { at: 500 + random.below(1_000), worker: 1 } : null,
    silence: chance(0.25) ? { at: 300 + random.below(1_000), forMs: 1_800 } : null,
  }
}

function workerOf(random: SeededRandom, point: KillPoint | null): PlannedWorker {
  const killed = point ?? (random.unit() < 0.35 ? pick(random, KILL_POINTS) : null)
  const nth = killed !== null && OFTEN.has(killed) ? 1 + random.below(40) : 1 + random.below(4)
  const calm = random.unit() < 0.5
  const each = killed !== null && IN_BATCHES.has(killed) ? 'batch' : random.unit() < 0.75 ? 'batch' : 'message'
  return {
    each,
    concurrency: pick(random, [1, 1, 4]),
    partitionsAtOnce: pick(random, [1, 2]),
    autoResolve: random.unit() < 0.5,
    commits: killed !== 'before the commit' && random.unit() < 0.25 ? 'own' : 'kafkajs',
    admitAtMost: pick(random, [4, 16, 256]),
    kill: killed === null ? null : { point: killed, nth },
    appends: calm ? { refused: 0, unanswered: 0, away: 0 } : { refused: 0.03, unanswered: 0.03, away: 0.01 },
  }
}

function burstOf(random: SeededRandom, index: number): Burst {
  const jobs = Array.from({ length: 1 + random.below(7) }, () => jobOf(random))
  // One in a hundred, and in each run some.
  if (index % 15 === 7) jobs.push({ ...jobOf(random), flaw: pick(random, FLAWS) })
  return {
    at: Math.floor((index * TRAFFIC_MS) / BURSTS),
    jobs,
    againAfterMs: random.unit() < 0.12 ? pick(random, [0, 150, 600]) : null,
    causal: random.unit() < 0.3,
  }
}

/** Slow work of theirs that has just begun when somebody's authority ends, or is about to. */
function underWayAt({ at, person }: PlannedRevocation, random: SeededRandom): Burst {
  const slow = { person, workMs: 500 }
  const jobs = [
    { ...jobOf(random), ...slow, fate: 'done' as const },
    { ...jobOf(random), ...slow, kind: 'pay' as const, fate: 'deaf' as const },
  ]
  return { at: Math.max(0, at - 200), jobs, againAfterMs: null, causal: false }
}

function jobOf(random: SeededRandom): PlannedJob {
  const luck = random.unit()
  return {
    kind: random.unit() < 0.7 ? 'export' : 'pay',
    person: random.below(PEOPLE),
    key: `invoice-${random.below(KEYS)}`,
    fate: luck < 0.03 ? 'fails-once' : luck < 0.04 ? 'fails' : luck < 0.05 ? 'permanent' : luck < 0.1 ? 'deaf' : 'done',
    workMs: random.unit() < 0.02 ? 300 : random.below(12),
    flaw: null,
  }
}

function pick<T>(random: SeededRandom, from: readonly T[]): T {
  return from[random.below(from.length)] as T
}
