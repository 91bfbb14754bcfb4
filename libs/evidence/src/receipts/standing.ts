/** Genuine signals, and where each stood on its log first: verified under the bundle that was in force there. */
import { type KeyRing, verifyBundle, verifyRecord } from '@countersign/envelope'
import type { SchemaIds } from '@countersign/event-log'
import { readRecord, type SignalsRecord } from '@countersign/replica'
import { type Signal, signalCodec } from '@countersign/schemas'
import type { SignalsEvidence } from '../source/index.ts'

/** A signal as it first stood on a log. */
export interface StandingSignal {
  /** 32 hexadecimal digits. */
  readonly id: string
  /** Name of the log. */
  readonly log: string
  readonly logId: string
  readonly offset: number
  /** Append time, epoch milliseconds. */
  readonly at: number
  readonly signal: Signal
}

export interface StandingOptions {
  readonly schemas: Pick<SchemaIds, 'schemaOf'>
  /** Raw Ed25519 public keys, 32 bytes each. */
  readonly rootKeys: readonly Uint8Array[]
  readonly epsilonMs: number
  /** Signals kept, the newest; at least 1. */
  readonly keep: number
  /** Whether a signal is of interest, by its id: the others are not verified and not kept. @defaultValue all are */
  readonly wanted?: (id: string) => boolean
}

export class StandingSignals {
  readonly #options: StandingOptions
  /** Bundles by log; those before stay, for what was vouched for under them. */
  readonly #rings = new Map<string, KeyRing[]>()
  readonly #byId = new Map<string, StandingSignal[]>()

  constructor(options: StandingOptions) {
    this.#options = options
  }

  /** Every bundle that was in force, of all logs. */
  get rings(): readonly KeyRing[] {
    return [...this.#rings.values()].flat()
  }

  /** Oldest first, by id. */
  get all(): readonly StandingSignal[] {
    return [...this.#byId.values()].flat()
  }

  /** Where the signal of that id stands, on each log that has it; empty for none. */
  of(id: string): readonly StandingSignal[] {
    return this.#byId.get(id) ?? []
  }

  /** Of one log in order. @returns the signal, when it is a new one. */
  take({ record, log }: SignalsEvidence): StandingSignal | null {
    const read = readRecord(record, this.#options.schemas)
    if (read?.kind === 'TrustBundle') this.#adopt(read, log, record.timestamp)
    return read?.kind === 'Signal' ? this.#signal(read, log, record) : null
  }

  #adopt({ body, signature }: SignalsRecord, log: string, now: number): void {
    const { rootKeys, epsilonMs } = this.#options
    const rings = this.#rings.get(log) ?? []
    this.#rings.set(log, rings)
    const current = rings.at(-1) ?? null
    const result = verifyBundle(Buffer.from(body), signature, rootKeys, { now, epsilonMs, current })
    if (result.ok && result.ring !== current) rings.push(result.ring)
  }

  #signal({ body, signature }: SignalsRecord, log: string, place: Place): StandingSignal | null {
    const { wanted, keep } = this.#options
    const ring = this.#rings.get(log)?.at(-1)
    const signal = decoded(body)
    if (ring === undefined || signal === null) return null
    const id = Buffer.from(signal.id).toString('hex')
    const before = this.#byId.get(id) ?? []
    const { log_id: logId } = ring.bundle
    // What is delivered again was there before.
    if (before.some((one) => one.logId === logId) || wanted?.(id) === false) return null
    const { offset, timestamp: at } = place
    if (!verifyRecord('Signal', body, signature, ring, 'signal', at).ok) return null
    const found = { id, log, logId, offset, at, signal }
    this.#byId.set(id, [...before, found])
    if (this.#byId.size > keep) this.#byId.delete(this.#byId.keys().next().value as string)
    return found
  }
}

interface Place {
  readonly offset: number
  readonly timestamp: number
}

function decoded(body: Buffer): Signal | null {
  try {
    return signalCodec.decode(body)
  } catch {
    return null
  }
}
