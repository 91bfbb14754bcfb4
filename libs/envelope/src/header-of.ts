/** Finds the one envelope header of a record, in either of the two shapes headers come in. */
import { ENVELOPE_HEADER } from '@countersign/schemas'
import { MAX_ENVELOPE_BYTES } from './wire.ts'

/** Headers as pairs, in wire order; names may repeat. */
export type HeaderPairs = readonly (readonly [name: string, value: Uint8Array])[]
/** Headers as kafkajs gives them: a repeated name has an array. */
export type HeaderRecord = Readonly<Record<string, Uint8Array | string | (Uint8Array | string)[] | undefined>>

export type HeaderResult =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly code: 'envelope_missing' | 'envelope_repeated' | 'envelope_oversize' }

/**
 * Finds the envelope of a record. Accepts exactly one header of the exact name, of at most 16 KiB.
 *
 * @returns the value as a view of the received bytes, not yet verified.
 */
export function headerOf(headers: HeaderPairs | HeaderRecord | undefined): HeaderResult {
  const values = valuesOf(headers ?? [], ENVELOPE_HEADER)
  if (values.length !== 1) return { ok: false, code: values.length === 0 ? 'envelope_missing' : 'envelope_repeated' }
  const value = values[0] as Uint8Array | string
  if (value.length > MAX_ENVELOPE_BYTES) return { ok: false, code: 'envelope_oversize' }
  if (typeof value === 'string') return { ok: true, bytes: Buffer.from(value, 'latin1') }
  return { ok: true, bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength) }
}

/** @returns every value of a header of exactly this name; empty for none. */
export function valuesOf(headers: HeaderPairs | HeaderRecord, header: string): readonly (Uint8Array | string)[] {
  if (isPairs(headers)) return headers.filter(([name]) => name === header).map(([, value]) => value)
  const value = Object.hasOwn(headers, header) ? headers[header] : undefined
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}

function isPairs(headers: HeaderPairs | HeaderRecord): headers is HeaderPairs {
  return Array.isArray(headers)
}
