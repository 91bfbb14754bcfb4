/**
 * `X-Hub-Signature-256: sha256=…`: the body is signed, and nothing else. Neither the time nor `X-GitHub-Delivery` is, so
 * whoever has captured a delivery can send it again, whenever, under any id. What bounds that: the same bytes are the
 * same delivery, for as long as they are remembered; and their digest is the id, so that what is made of it later is the
 * same work again.
 */
import { createHash } from 'node:crypto'
import type { Secret } from '@countersign/kernel'
import { type Denial, denied } from '../denial.ts'
import {
  DELIVERY_ID,
  type Genuine,
  invalidOptions,
  isSignedBy,
  type SchemeOptions,
  type Signed,
  type Terms,
} from './scheme.ts'

const PREFIX = 'sha256='

export function githubScheme(
  secrets: readonly Secret[],
  { unsignedId }: SchemeOptions,
): (delivery: Signed, terms: Terms) => Genuine | Denial {
  const keys = secrets.map(keyOf)
  return ({ headers, body }, { now }) => {
    const id = headers['x-github-delivery']
    // The older X-Hub-Signature is SHA-1, and is never looked at.
    const signature = headers['x-hub-signature-256']
    if (id === undefined || signature === undefined) return denied('credential_missing')
    if (typeof id !== 'string' || !DELIVERY_ID.test(id)) return denied('credential_invalid', 'webhook_id')
    if (typeof signature !== 'string' || !signature.startsWith(PREFIX))
      return denied('credential_invalid', 'webhook_signature')
    if (!isSignedBy(keys, [body], [signature.slice(PREFIX.length)]))
      return denied('credential_invalid', 'webhook_signature')
    return { ok: true, id: unsignedId === 'trusted' ? id : createHash('sha256').update(body).digest('hex'), at: now }
  }
}

function keyOf(secret: Secret): Buffer {
  // Any text may be one; a short one can be guessed from a single delivery.
  if (secret.reveal().length >= 20) return Buffer.from(secret.reveal())
  throw invalidOptions('a secret of GitHub has at least 20 characters')
}
