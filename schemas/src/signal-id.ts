/** What the signals of one revocation are called. */
import { createHash } from 'node:crypto'

/** Id of the signal at `index` of a revocation: the revocation's own for the first, derived for the others. */
export function signalId(revocation: Uint8Array, index: number): Buffer {
  if (index === 0) return Buffer.from(revocation)
  const hash = createHash('sha256').update('countersign.signal-id.v1\0').update(revocation)
  return hash
    .update(Buffer.of(index >>> 8, index & 0xff))
    .digest()
    .subarray(0, 16)
}
