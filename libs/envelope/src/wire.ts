/**
 * The bytes of an envelope, as `schemas/ENVELOPE.md` writes them down: a fixed part, the claims, the key
 * id, the Merkle path and the signature of the root. Owns lengths and offsets, nothing else. Invariant:
 * an envelope has one spelling, so every length is implied and anything left over is refused.
 */
import { envelopeClaimsCodec, envelopeClaimsV1Codec } from '@countersign/schemas'
import type { ClaimsVersion, WrittenClaims } from './claims-writer.ts'
import { MAX_KEY_ID_BYTES, SIGNATURE_BYTES } from './keys.ts'
import { HASH_BYTES, MAX_TREE_SIZE, pathLength } from './merkle.ts'

/** Longest envelope accepted, parents included. */
export const MAX_ENVELOPE_BYTES = 16_384

/** `CSE` and the version of the format; also what separates leaves from nodes when hashed. */
const MAGIC = Buffer.from('CSE')
const FORMAT_VERSION = 1
/** magic 3, version 1, fingerprint 8, tree size 4, leaf index 4, claims length 2, path length 1, key id length 1 */
export const FIXED_BYTES = 24
const FINGERPRINTS: Readonly<Record<ClaimsVersion, Buffer>> = {
  1: Buffer.from(envelopeClaimsV1Codec.fingerprint),
  2: Buffer.from(envelopeClaimsCodec.fingerprint),
}

/** Where the parts of one envelope are. Offsets count from the start of `bytes`. */
export interface Wire {
  readonly bytes: Buffer
  readonly treeSize: number
  readonly leafIndex: number
  /** End of the claims, which begin at `FIXED_BYTES`; the leaf is everything before it. */
  readonly claimsEnd: number
  readonly keyEnd: number
  /** End of the path and begin of the signature, which reaches to the end. */
  readonly pathEnd: number
}

export type WireFault = 'envelope_oversize' | 'envelope_truncated' | 'envelope_malformed' | 'envelope_version_unknown'

/** Finds the parts. Reads lengths only: nothing is hashed, decoded or allocated in proportion to them. */
export function parseWire(bytes: Buffer): Wire | WireFault {
  if (bytes.length > MAX_ENVELOPE_BYTES) return 'envelope_oversize'
  if (bytes.length < FIXED_BYTES) return 'envelope_truncated'
  if (bytes[0] !== MAGIC[0] || bytes[1] !== MAGIC[1] || bytes[2] !== MAGIC[2]) return 'envelope_malformed'
  if (bytes[3] !== FORMAT_VERSION) return 'envelope_version_unknown'
  const treeSize = bytes.readUInt32BE(12)
  const leafIndex = bytes.readUInt32BE(16)
  const keyLength = bytes[23] as number
  if (treeSize < 1 || treeSize > MAX_TREE_SIZE || leafIndex >= treeSize) return 'envelope_malformed'
  if (bytes[22] !== pathLength(leafIndex, treeSize)) return 'envelope_malformed'
  if (keyLength < 1 || keyLength > MAX_KEY_ID_BYTES) return 'envelope_malformed'
  const claimsEnd = FIXED_BYTES + bytes.readUInt16BE(20)
  const keyEnd = claimsEnd + keyLength
  const pathEnd = keyEnd + HASH_BYTES * bytes[22]
  const end = pathEnd + SIGNATURE_BYTES
  if (bytes.length < end) return 'envelope_truncated'
  if (bytes.length > end) return 'envelope_malformed'
  return { bytes, treeSize, leafIndex, claimsEnd, keyEnd, pathEnd }
}

/** @returns with which version of the schema the claims were written; null for one this package does not read. */
export function claimsVersion(bytes: Buffer): ClaimsVersion | null {
  return isWrittenWith(FINGERPRINTS[1], bytes) ? 1 : isWrittenWith(FINGERPRINTS[2], bytes) ? 2 : null
}

function isWrittenWith(fingerprint: Buffer, bytes: Buffer): boolean {
  for (let i = 0; i < fingerprint.length; i++) if (bytes[4 + i] !== fingerprint[i]) return false
  return true
}

/** Bytes of an envelope with these parts. */
export function envelopeLength(claimsLength: number, keyLength: number, path: number): number {
  return FIXED_BYTES + claimsLength + keyLength + HASH_BYTES * path + SIGNATURE_BYTES
}

/** Allocates an envelope and writes the leaf and the key id; path and signature follow once the tree is built. */
export function writeLeaf(
  { version, bytes: claims }: WrittenClaims,
  keyId: Uint8Array,
  leafIndex: number,
  treeSize: number,
): Buffer {
  const path = pathLength(leafIndex, treeSize)
  const bytes = Buffer.allocUnsafe(envelopeLength(claims.length, keyId.length, path))
  bytes.set(MAGIC, 0)
  bytes[3] = FORMAT_VERSION
  bytes.set(FINGERPRINTS[version], 4)
  bytes.writeUInt32BE(treeSize, 12)
  bytes.writeUInt32BE(leafIndex, 16)
  bytes.writeUInt16BE(claims.length, 20)
  bytes[22] = path
  bytes[23] = keyId.length
  bytes.set(claims, FIXED_BYTES)
  bytes.set(keyId, FIXED_BYTES + claims.length)
  return bytes
}
