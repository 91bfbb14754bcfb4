/**
 * Signals logs, folded anew by the follower that consumers run, and stopped wherever a decision was made: the view is then
 * what it was, floor by floor, and every record on the way was verified under the keys in force where it stands.
 */
import type { KeyRing } from '@countersign/envelope'
import type { SchemaIds } from '@countersign/event-log'
import { Follower, type FollowerFault, type FoundSignal } from '@countersign/replica'
import { type FloorEntry, View } from '@countersign/revocation'
import type { LogPosition } from '@countersign/schemas'
import type { EvidenceSource } from '../source/index.ts'

/** A record that was not believed. */
export interface LogFault {
  readonly offset: number
  readonly code: FollowerFault
}

/** A view as it was. Speaks of that moment only while it is being handed over. */
export interface ViewThen {
  /** Name of its log. */
  readonly log: string
  readonly logId: string
  /** Last record folded; less than was asked for if the log ends before. */
  readonly offset: number
  readonly ring: KeyRing | null
  floors(key: Uint8Array): readonly FloorEntry[]
  reached(position: LogPosition, iat: number): 'reached' | 'behind' | 'beyond'
  /** Of the last checkpoint that stated this view; 0 before one did. */
  readonly asOf: number
  readonly storeUnseenSince: number | null
  /** Whether the last checkpoint stated what the log holds; null where none could be compared. */
  readonly agrees: boolean | null
  /** What was found up to here and not believed, though it should have been. */
  readonly faults: readonly LogFault[]
}

/** Where to stop on a log. */
export interface Stop {
  /** Name of the log. */
  readonly log: string
  readonly offset: number
  at(then: ViewThen): void
}

export interface WalkOptions {
  /** Names of the logs there are; on another one nothing stands. */
  readonly logs: readonly string[]
  readonly rootKeys: readonly Uint8Array[]
  readonly epsilonMs: number
  readonly signal?: AbortSignal
}

export interface Walked {
  /** Signals on the targets that were asked for, by target key in hexadecimal, in order. All that were believed. */
  readonly signals: ReadonlyMap<string, readonly (FoundSignal & { readonly log: string })[]>
}

// What consumers meet on logs that are well: claims that were lost, records appended twice, what came too late to count.
const HARMLESS: readonly FollowerFault[] = [
  'claim_lost',
  'claim_stale',
  'checkpoint_duplicate',
  'checkpoint_fenced',
  'signal_below_horizon',
]

/**
 * Walks each log that is stopped on, once, to its end.
 * @param wanted keys of targets in hexadecimal whose signals are to be kept.
 * Cost: an Ed25519 verification for each record of the log.
 */
export async function walk(
  source: EvidenceSource,
  stops: readonly Stop[],
  wanted: ReadonlySet<string>,
  { logs, rootKeys, epsilonMs, signal }: WalkOptions,
): Promise<Walked> {
  const signals = new Map<string, (FoundSignal & { readonly log: string })[]>()
  for (const [log, some] of Map.groupBy(stops, (stop) => stop.log)) {
    const faults: LogFault[] = []
    const observer = {
      signal(found: FoundSignal) {
        const key = Buffer.from(found.facts.key).toString('hex')
        if (!wanted.has(key)) return
        const known = signals.get(key)
        if (known) known.push({ ...found, log })
        else signals.set(key, [{ ...found, log }])
      },
      fault: (code: FollowerFault, offset: number) => void (HARMLESS.includes(code) || faults.push({ code, offset })),
    }
    const begin = (first: number): Follower =>
      new Follower({
        // Only ids that are read are asked for.
        schemas: source.schemas as SchemaIds,
        ...{ rootKeys, epsilonMs, minBundleVersion: 1, newView: () => new View(), observer },
        // Every record is received, none believed because it has stood there for long.
        ...{ end: first, trustHistory: false, complete: first === 0 },
      })
    let follower: Follower | null = null
    const waiting = some.toSorted((a, b) => a.offset - b.offset)
    const stopUpTo = (offset: number): void => {
      while (waiting.length > 0 && (waiting[0] as Stop).offset < offset) {
        const stop = waiting.shift() as Stop
        stop.at(viewOf(follower ?? begin(0), log, [...faults]))
      }
    }
    const records = logs.includes(log) ? source.signals({ log, ...(signal && { signal }) }) : []
    for await (const { record } of records) {
      follower ??= begin(record.offset)
      stopUpTo(record.offset)
      follower.fold(record, { monotonic: record.timestamp })
    }
    stopUpTo(Infinity)
  }
  return { signals }
}

function viewOf(follower: Follower, log: string, faults: readonly LogFault[]): ViewThen {
  const { logId, position: offset, ring, proof, agrees } = follower
  return {
    ...{ log, logId: logId ?? '', offset, ring, agrees, faults },
    floors: (key) => follower.floors(key),
    reached: (position, iat) => follower.reached(position, iat),
    asOf: proof?.asOf ?? 0,
    storeUnseenSince: proof?.storeUnseenSince ?? null,
  }
}
