/**
 * Evidence: envelopes of earlier steps, packed into one value, as they travel beside the envelope that relies on them and
 * as a workflow keeps them between its steps. Owns lengths and hashes; whether an envelope holds is for `Opener` to say.
 */
import { hash } from 'node:crypto'
import { RELIES_ON_HEADER } from '@countersign/schemas'
import { MAX_RELIED } from './claims-rules.ts'
import { EnvelopeError } from './errors.ts'
import { type HeaderPairs, type HeaderRecord, valuesOf } from './header-of.ts'
import { MAX_ENVELOPE_BYTES } from './wire.ts'

const VERSION = 1
/** An envelope and everything it may rely on. */
const MOST = MAX_RELIED + 1
/** Longest evidence: nine envelopes, each behind its length. */
const MAX_EVIDENCE_BYTES = 2 + MOST * (2 + MAX_ENVELOPE_BYTES)

/**
 * Packs envelopes for a later step to rely on: that of the step itself first, then those it relies on.
 * @throws {ENVELOPE_EVIDENCE_INVALID} for none, for more than nine, or for one longer than 16 KiB.
 */
export function packEvidence(envelopes: readonly Uint8Array[]): Buffer {
  if (envelopes.length < 1 || envelopes.length > MOST || envelopes.some(({ length }) => length > MAX_ENVELOPE_BYTES)) {
    throw invalid(`evidence is 1 to ${MOST} envelopes of at most 16 KiB`)
  }
  const parts: Uint8Array[] = [Buffer.of(VERSION, envelopes.length)]
  for (const envelope of envelopes) {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(envelope.length)
    parts.push(length, envelope)
  }
  return Buffer.concat(parts)
}

/** @returns the envelopes, views of the same bytes; null for any other bytes. Reads lengths only. */
export function unpackEvidence(evidence: Uint8Array): readonly Buffer[] | null {
  const bytes = Buffer.from(evidence.buffer, evidence.byteOffset, evidence.byteLength)
  if (bytes.length < 2 || bytes.length > MAX_EVIDENCE_BYTES || bytes[0] !== VERSION) return null
  const count = bytes[1] as number
  if (count < 1 || count > MOST) return null
  const out: Buffer[] = []
  let at = 2
  for (let i = 0; i < count; i++) {
    if (bytes.length < at + 2) return null
    const end = at + 2 + bytes.readUInt16BE(at)
    if (end > bytes.length || end - at - 2 > MAX_ENVELOPE_BYTES) return null
    out.push(bytes.subarray(at + 2, end))
    at = end
  }
  return at === bytes.length ? out : null
}

/**
 * Joins the evidence of several steps, each envelope once, in the order given.
 * @throws {ENVELOPE_EVIDENCE_INVALID} when one is no evidence, or when they are more than eight envelopes together.
 */
export function joinEvidence(all: readonly Uint8Array[]): readonly Buffer[] {
  const joined = new Map<string, Buffer>()
  for (const evidence of all) {
    const envelopes = unpackEvidence(evidence)
    if (envelopes === null) throw invalid('this is no evidence: take what a send or a handler gave')
    for (const envelope of envelopes) joined.set(envelopeHash(envelope).toString('latin1'), envelope)
  }
  if (joined.size > MAX_RELIED) throw invalid(`an envelope relies on ${MAX_RELIED} others at most`)
  return [...joined.values()]
}

/** @returns SHA-256 of a whole envelope: what `relies_on` and successions name. */
export function envelopeHash(envelope: Uint8Array): Buffer {
  return hash('sha256', envelope, 'buffer')
}

/** @returns the envelopes that came with a record, unproven; null when not exactly one well-formed header did. */
export function evidenceOf(headers: HeaderPairs | HeaderRecord | undefined): readonly Buffer[] | null {
  const [value, second] = valuesOf(headers ?? [], RELIES_ON_HEADER)
  if (value === undefined || second !== undefined) return null
  return unpackEvidence(typeof value === 'string' ? Buffer.from(value, 'latin1') : value)
}

function invalid(publicMessage: string): EnvelopeError {
  return new EnvelopeError({ code: 'ENVELOPE_EVIDENCE_INVALID', publicMessage })
}
