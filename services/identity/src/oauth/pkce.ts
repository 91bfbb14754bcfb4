/** Proof key for code exchange (RFC 7636), S256 alone: with `plain`, whoever sees the request has the proof. */
import { createHash, timingSafeEqual } from 'node:crypto'

/** True for what can be an S256 challenge: 32 bytes in base64url, in the one spelling there is. */
export function isChallenge(text: string): boolean {
  return /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(text)
}

/** True when the challenge was made from this verifier. */
export function proves(verifier: string, challenge: string): boolean {
  if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier)) return false
  const made = createHash('sha256').update(verifier).digest()
  const expected = Buffer.from(challenge, 'base64url')
  return expected.length === made.length && timingSafeEqual(made, expected)
}
