/** Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`. */
import { isUtf8 } from 'node:buffer'
import { timingSafeEqual } from 'node:crypto'
import type { Secret } from '@countersign/kernel'
import { Webhook } from 'standardwebhooks'
import { type Denial, denied } from '../denial.ts'
import {
  DELIVERY_ID,
  type Genuine,
  invalidOptions,
  MAX_SIGNATURES,
  type Signed,
  signedAt,
  type Terms,
} from './scheme.ts'

/** It signs `id.timestamp.body`; an id with a full stop could be read as another split, and is refused. */
export function standardScheme(secrets: readonly Secret[]): (delivery: Signed, terms: Terms) => Genuine | Denial {
  const verifiers = secrets.map(verifierOf)
  return ({ headers, body }, { now, toleranceMs }) => {
    const id = headers['webhook-id']
    const timestamp = headers['webhook-timestamp']
    const signature = headers['webhook-signature']
    if (id === undefined || timestamp === undefined || signature === undefined) return denied('credential_missing')
    if (typeof id !== 'string' || !DELIVERY_ID.test(id)) return denied('credential_invalid', 'webhook_id')
    const at = typeof timestamp === 'string' ? signedAt(timestamp) : null
    if (at === null) return denied('credential_invalid', 'webhook_timestamp')
    if (Math.abs(now - at) > toleranceMs) return denied('credential_expired', 'webhook_timestamp')
    // The signature is over text: bytes that are not would share it with others.
    if (typeof signature !== 'string' || !isUtf8(body)) return denied('credential_invalid', 'webhook_signature')
    const given = signature.split(' ').slice(0, MAX_SIGNATURES)
    const good = verifiers.some((verifier) => {
      const expected = Buffer.from(verifier.sign(id, new Date(at), body))
      return given.some((one) => {
        const bytes = Buffer.from(one)
        return bytes.length === expected.length && timingSafeEqual(bytes, expected)
      })
    })
    return good ? { ok: true, id, at } : denied('credential_invalid', 'webhook_signature')
  }
}

function verifierOf(secret: Secret): Webhook {
  try {
    const verifier = new Webhook(secret.reveal())
    // Too short a secret can be guessed; the standard asks for 24 bytes at least.
    if (Buffer.from(secret.reveal().replace(/^whsec_/, ''), 'base64').length < 24) throw invalidOptions('')
    return verifier
  } catch {
    throw invalidOptions('a webhook secret is whsec_ and at least 24 bytes in base64')
  }
}
