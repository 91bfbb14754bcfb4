/**
 * Puts signals that stand on a log on it once more, byte for byte. Invariant: a copy changes no view. Only what identity's
 * own proven view holds, or holds more than, is copied: what was no signal where it stands does not become one.
 */
import { verifyRecord } from '@countersign/envelope'
import type { EventLog, LogRecord, NewRecord } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { readRecord, type SignalsView, writeRecord } from '@countersign/replica'
import { type FloorEntry, type SignalFacts, signalFacts } from '@countersign/revocation'
import {
  ORIGIN_HEADER,
  ORIGINAL_TIMESTAMP_HEADER,
  REPLAY_HEADER,
  type SignalsLog,
  signalCodec,
} from '@countersign/schemas'

/** Why a record was not put on the log again. */
export type ReplaySkip = 'not_a_signal' | 'copy' | 'key_not_in_force' | 'below_horizon' | 'not_in_view' | 'gone'

export interface Replayed {
  /** Offsets of originals and of their copies. */
  readonly appended: readonly { readonly origin: number; readonly offset: number }[]
  readonly skipped: readonly { readonly origin: number; readonly code: ReplaySkip }[]
}

export interface ReplayRequest {
  /** Name of the replay, in a header of every copy. */
  readonly replay: string
  /** Id of the log, as whoever asks has read it. */
  readonly logId: string
  /** Of the originals, rising; most {@link MOST_OFFSETS}, most {@link WIDEST_SPAN} apart. */
  readonly offsets: readonly number[]
}

export const MOST_OFFSETS = 500
export const WIDEST_SPAN = 10_000

type LogView = Pick<SignalsView, 'floors' | 'freshness' | 'position' | 'ring' | 'view'>

export interface ReplaysOptions {
  readonly log: EventLog
  readonly clock: Clock
  /** Each signals log with identity's own view of it. */
  readonly logs: readonly { readonly topic: SignalsLog['topic']; readonly view: LogView }[]
}

export class Replays {
  readonly #options: ReplaysOptions

  constructor(options: ReplaysOptions) {
    this.#options = options
  }

  /**
   * Copies of the same records are harmless however often they are asked for.
   * @returns `log_unknown` for the id of another log: of another cluster, or one that was replaced.
   * @throws {EVENT_LOG_UNAVAILABLE} some may have been appended: look, and ask for the rest.
   */
  async replay({ replay, logId, offsets }: ReplayRequest): Promise<Replayed | 'log_unknown' | 'view_starting'> {
    const { log, logs } = this.#options
    const known = logs.find(({ view }) => view.position().log_id === logId)
    if (known === undefined) return 'log_unknown'
    const { topic, view } = known
    if (!view.freshness().proven) return 'view_starting'
    const originals = await this.#read(topic, offsets)
    const skipped: { origin: number; code: ReplaySkip }[] = []
    const copies: { origin: number; record: NewRecord }[] = []
    for (const origin of offsets) {
      const copy = this.#copy(originals.get(origin), replay, view)
      if (typeof copy === 'string') skipped.push({ origin, code: copy })
      else copies.push({ origin, record: copy })
    }
    if (copies.length === 0) return { appended: [], skipped }
    const places = await log.append(
      topic,
      copies.map(({ record }) => record),
    )
    return { appended: copies.map(({ origin }, i) => ({ origin, offset: places[i]?.offset ?? -1 })), skipped }
  }

  async #read(topic: string, offsets: readonly number[]): Promise<ReadonlyMap<number, LogRecord>> {
    const { log } = this.#options
    const wanted = new Set(offsets)
    const found = new Map<number, LogRecord>()
    const { start, end } = await log.bounds(topic)
    const from = Math.max(start, Math.min(...offsets))
    const to = Math.min(end, Math.max(...offsets) + 1)
    if (from >= to) return found
    for await (const records of log.read({ topic, from, to })) {
      for (const record of records) if (wanted.has(record.offset)) found.set(record.offset, record)
    }
    return found
  }

  #copy(original: LogRecord | undefined, replay: string, view: LogView): NewRecord | ReplaySkip {
    const { log, clock } = this.#options
    if (original === undefined) return 'gone'
    const read = readRecord(original, log.schemas)
    if (read?.kind !== 'Signal') return 'not_a_signal'
    if (original.headers.some(([name]) => name === REPLAY_HEADER)) return 'copy'
    const ring = view.ring()
    const { body, signature } = read
    if (ring === null || !verifyRecord('Signal', body, signature, ring, 'signal', clock.now()).ok) {
      return 'key_not_in_force'
    }
    const facts = factsOf(body)
    if (facts === null) return 'not_a_signal'
    if (facts.floor < view.view.horizon) return 'below_horizon'
    if (!holds(view.floors(facts.key), facts)) return 'not_in_view'
    const record = writeRecord('Signal', body, signature, log.schemas)
    const { topic, partition, offset, timestamp } = original
    const text = (name: string, value: string): [string, Uint8Array] => [name, Buffer.from(value)]
    const headers = [
      ...record.headers,
      text(REPLAY_HEADER, replay),
      text(ORIGIN_HEADER, `${topic}/${partition}/${offset}`),
      text(ORIGINAL_TIMESTAMP_HEADER, String(timestamp)),
    ]
    return { ...record, headers }
  }
}

/** Whether folding it once more changes nothing: it is one of the two highest floors, or below both. */
function holds(floors: readonly FloorEntry[], { effect, floor }: SignalFacts): boolean {
  const entry = floors.find((one) => one.effect === effect)
  if (entry === undefined) return false
  return floor === entry.higher || floor === entry.lower || (entry.lower !== 0 && floor < entry.lower)
}

function factsOf(body: Uint8Array): SignalFacts | null {
  try {
    return signalFacts(signalCodec.decode(body))
  } catch {
    return null
  }
}
