/** Secrets that one program shows another as `Authorization: Bearer …`. */
import { timingSafeEqual } from 'node:crypto'
import type { Secret } from '@countersign/kernel'

/** @param header value of `authorization`, if there is one. @returns whether it shows the secret; how near it comes takes no telling time. */
export function showsSecret(header: string | undefined, secret: Secret): boolean {
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${secret.reveal()}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
