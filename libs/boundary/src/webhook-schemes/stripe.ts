/** `Stripe-Signature: t=…,v1=…`: time and body are signed; the event names itself in the body. */
import type { Secret } from '@countersign/kernel'
import { type Denial, denied } from '../denial.ts'
import {
  DELIVERY_ID,
  type Genuine,
  invalidOptions,
  isSignedBy,
  MAX_SIGNATURES,
  type Signed,
  signedAt,
  type Terms,
} from './scheme.ts'

const MAX_HEADER_CHARS = 2048
const PART = /^([a-z]\w*)=(\S*)$/

/** The key is the secret as it stands, `whsec_` and all. A retry is signed anew, under the same event id. */
export function stripeScheme(secrets: readonly Secret[]): (delivery: Signed, terms: Terms) => Genuine | Denial {
  const keys = secrets.map(keyOf)
  return ({ headers, body }, { now, toleranceMs }) => {
    const header = headers['stripe-signature']
    if (header === undefined) return denied('credential_missing')
    const parts = typeof header === 'string' ? partsOf(header) : null
    if (parts === null) return denied('credential_invalid', 'webhook_signature')
    const { t, v1 } = parts
    const at = signedAt(t)
    if (at === null) return denied('credential_invalid', 'webhook_timestamp')
    if (Math.abs(now - at) > toleranceMs) return denied('credential_expired', 'webhook_timestamp')
    if (!isSignedBy(keys, [`${t}.`, body], v1)) return denied('credential_invalid', 'webhook_signature')
    const id = eventIdOf(body)
    return id === null ? denied('credential_invalid', 'webhook_id') : { ok: true, id, at }
  }
}

/**
 * One `t` and the `v1` signatures. Other schemes are passed over: v0 is for test mode, and none but v1 is ever believed.
 * Two times, as of two headers that were joined, leave open which was signed.
 */
function partsOf(header: string): { t: string; v1: string[] } | null {
  if (header.length > MAX_HEADER_CHARS) return null
  const parts = header.split(',').map((part) => PART.exec(part))
  if (parts.includes(null)) return null
  const valuesOf = (name: string): string[] => parts.flatMap((part) => (part?.[1] === name ? [part[2] ?? ''] : []))
  const [t, ...more] = valuesOf('t')
  const v1 = valuesOf('v1').slice(0, MAX_SIGNATURES)
  return t === undefined || more.length > 0 || v1.length === 0 ? null : { t, v1 }
}

/** Read after the signature was checked. */
function eventIdOf(body: Buffer): string | null {
  try {
    const event: unknown = JSON.parse(body.toString())
    const id =
      typeof event === 'object' && event !== null && Object.hasOwn(event, 'id') ? (event as { id: unknown }).id : ''
    return typeof id === 'string' && DELIVERY_ID.test(id) ? id : null
  } catch {
    return null
  }
}

function keyOf(secret: Secret): Buffer {
  if (/^whsec_[\x21-\x7e]{24,}$/.test(secret.reveal())) return Buffer.from(secret.reveal())
  throw invalidOptions('a secret of Stripe is whsec_ and at least 24 characters')
}
