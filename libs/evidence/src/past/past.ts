/**
 * The signals log as a consumer had read it at any position before its end. Signals of a target are verified when
 * they are first asked for, under the bundle in force where they stand: of a long log only what matters is.
 */
import type { ConsumerView } from '@countersign/enforcer'
import { type KeyRing, verifyBundle, verifyRecord } from '@countersign/envelope'
import type { EventLog, LogRecord } from '@countersign/event-log'
import type { Freshness } from '@countersign/replica'
import { readRecord } from '@countersign/replica'
import { type FloorEntry, NO_FLOORS, type SignalFacts, signalFacts, View } from '@countersign/revocation'
import { checkpointCodec, type LogPosition, signalCodec } from '@countersign/schemas'

interface PastSignal {
  readonly offset: number
  readonly facts: SignalFacts
  /** Null once it was asked for. */
  unverified: { readonly body: Buffer; readonly signature: Uint8Array; readonly at: number } | null
  valid: boolean
}

/** Where a bundle came into force. */
interface PastBundle {
  readonly offset: number
  readonly ring: KeyRing
}

interface StoreSeen {
  readonly offset: number
  /** Since when the notary could not ask the store, epoch milliseconds; null when it could. */
  readonly unseenSince: number | null
}

/** A moment of a consumer, as its decision record tells it. */
export interface Moment {
  /** Of the signals log its view followed. */
  readonly logId: string
  /** Last offset its view had folded. */
  readonly viewOffset: number
  /** Epoch milliseconds. */
  readonly asOf: number
  readonly at: number
  /** Why the view admitted nothing, where it did not. */
  readonly closed: string | null
}

export class Past {
  readonly #rootKeys: readonly Uint8Array[]
  readonly #epsilonMs: number
  readonly #signals = new Map<string, PastSignal[]>()
  readonly #floors = new Map<string, readonly FloorEntry[]>()
  readonly #bundles: PastBundle[] = []
  readonly #stores: StoreSeen[] = []
  readonly #predecessors = new Map<string, number>()

  private constructor(rootKeys: readonly Uint8Array[], epsilonMs: number) {
    this.#rootKeys = rootKeys
    this.#epsilonMs = epsilonMs
  }

  /** Of a log that holds nothing. */
  static readonly NONE: Past = new Past([], 0)

  /** Reads all that a signals log holds now. @throws {EVENT_LOG_UNAVAILABLE} */
  static async read(log: EventLog, topic: string, rootKeys: readonly Uint8Array[], epsilonMs: number): Promise<Past> {
    const past = new Past(rootKeys, epsilonMs)
    const { start, end } = await log.bounds(topic)
    for await (const chunk of log.read({ topic, from: start, to: end })) {
      for (const record of chunk) past.#take(record, log)
    }
    return past
  }

  /** Keys of the last bundle; null without one. */
  get ring(): KeyRing | null {
    return this.#bundles.at(-1)?.ring ?? null
  }

