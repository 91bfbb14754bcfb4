/** Keys derived from the one secret the store does not have (RFC 5869): one for each purpose. */
import { createHash, hkdfSync } from 'node:crypto'

const KEY_BYTES = 32

/** @param purpose names what the key is for; another purpose gives another key. @returns 32 bytes. */
export function derivedKey(secret: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), purpose, KEY_BYTES))
}

/** A name for a key that tells nothing of it. */
export function keyIdOf(key: Buffer): string {
  return createHash('sha256').update('countersign.key-id.v1\0').update(key).digest('base64url').slice(0, 11)
}
