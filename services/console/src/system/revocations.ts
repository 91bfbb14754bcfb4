/** Revocations as the signals logs have them: signals of one act together, the latest first. Bounded. */

import type { SchemaIds } from '@countersign/event-log'
import type { SignalsEvidence } from '@countersign/evidence'
import { readRecord } from '@countersign/replica'
import { type SignalTarget, signalCodec } from '@countersign/schemas'

/** One signal where it stands. */
export interface RaisedSignal {
  readonly log: string
  readonly offset: number
  readonly at: number
  readonly target: SignalTarget
  readonly effect: string
}

/** One act: several signals when it took several things. */
export interface Revocation {
  /** As identity answered it; of several signals that of the first. */
  readonly id: string
  readonly at: number
  readonly cause: string
  readonly initiator: string
  readonly signals: readonly RaisedSignal[]
}

const MOST = 2_000

export class Revocations {
  readonly #schemas: SchemaIds
  readonly #byId = new Map<string, Revocation>()

  constructor(schemas: SchemaIds) {
    this.#schemas = schemas
  }

  take({ log, place, record }: SignalsEvidence): void {
    const read = readRecord(record, this.#schemas)
    if (read?.kind !== 'Signal') return
    let signal: ReturnType<typeof signalCodec.decode>
    try {
      signal = signalCodec.decode(read.body)
    } catch {
      return
    }
    const { offset, at } = place
    const raised = { log, offset, at, target: signal.target, effect: signal.effect }
    const id = idText(signal.id)
    const before = this.#byId.get(id)
    // Delivered twice is one signal, told of once.
    if (before?.signals.some(({ log: of, offset: at }) => of === log && at === offset)) return
    const { cause, initiator } = signal
    const signals = before ? [...before.signals, raised] : [raised]
    this.#byId.set(id, before ? { ...before, signals } : { id, at, cause, initiator, signals })
    for (const oldest of this.#byId.keys()) {
      if (this.#byId.size <= MOST) break
      this.#byId.delete(oldest)
    }
  }

  get(id: string): Revocation | null {
    return this.#byId.get(id) ?? null
  }

  /** @returns the latest first, at most `most`. */
  latest(most: number): readonly Revocation[] {
    return [...this.#byId.values()].sort((a, b) => b.at - a.at).slice(0, most)
  }
}

function idText(id: Uint8Array): string {
  return Buffer.from(id)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
