/** Looks into an envelope without proving anything: for indexes, and for people who ask what it says. */
import type { EnvelopeClaims } from '@countersign/schemas'
import { readClaims } from './claims-reader.ts'
import { claimsVersion, FIXED_BYTES, parseWire } from './wire.ts'

/**
 * What an envelope says, whoever wrote it. Never a reason to let anything act: that is for `Opener` to say.
 * @param header value of the envelope header; fields of the result are views of it.
 * @returns its claims and the id of the key it names; null for anything that is not the bytes of an envelope.
 */
export function peekEnvelope(header: Uint8Array): { readonly claims: EnvelopeClaims; readonly keyId: string } | null {
  const wire = parseWire(Buffer.from(header.buffer, header.byteOffset, header.byteLength))
  if (typeof wire === 'string') return null
  const { bytes, claimsEnd, keyEnd } = wire
  const version = claimsVersion(bytes)
  if (version === null) return null
  try {
    return {
      claims: readClaims(bytes, FIXED_BYTES, claimsEnd, version),
      keyId: bytes.toString('utf8', claimsEnd, keyEnd),
    }
  } catch {
    return null
  }
}
