/** What a session or device is shown by: random values, kept as hashes alone, each kind in a domain of its own. */
import { createHash } from 'node:crypto'
import type { Random } from '@countersign/kernel'

/** How a session was presented. */
export interface Presented {
  readonly as: 'cookie' | 'bearer'
  readonly value: string
}

/** A new secret as its holder gets it, once, and as it is kept. */
export interface Minted {
  readonly value: string
  readonly hash: Buffer
}

const BYTES = 32
const BEARER_PREFIX = 'api_'
const DOMAINS = { cookie: '', bearer: 'countersign.api.v1\0', device: 'countersign.device.v1\0' } as const

export function mintCookie(random: Random): Minted {
  return minted(random, 'cookie', '')
}

export function mintBearer(random: Random): Minted {
  return minted(random, 'bearer', BEARER_PREFIX)
}

export function mintDevice(random: Random): Minted {
  return minted(random, 'device', '')
}

/** Hash of what a presented session is known by; null for what cannot be one. */
export function sessionHash({ as, value }: Presented): Buffer | null {
  if (as === 'cookie') return hashOf('cookie', value)
  return value.startsWith(BEARER_PREFIX) ? hashOf('bearer', value.slice(BEARER_PREFIX.length)) : null
}

/** Hash of a session cookie value; null for what cannot be one. */
export function cookieHash(value: string): Buffer | null {
  return hashOf('cookie', value)
}

/** Hash of a device cookie value; null for what cannot be one. */
export function deviceHash(value: string): Buffer | null {
  return hashOf('device', value)
}

function minted(random: Random, domain: keyof typeof DOMAINS, prefix: string): Minted {
  const secret = random.bytes(BYTES)
  return { value: prefix + secret.toString('base64url'), hash: digest(domain, secret) }
}

function hashOf(domain: keyof typeof DOMAINS, value: string): Buffer | null {
  const secret = Buffer.from(value, 'base64url')
  // One spelling per value: base64url decoding skips what it does not know.
  return secret.length === BYTES && secret.toString('base64url') === value ? digest(domain, secret) : null
}

function digest(domain: keyof typeof DOMAINS, secret: Buffer): Buffer {
  return createHash('sha256').update(DOMAINS[domain]).update(secret).digest()
}
