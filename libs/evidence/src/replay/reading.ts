/**
 * A signals log read into a fresh view from where it begins, everything on it verified under the bundle in force at its
 * place: what any honest consumer must hold. Changes nothing anywhere.
 */
import type { EventLog, LogRecord, SchemaIds } from '@countersign/event-log'
import {
  encodeState,
  Follower,
  type FollowerFault,
  type FoundSignal,
  readRecord,
  type SignalsRecordKind,
} from '@countersign/replica'
import { View } from '@countersign/revocation'
import type { Catalogue, SignalsLog } from '@countersign/schemas'

export interface ReadingOptions {
  readonly schemas: SchemaIds
  readonly rootKeys: readonly Uint8Array[]
  /** Skew tolerance, milliseconds: that of the consumers, since it decides what a signal is. */
  readonly epsilonMs: number
  /** Name of the log, where there are several. */
  readonly logName?: string
  /** False when the beginning of the log is gone. */
  readonly complete: boolean
  /** Offset of the last checkpoint to read; a snapshot can be had there. Default: none. */
  readonly until?: number
  readonly onSignal?: (found: FoundSignal) => void
}

/** A signals log, and what it is verified by. */
export interface VerifiedLog {
  readonly log: EventLog
  readonly catalogue: Pick<Catalogue, 'signalsLogs'>
  readonly signalsLog: SignalsLog
  /** Raw Ed25519 public keys, 32 bytes each. */
  readonly rootKeys: readonly Uint8Array[]
  /** Skew tolerance, milliseconds. */
  readonly epsilonMs: number
}

/** @param start where the log begins now. @returns a reading of it that nothing was folded into yet. */
export function readingOf(
  { log, catalogue, signalsLog, rootKeys, epsilonMs }: VerifiedLog,
  start: number,
  more: Pick<ReadingOptions, 'until' | 'onSignal'> = {},
): SignalsReading {
  const named = catalogue.signalsLogs.length > 1 && { logName: signalsLog.name }
  return new SignalsReading({ schemas: log.schemas, rootKeys, epsilonMs, complete: start === 0, ...named, ...more })
}

/** A view at one place, as checkpoints state it. */
export interface NotedAt {
  /** Of the checkpoint it was noted at. */
  readonly offset: number
  readonly digest: Buffer
  readonly count: number
}

export class SignalsReading {
  readonly #schemas: SchemaIds
  readonly #follower: Follower
  readonly #noted: NotedAt[] = []
  readonly #kinds: Partial<Record<SignalsRecordKind | 'unreadable', number>> = {}
  readonly #faults: Partial<Record<FollowerFault, number>> = {}
  readonly #checkpoints = { passed: 0, agreeing: 0, differingAt: null as number | null }
  #records = 0

  constructor({ schemas, rootKeys, epsilonMs, logName, complete, until, onSignal }: ReadingOptions) {
    this.#schemas = schemas
    this.#follower = new Follower({
      schemas,
      rootKeys,
      epsilonMs,
      minBundleVersion: 1,
      ...(logName !== undefined && { logName }),
      newView: () => new View(),
      end: until ?? Number.MAX_SAFE_INTEGER,
      trustHistory: false,
      complete,
      observer: {
        ...(onSignal && { signal: onSignal }),
        fault: (code) => {
          this.#faults[code] = (this.#faults[code] ?? 0) + 1
        },
        checkpoint: ({ offset }) => this.#passed(offset),
      },
    })
  }

  /** Takes the next record; offsets rise. Cost: an Ed25519 verification. */
  fold(record: LogRecord): void {
    const kind = readRecord(record, this.#schemas)?.kind ?? 'unreadable'
    this.#records++
    this.#kinds[kind] = (this.#kinds[kind] ?? 0) + 1
    this.#follower.fold(record, { monotonic: 0 })
  }

  get records(): number {
    return this.#records
  }

  /** How many records of each kind, believed or not. */
  get kinds(): Readonly<Partial<Record<SignalsRecordKind | 'unreadable', number>>> {
    return this.#kinds
  }

  /** What was not believed, and how often. */
  get faults(): Readonly<Partial<Record<FollowerFault, number>>> {
    return this.#faults
  }

  /** Checkpoints passed, those that state exactly this view, and the first that states another one. */
  get checkpoints(): { readonly passed: number; readonly agreeing: number; readonly differingAt: number | null } {
    return { ...this.#checkpoints }
  }

  /** Id of the log; null before a bundle under the root keys was read: then it is none of theirs. */
  get logId(): string | null {
    return this.#follower.logId
  }

  get follower(): Follower {
    return this.#follower
  }

  /** The view as it was noted at the last checkpoint at or before `offset`; null before the first. */
  notedAt(offset: number): NotedAt | null {
    let from = 0
    let to = this.#noted.length
    while (from < to) {
      const middle = (from + to) >> 1
      if ((this.#noted[middle] as NotedAt).offset <= offset) from = middle + 1
      else to = middle
    }
    return this.#noted[from - 1] ?? null
  }

  /** What a consumer can start from, in chunks; null unless the record at `until` is a checkpoint that proved the view. */
  snapshot(): Generator<Buffer> | null {
    const state = this.#follower.state()
    return state === null ? null : encodeState(state)
  }

  #passed(offset: number): void {
    const { noted, agrees } = this.#follower
    this.#checkpoints.passed++
    if (agrees === true) this.#checkpoints.agreeing++
    if (agrees === false) this.#checkpoints.differingAt ??= offset
    // Most state what the one before did: of a week there are 600,000.
    if (noted !== null && !this.#noted.at(-1)?.digest.equals(noted.digest)) {
      this.#noted.push({ offset, digest: noted.digest, count: noted.count })
    }
  }
}
