/**
 * Putting signals on their log once more. Whoever may write the log does it; here is which, in what order, how fast, and
 * what it did to the view. Invariant: a copy names its replay in a header, so an interrupted replay is taken up where it
 * stopped, by whoever and from wherever, and one that was done finds nothing left to do.
 */
import { createHash } from 'node:crypto'
import type { Bounds, LogRecord } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import type { View } from '@countersign/revocation'
import { ORIGIN_HEADER, REPLAY_HEADER, type Signal } from '@countersign/schemas'
import { filterOf, type Range, type SignalFilter, sideOf } from './range.ts'
import { readingOf, type SignalsReading, type VerifiedLog } from './reading.ts'

export interface ReEmissionOptions extends VerifiedLog {
  readonly range: Range
  readonly filter: SignalFilter
  /** Name of a replay to take up. @defaultValue a name made of the log and the signals meant */
  readonly replay?: string
  /** Told of records read, of the total. */
  readonly onRead?: (read: number, total: number) => void
  /** Ends the planning early; the plan is of what was read then. */
  readonly signal?: AbortSignal
}

export interface MeantSignal {
  readonly offset: number
  /** When the log appended it, epoch milliseconds. */
  readonly timestamp: number
  readonly signal: Signal
}

/** What the one who writes the log did. */
export interface Emitted {
  readonly appended: readonly { readonly origin: number; readonly offset: number }[]
  readonly skipped: readonly { readonly origin: number; readonly code: string }[]
}

export interface EmitOptions {
  /** Writes copies of the records at these offsets. What it throws ends the run; the next one goes on from there. */
  readonly emit: (offsets: readonly number[]) => Promise<Emitted>
  readonly perSecond: number
  readonly clock: Clock
  readonly onEmitted?: (done: number) => void
  readonly signal?: AbortSignal
}

/** The view before and after, and what it would be without the copies: the same, or the replay did harm. */
export interface Effect {
  readonly before: NotedView
  readonly after: NotedView
  readonly without: string
  /** Copies of this replay found on the log. */
  readonly copies: number
}

export interface NotedView {
  /** Of the last record folded. */
  readonly offset: number
  readonly count: number
  /** Hex. */
  readonly digest: string
}

const MOST_AT_ONCE = 500
const WIDEST_SPAN = 10_000

/** Reads the log to its end and picks the signals meant; changes nothing. */
export async function planReEmission(options: ReEmissionOptions): Promise<ReEmission> {
  const { log, signalsLog } = options
  const bounds = await log.bounds(signalsLog.topic)
  const watched = new Watched(options, bounds)
  await watched.read(bounds.start, bounds.end, options.signal)
  return new ReEmission(options, watched, bounds.end)
}

export class ReEmission {
  readonly #options: ReEmissionOptions
  readonly #watched: Watched
  readonly #end: number
  readonly #left: readonly number[]
  /** Name of the replay. */
  readonly replay: string
  readonly before: NotedView

  /** @internal */
  constructor(options: ReEmissionOptions, watched: Watched, end: number) {
    this.#options = options
    this.#watched = watched
    this.#end = end
    this.before = watched.noted
    this.replay = options.replay ?? nameOf(watched)
    const done = watched.copied.get(this.replay)
    this.#left = watched.meant.map(({ offset }) => offset).filter((offset) => !done?.has(offset))
  }

  /** Null when no bundle under the root keys stands on the log: it is none of theirs. */
  get logId(): string | null {
    return this.#watched.reading.logId
  }

  /** Believed signals of the range that pass the filter, each id once, oldest first. */
  get meant(): readonly MeantSignal[] {
    return this.#watched.meant
  }

  /** How many of them this replay has not put on the log yet. */
  get left(): number {
    return this.#left.length
  }

