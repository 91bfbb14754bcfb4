/** Envelopes as people hold them: the bytes of a header, in a file or as text. */
import { type KeyRing, Opener, peekEnvelope } from '@countersign/envelope'
import type { LogRecord } from '@countersign/event-log'
import type { EnvelopeClaims } from '@countersign/schemas'

export interface ReadEnvelope {
  readonly keyId: string
  readonly claims: EnvelopeClaims
}

const BASE64 = /^[A-Za-z0-9+/_-]+=*$/
const HEX = /^([0-9a-f]{2})+$/i

/** @param given bytes as they stand in a header, or them in hex, base64 or base64url. @returns null for no envelope. */
export function envelopeIn(given: Uint8Array | string): ReadEnvelope | null {
  if (typeof given !== 'string') return peekEnvelope(given) ?? envelopeIn(Buffer.from(given).toString('latin1').trim())
  if (HEX.test(given)) {
    const read = peekEnvelope(Buffer.from(given, 'hex'))
    if (read !== null) return read
  }
  return BASE64.test(given) ? peekEnvelope(Buffer.from(given, 'base64url')) : null
}

export interface EnvelopeAsk {
  readonly record: LogRecord
  readonly header: Uint8Array
  readonly logical: string
  readonly audience: string
  /** Of the last bundle of each signals log. */
  readonly rings: readonly KeyRing[]
  readonly epsilonMs: number
}

/** @returns `valid` for its event as of when the log took it, `unchecked` without keys, or the fault. */
export function proveEnvelope({ record, header, logical, audience, rings, epsilonMs }: EnvelopeAsk): string {
  const { key, value, headers, timestamp: now } = record
  let fault = 'unchecked'
  for (const ring of rings) {
    const opened = new Opener().open(header, { ring, now, epsilonMs, topic: logical, audience, key, value, headers })
    if (opened.ok) return 'valid'
    // A key that one log does not know another may: its verdict says more.
    if (fault === 'unchecked' || fault === 'envelope_key_unknown') fault = opened.code
  }
  return fault
}
