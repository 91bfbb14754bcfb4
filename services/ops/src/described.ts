/** Records of the signals log in words and as plain data. Believes nothing: who signed is shown, and whether it holds. */

import { type KeyRing, verifyBundle, verifyRecord } from '@countersign/envelope'
import type { LogRecord, SchemaIds } from '@countersign/event-log'
import { rfc3339 } from '@countersign/kernel'
import { readRecord, type SignalsRecord } from '@countersign/replica'
import { checkpointCodec, epochClaimCodec, signalCodec, trustBundleCodec } from '@countersign/schemas'

/** A record as `tail` shows it. */
export interface Described {
  readonly offset: number
  readonly timestamp: string
  readonly kind: SignalsRecord['kind'] | 'unreadable'
  /** `valid`, `unchecked` without a root key, or the code of what is wrong. */
  readonly signature: string
  readonly summary: string
  /** The decoded record; bytes in hex. */
  readonly record: unknown
}

/** Decodes and checks one after another, bundles taking force as they pass. */
export class Describer {
  readonly #schemas: SchemaIds
  readonly #rootKeys: readonly Uint8Array[]
  #ring: KeyRing | null = null

  constructor(schemas: SchemaIds, rootKeys: readonly Uint8Array[]) {
    this.#schemas = schemas
    this.#rootKeys = rootKeys
  }

  describe(record: LogRecord): Described {
    const base = { offset: record.offset, timestamp: rfc3339(record.timestamp) }
    const read = readRecord(record, this.#schemas)
    if (read === null) return { ...base, kind: 'unreadable', signature: 'unreadable', summary: '', record: null }
    const signature = this.#check(read, record.timestamp)
    try {
      const { summary, decoded } = decode(read)
      return { ...base, kind: read.kind, signature, summary, record: hexed(decoded) }
    } catch {
      return { ...base, kind: 'unreadable', signature, summary: `not a ${read.kind}`, record: null }
    }
  }

  #check({ kind, body, signature }: SignalsRecord, at: number): string {
    if (this.#rootKeys.length === 0) return 'unchecked'
    if (kind === 'TrustBundle') {
      const result = verifyBundle(body, signature, this.#rootKeys, { now: at, current: this.#ring })
      if (result.ok) this.#ring = result.ring
      return result.ok ? 'valid' : result.code
    }
    if (this.#ring === null) return 'no_bundle_yet'
    const result = verifyRecord(kind, body, signature, this.#ring, kind === 'Signal' ? 'signal' : 'checkpoint', at)
    return result.ok ? 'valid' : result.code
  }
}

function decode({ kind, body }: SignalsRecord): { summary: string; decoded: unknown } {
  switch (kind) {
    case 'Signal': {
      const decoded = signalCodec.decode(body)
      const { target, effect, floor, cause, initiator, seq } = decoded
      const name = [target.kind, target.tenant, target.id].filter((part) => part !== '').join(':')
      const summary = `${name} loses ${effect} below ${rfc3339(floor)} (${cause} by ${initiator}, seq ${seq})`
      return { summary, decoded }
    }
    case 'Checkpoint': {
      const decoded = checkpointCodec.decode(body)
      const { epoch, sequence, covers, count, as_of, notary } = decoded
      const asOf = as_of === 0 ? 'nothing yet' : rfc3339(as_of)
      return {
        summary: `epoch ${epoch} #${sequence} covers ${covers}: ${count} floors as of ${asOf} (${notary})`,
        decoded,
      }
    }
    case 'EpochClaim': {
      const decoded = epochClaimCodec.decode(body)
      return { summary: `${decoded.notary} claims epoch ${decoded.epoch}`, decoded }
    }
    case 'TrustBundle': {
      const decoded = trustBundleCodec.decode(body)
      const until = rfc3339(decoded.expires_at)
      return { summary: `version ${decoded.version} with ${decoded.keys.length} keys until ${until}`, decoded }
    }
  }
}

/** The same value with bytes as hex. */
export function hexed(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(hexed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, hexed(part)]))
}
