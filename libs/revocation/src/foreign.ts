/**
 * What somebody else's issuer names, as targets of ours. Boundaries seal and identity raises under the same names, so
 * a name is made here and nowhere else: another derivation would be a revocation that hits nobody.
 */
import { createHmac } from 'node:crypto'
import type { Secret } from '@countersign/kernel'
import { revocationError } from './errors.ts'
import { type Target, target } from './targets.ts'

/** Who or what is meant, in the issuer's own words. */
export type ForeignName =
  /** A person; with `tenant`, only what they are there. */
  | { readonly issuer: string; readonly sub: string; readonly tenant?: string }
  | { readonly issuer: string; readonly sid: string }
  | { readonly issuer: string; readonly client: string }
  | { readonly issuer: string; readonly jti: string }

/** Longest id or issuer that is taken, UTF-16 code units. */
export const MAX_FOREIGN_CHARS = 1024

const PREFIX = Buffer.from('countersign.foreign.v1\0', 'utf8')

/**
 * The id under which what an issuer names travels: `x_` and 22 characters. Apart by issuer, kind and key: the same text
 * gives another id for each, and none can be turned back without the key. The issuer is taken as given, as are ids.
 *
 * Cost: one HMAC-SHA256, about 3 µs.
 */
export function foreignId(
  key: Secret,
  issuer: string,
  kind: 'subject' | 'session' | 'client' | 'token',
  id: string,
): string {
  const mac = createHmac('sha256', key.reveal()).update(PREFIX)
  for (const part of [issuer, kind, id]) {
    const bytes = Buffer.from(part)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    mac.update(length).update(bytes)
  }
  return `x_${mac.digest().subarray(0, 16).toString('base64url')}`
}

/**
 * The target a name stands for, under the key its issuer's ids are hashed with.
 * @throws {REVOCATION_TARGET_INVALID} when a part is empty, longer than `MAX_FOREIGN_CHARS` or not well-formed.
 */
export function foreignTarget(key: Secret, name: ForeignName): Target {
  const [kind, id] = kindAndIdOf(name)
  const tenant = 'tenant' in name ? name.tenant : undefined
  for (const part of [name.issuer, id, tenant ?? 'none']) {
    if (part === '' || part.length > MAX_FOREIGN_CHARS || !part.isWellFormed())
      throw revocationError('REVOCATION_TARGET_INVALID', 'a foreign name has parts of 1 to 1024 characters', { kind })
  }
  const hashed = foreignId(key, name.issuer, kind, id)
  return tenant === undefined ? target(kind, hashed) : { kind: 'affiliation', tenant, id: hashed }
}

function kindAndIdOf(name: ForeignName): ['subject' | 'session' | 'client' | 'token', string] {
  if ('sub' in name) return ['subject', name.sub]
  if ('sid' in name) return ['session', name.sid]
  return 'client' in name ? ['client', name.client] : ['token', name.jti]
}