  /** @returns what was skipped, by code. @throws what `emit` throws; what was done by then is on the log. */
  async run({ emit, perSecond, clock, onEmitted, signal }: EmitOptions): Promise<ReadonlyMap<string, number>> {
    const skipped = new Map<string, number>()
    const most = Math.max(1, Math.min(MOST_AT_ONCE, Math.ceil(perSecond / 4)))
    let done = 0
    for (const batch of batchesOf(this.#left, most)) {
      if (signal?.aborted) break
      const began = clock.monotonic()
      const emitted = await emit(batch)
      for (const { code } of emitted.skipped) skipped.set(code, (skipped.get(code) ?? 0) + 1)
      done += batch.length
      onEmitted?.(done)
      const rest = (batch.length / perSecond) * 1000 - (clock.monotonic() - began)
      if (rest > 0 && done < this.#left.length) await clock.sleep(rest, signal)
    }
    return skipped
  }

  /** Reads on from where the plan ended. Ask it once. */
  async effect(): Promise<Effect> {
    const { log, signalsLog } = this.#options
    const without = this.#watched.leaveOutCopies(this.replay)
    const { end } = await log.bounds(signalsLog.topic)
    await this.#watched.read(this.#end, end)
    const copies = this.#watched.copied.get(this.replay)?.size ?? 0
    return { before: this.before, after: this.#watched.noted, without: without.digest().toString('hex'), copies }
  }
}

/** A log read with an eye on copies. */
class Watched {
  readonly #options: ReEmissionOptions
  readonly #passes: (signal: Signal) => boolean
  readonly #ids = new Set<string>()
  readonly reading: SignalsReading
  readonly meant: MeantSignal[] = []
  /** Offsets copied by each replay seen on the log. */
  readonly copied = new Map<string, Set<number>>()
  #current: LogRecord | null = null
  #leftOut: { readonly replay: string; readonly view: View } | null = null

  constructor(options: ReEmissionOptions, { start }: Bounds) {
    this.#options = options
    this.#passes = filterOf(options.filter)
    this.reading = readingOf(options, start, {
      onSignal: ({ signal, facts }) => {
        const record = this.#current as LogRecord
        const copy = copyOf(record)
        if (copy === null) this.#take(record, signal)
        if (copy === null || copy.replay !== this.#leftOut?.replay) this.#leftOut?.view.apply(facts)
      },
    })
  }

  get noted(): NotedView {
    const { view, position } = this.reading.follower
    return { offset: position, count: view.count, digest: view.digest().toString('hex') }
  }

  async read(from: number, to: number, signal?: AbortSignal): Promise<void> {
    const { log, signalsLog, onRead } = this.#options
    for await (const records of log.read({ topic: signalsLog.topic, from, to })) {
      for (const record of records) this.#fold(record)
      onRead?.(this.reading.records, to)
      if (signal?.aborted) return
    }
  }

  /** @returns a view that from here on is folded like the other one, but for the copies of this replay. */
  leaveOutCopies(replay: string): View {
    const view = this.reading.follower.view.clone()
    this.#leftOut = { replay, view }
    return view
  }

  #fold(record: LogRecord): void {
    this.#current = record
    const copy = copyOf(record)
    if (copy !== null) this.copied.set(copy.replay, (this.copied.get(copy.replay) ?? new Set()).add(copy.origin))
    this.reading.fold(record)
    this.#leftOut?.view.dropOlderThan(this.reading.follower.limits.horizon)
  }

  #take(record: LogRecord, signal: Signal): void {
    if (sideOf(this.#options.range, record) !== 'within' || !this.#passes(signal)) return
    const id = Buffer.from(signal.id).toString('hex')
    if (this.#ids.has(id)) return
    this.#ids.add(id)
    this.meant.push({ offset: record.offset, timestamp: record.timestamp, signal })
  }
}

function copyOf({ headers }: LogRecord): { readonly replay: string; readonly origin: number } | null {
  const text = (name: string): string | undefined => {
    const found = headers.find((header) => header[0] === name)?.[1]
    return found && Buffer.from(found).toString()
  }
  const replay = text(REPLAY_HEADER)
  if (replay === undefined) return null
  return { replay, origin: Number(text(ORIGIN_HEADER)?.split('/')[2] ?? -1) }
}

function nameOf({ reading, meant }: Watched): string {
  const hash = createHash('sha256').update(`countersign.replay.v1\0${reading.logId}`)
  for (const { offset } of meant) hash.update(`/${offset}`)
  return `rpl_${hash.digest('base64url').slice(0, 16)}`
}

function* batchesOf(offsets: readonly number[], most: number): Generator<readonly number[]> {
  let batch: number[] = []
  for (const offset of offsets) {
    if (batch.length === most || (batch.length > 0 && offset - (batch[0] as number) > WIDEST_SPAN)) {
      yield batch
      batch = []
    }
    batch.push(offset)
  }
  if (batch.length > 0) yield batch
}