  /** The view as it was; it never changes. */
  at(moment: Moment): ConsumerView {
    const { viewOffset, asOf } = moment
    const freshness = this.#freshness(moment)
    const ring = last(this.#bundles, viewOffset)?.ring ?? null
    const logId = ring?.bundle.log_id ?? ''
    return {
      floors: (key) => this.#floorsAt(key, viewOffset),
      freshness: () => freshness,
      position: () => ({ log_id: logId, offset: viewOffset }),
      ring: () => ring,
      reached: (position, iat) =>
        this.#reached(position, logId, viewOffset, iat !== undefined && asOf > iat + this.#epsilonMs),
      view: { digest: () => Buffer.alloc(32) },
      onSignal: () => () => {},
      onCheckpoint: () => () => {},
      waitUntil: async (predicate) => predicate(),
    }
  }

  #take(record: LogRecord, log: EventLog): void {
    const read = readRecord(record, log.schemas)
    if (read === null) return
    const { offset, timestamp: at } = record
    // What is kept must not keep the chunk it was read in.
    const body = Buffer.from(read.body)
    const signature = Buffer.from(read.signature)
    try {
      if (read.kind === 'Signal') this.#signal(offset, body, signature, at)
      else if (read.kind === 'TrustBundle') this.#bundle(offset, body, signature, at)
      else if (read.kind === 'Checkpoint') {
        const { store_unseen_since: unseenSince } = checkpointCodec.decode(body)
        if (last(this.#stores, offset)?.unseenSince !== unseenSince) this.#stores.push({ offset, unseenSince })
      }
    } catch {
      // What cannot be decoded is not a signal anywhere.
    }
  }

  #signal(offset: number, body: Buffer, signature: Buffer, at: number): void {
    const facts = signalFacts(signalCodec.decode(body))
    if (facts === null || facts.floor > at + this.#epsilonMs) return
    const key = hex(facts.key)
    const known = this.#signals.get(key)
    const one = { offset, facts, unverified: { body, signature, at }, valid: false }
    if (known) known.push(one)
    else this.#signals.set(key, [one])
  }

  #bundle(offset: number, body: Buffer, signature: Buffer, now: number): void {
    const current = this.#bundles.at(-1)?.ring ?? null
    const result = verifyBundle(body, signature, this.#rootKeys, { now, epsilonMs: this.#epsilonMs, current })
    if (!result.ok || result.ring === current) return
    const { predecessor } = result.bundle
    if (predecessor !== null) this.#predecessors.set(predecessor.log_id, predecessor.offset)
    this.#bundles.push({ offset, ring: result.ring })
  }

  #floorsAt(key: Uint8Array, offset: number): readonly FloorEntry[] {
    const name = hex(key)
    const signals = this.#signals.get(name)
    if (signals === undefined) return NO_FLOORS
    const found = signals.filter((signal) => signal.offset <= offset && this.#holds(signal))
    if (found.length === 0) return NO_FLOORS
    const place = `${name} ${found.at(-1)?.offset}`
    let floors = this.#floors.get(place)
    if (floors === undefined) {
      const view = new View()
      for (const { facts } of found) view.apply(facts)
      floors = view.floors(key)
      this.#floors.set(place, floors)
    }
    return floors
  }

  #holds(signal: PastSignal): boolean {
    const { unverified, offset } = signal
    if (unverified === null) return signal.valid
    const ring = last(this.#bundles, offset)?.ring
    const { body, signature, at } = unverified
    signal.valid = ring !== undefined && verifyRecord('Signal', body, signature, ring, 'signal', at).ok
    signal.unverified = null
    return signal.valid
  }

  #reached({ log_id, offset }: LogPosition, logId: string, position: number, overdue: boolean) {
    if (offset < 0) return 'reached'
    const end = log_id === logId ? position : this.#predecessors.get(log_id)
    if (end !== undefined && offset <= end) return 'reached'
    return overdue ? 'beyond' : 'behind'
  }

  #freshness({ viewOffset, asOf, at, closed }: Moment): Freshness {
    if (closed !== null || asOf === 0) {
      const reason = (closed ?? 'unproven') as NonNullable<Freshness['closed']>
      return { proven: false, closed: reason, asOf, ageMs: Infinity, storeUnseenForMs: Infinity }
    }
    const unseenSince = last(this.#stores, viewOffset)?.unseenSince ?? null
    const storeUnseenForMs = unseenSince === null ? 0 : at - unseenSince + this.#epsilonMs
    return { proven: true, closed: null, asOf, ageMs: at - asOf + this.#epsilonMs, storeUnseenForMs }
  }
}

/** The last of these that stands at `offset` or before it. */
function last<T extends { readonly offset: number }>(list: readonly T[], offset: number): T | undefined {
  let from = 0
  let to = list.length
  while (from < to) {
    const middle = (from + to) >> 1
    if ((list[middle] as T).offset <= offset) from = middle + 1
    else to = middle
  }
  return list[from - 1]
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
