/** Standard Webhooks: a signed delivery becomes an identity, once. */
import { isUtf8 } from 'node:buffer'
import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Clock, Secret } from '@countersign/kernel'
import { Webhook } from 'standardwebhooks'
import { BoundaryError, type Denial, denied } from './denial.ts'
import type { BoundaryIdentity, ResolvedIdentity } from './identity.ts'
import type { ReplayGuard } from './replay.ts'

export interface WebhookOptions {
  /** Name of the sender, in ids, logs and metrics. */
  readonly provider: string
  /** The tenant its deliveries are for. */
  readonly tenant: string
  /** `whsec_…`; several while one is being replaced. */
  readonly secrets: readonly Secret[]
  readonly scopes: readonly string[]
  /** Allowed age of a delivery, either way, milliseconds. @defaultValue 300000 */
  readonly toleranceMs?: number
  /** @defaultValue one in memory, for this process alone */
  readonly replay?: ReplayGuard
}

/** A delivery as received. */
export interface Delivery {
  readonly headers: IncomingHttpHeaders
  /** The exact bytes of the body. */
  readonly body: Buffer
  readonly id?: string | undefined
  readonly ip?: string | undefined
}

export interface WebhookEntry {
  /**
   * Verifies a delivery and runs `work` for its first one. A sender's repetition of what succeeded runs
   * nothing; when `work` throws, the repetition runs it again. The error is thrown on.
   * @returns `first: false` for a repetition.
   */
  receive<T>(
    delivery: Delivery,
    work: (identity: BoundaryIdentity, deliveryId: string) => Promise<T>,
  ): Promise<
    | { readonly ok: true; readonly first: true; readonly result: T }
    | { readonly ok: true; readonly first: false }
    | Denial
  >
}

// Standard Webhooks signs `id.timestamp.body`; an id with a full stop could be read as another split.
const ID = /^[A-Za-z0-9_:~|+/=-]{1,128}$/
const TIMESTAMP = /^[1-9]\d{0,11}$/
const MAX_SIGNATURES = 8

/** What a boundary makes of an accepted delivery. */
export type Admit = (
  presented: { readonly identity: ResolvedIdentity; readonly at: number },
  request: Pick<Delivery, 'headers' | 'id' | 'ip'>,
) => { readonly ok: true; readonly identity: BoundaryIdentity } | Denial

/** @throws {BOUNDARY_OPTIONS_INVALID} for a secret that is not one. */
export function webhookEntry(options: WebhookOptions, replay: ReplayGuard, clock: Clock, admit: Admit): WebhookEntry {
  const { provider, tenant, toleranceMs = 300_000 } = options
  const verifiers = options.secrets.map(verifierOf)
  if (verifiers.length === 0) throw invalid('a webhook has at least one secret')
  return {
    async receive(delivery, work) {
      const verified = verify(delivery, verifiers, toleranceMs, clock.now())
      if (!verified.ok) return verified
      const { id, at } = verified
      // A sender whose clock is ahead must not get a version that signals of the next minutes would miss.
      const version = Math.min(at, clock.now())
      const admitted = admit({ identity: identityOf(options, version), at: version }, delivery)
      if (!admitted.ok) return admitted
      // Senders number on their own, also those two tenants have at one provider.
      const claimId = JSON.stringify([provider, tenant, id])
      const claim = await replay.claim(claimId, at + toleranceMs)
      if (claim === 'done') return { ok: true, first: false }
      if (claim !== 'first') return denied(claim === 'working' ? 'webhook_in_progress' : 'webhook_overloaded')
      try {
        const result = await work(admitted.identity, id)
        await replay.complete(claimId)
        return { ok: true, first: true, result }
      } catch (error) {
        await replay.release(claimId)
        throw error
      }
    },
  }
}

/** The sender as a principal; its credential is this one delivery, made when it was signed. */
function identityOf({ provider, tenant, scopes }: WebhookOptions, at: number): ResolvedIdentity {
  const sub = `webhook:${provider}`
  return {
    ...machineIdentity(sub, tenant, scopes, at),
    principal: 'webhook',
    credential: 'webhook_signature',
  }
}

/** What webhooks and schedules have in common: nobody logged in. */
export function machineIdentity(
  sub: string,
  tenant: string,
  scopes: readonly string[],
  at: number,
): Omit<ResolvedIdentity, 'principal' | 'credential'> {
  return {
    sub,
    tenant,
    act: [],
    scopes,
    scopeVersion: at,
    session: null,
    client: null,
    device: null,
    targets: [
      { kind: 'tenant', tenant, id: '', version: at },
      { kind: 'subject', tenant: '', id: sub, version: at },
      { kind: 'affiliation', tenant, id: sub, version: at },
    ],
    authTime: null,
    acr: null,
    amr: [],
    position: null,
    expiresAt: null,
  }
}

type Verified = { readonly ok: true; readonly id: string; readonly at: number } | Denial

function verify(
  { headers, body }: Delivery,
  verifiers: readonly Webhook[],
  toleranceMs: number,
  now: number,
): Verified {
  const id = headers['webhook-id']
  const timestamp = headers['webhook-timestamp']
  const signature = headers['webhook-signature']
  if (id === undefined || timestamp === undefined || signature === undefined) return denied('credential_missing')
  if (typeof id !== 'string' || !ID.test(id)) return denied('credential_invalid', 'webhook_id')
  if (typeof timestamp !== 'string' || !TIMESTAMP.test(timestamp))
    return denied('credential_invalid', 'webhook_timestamp')
  const at = Number(timestamp) * 1000
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

function verifierOf(secret: Secret): Webhook {
  try {
    const verifier = new Webhook(secret.reveal())
    // Too short a secret can be guessed; the standard asks for 24 bytes at least.
    if (Buffer.from(secret.reveal().replace(/^whsec_/, ''), 'base64').length < 24) throw invalid('')
    return verifier
  } catch {
    throw invalid('a webhook secret is whsec_ and at least 24 bytes in base64')
  }
}

function invalid(publicMessage: string): BoundaryError {
  return new BoundaryError({ code: 'BOUNDARY_OPTIONS_INVALID', retriable: false, publicMessage })
}
