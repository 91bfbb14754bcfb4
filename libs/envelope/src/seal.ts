/** Sealing: claims become signed envelopes, many under one signature. */
import { claimsFault, MAX_DEPTH } from './claims-rules.ts'
import { completed, type NewClaims, type WrittenClaims, writeClaims } from './claims-writer.ts'
import { EnvelopeError } from './errors.ts'
import { SIGNATURE_BYTES, type SigningKey } from './keys.ts'
import { buildTree, leafHash, MAX_TREE_SIZE, pathLength, rootMessage, writePath } from './merkle.ts'
import { envelopeLength, FIXED_BYTES, MAX_ENVELOPE_BYTES, writeLeaf } from './wire.ts'

// What UTF-8 encoding puts in place of a lone surrogate.
const REPLACEMENT = Buffer.from('\ufffd')

/**
 * Seals a batch: one Merkle tree, its root signed once. Nothing is sealed unless everything is.
 *
 * @param inputs at most 65,536; seal together what goes to one destination at one moment.
 * @returns one `countersign-envelope` header value per input, in order; empty for no inputs.
 * @throws {ENVELOPE_CLAIMS_INVALID} when claims do not fit the schema or break its rules.
 * @throws {ENVELOPE_SEAL_OVERSIZE} when an envelope would exceed 16 KiB, or the batch 65,536.
 * Cost: one signature (25 µs) and about 8 µs per envelope.
 */
export function seal(inputs: readonly NewClaims[], key: SigningKey): Buffer[] {
  return sealWritten(inputs.map(encodeClaims), key)
}

/** Seals claims that are written already, whatever they say; `seal` is the door that looks at them first. */
export function sealWritten(bodies: readonly WrittenClaims[], key: SigningKey): Buffer[] {
  const size = bodies.length
  if (size === 0) return []
  if (size > MAX_TREE_SIZE) throw oversize(`a batch has at most ${MAX_TREE_SIZE} envelopes`)
  const keyId = Buffer.from(key.keyId)
  const envelopes = bodies.map((body, index) => {
    const length = envelopeLength(body.bytes.length, keyId.length, pathLength(index, size))
    if (length > MAX_ENVELOPE_BYTES) throw oversize(`an envelope has at most ${MAX_ENVELOPE_BYTES} bytes`)
    return writeLeaf(body, keyId, index, size)
  })
  const leafEnd = (index: number): number => FIXED_BYTES + (bodies[index] as WrittenClaims).bytes.length
  const levels = buildTree(envelopes.map((bytes, index) => leafHash(bytes.subarray(0, leafEnd(index)))))
  const signature = key.sign(rootMessage(keyId, size, levels.at(-1)?.[0] as string))
  for (const [index, bytes] of envelopes.entries()) {
    writePath(levels, index, bytes, leafEnd(index) + keyId.length)
    bytes.set(signature, bytes.length - SIGNATURE_BYTES)
  }
  return envelopes
}

function encodeClaims(given: NewClaims): WrittenClaims {
  const claims = completed(given)
  let body: WrittenClaims
  try {
    body = writeClaims(claims)
  } catch {
    // The cause is dropped: it may quote values.
    throw invalid('the claims do not fit the schema')
  }
  const fault = claims.depth > MAX_DEPTH ? `depth is at most ${MAX_DEPTH}` : claimsFault(claims)
  if (fault !== null) throw invalid(fault)
  // A lone surrogate would be signed as another character than was meant.
  if (body.bytes.includes(REPLACEMENT) && !wellFormed(claims)) throw invalid('text is well-formed Unicode')
  return body
}

function wellFormed(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return true
  return Object.values(value).every(wellFormed)
}

function invalid(publicMessage: string): EnvelopeError {
  return new EnvelopeError({ code: 'ENVELOPE_CLAIMS_INVALID', publicMessage })
}

function oversize(publicMessage: string): EnvelopeError {
  return new EnvelopeError({ code: 'ENVELOPE_SEAL_OVERSIZE', publicMessage })
}
