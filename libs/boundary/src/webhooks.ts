/** Webhooks: a signed delivery becomes an identity, once. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Clock, Secret } from '@countersign/kernel'
import { type Denial, denied } from './denial.ts'
import type { BoundaryIdentity, ResolvedIdentity } from './identity.ts'
import { machineIdentity } from './machines.ts'
import type { ReplayGuard } from './replay.ts'
import { githubScheme } from './webhook-schemes/github.ts'
import { invalidOptions, type Scheme } from './webhook-schemes/scheme.ts'
import { standardScheme } from './webhook-schemes/standard.ts'
import { stripeScheme } from './webhook-schemes/stripe.ts'

/**
 * How a sender signs: `standard` is Standard Webhooks; `stripe` is `Stripe-Signature`; `github` is
 * `X-Hub-Signature-256`.
 */
export type WebhookScheme = 'standard' | 'stripe' | 'github'

export interface WebhookOptions {
  /** Name of the sender, in ids, logs and metrics. */
  readonly provider: string
  /** The tenant its deliveries are for. */
  readonly tenant: string
  /** As the sender shows it; several while one is being replaced. */
  readonly secrets: readonly Secret[]
  readonly scopes: readonly string[]
  /** @defaultValue `standard` */
  readonly scheme?: WebhookScheme
  /** Allowed age of a delivery, either way, and longest work on one, milliseconds. @defaultValue 300000 */
  readonly toleranceMs?: number
  /**
   * How long a delivery that was worked on is remembered, milliseconds; never shorter than it would be accepted.
   * @defaultValue for `github`, which signs no time, 259200000 (the three days in which it can be redelivered); else 0
   */
  readonly rememberMs?: number
  /**
   * For `github`, whose `X-GitHub-Delivery` is not signed. `ignored`: the same bytes are the same delivery. `trusted`:
   * for events that rightly come again byte for byte, such as `repository_dispatch`; who has captured one can then
   * repeat it under another id until the secret is replaced. @defaultValue `ignored`
   */
  readonly unsignedId?: 'ignored' | 'trusted'
  /** @defaultValue one in memory, for this process and sender alone */
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
   * @param work gets the delivery's id: `webhook-id`, the id of Stripe's event, or the digest of what GitHub signed.
   * The same delivery has the same id, so that event ids can be made of it.
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

const SCHEMES: Readonly<Record<WebhookScheme, { readonly scheme: Scheme; readonly rememberMs: number }>> = {
  standard: { scheme: standardScheme, rememberMs: 0 },
  stripe: { scheme: stripeScheme, rememberMs: 0 },
  github: { scheme: githubScheme, rememberMs: 259_200_000 },
}

/** What a boundary makes of an accepted delivery. */
export type Admit = (
  presented: { readonly identity: ResolvedIdentity; readonly at: number },
  request: Pick<Delivery, 'headers' | 'id' | 'ip'>,
) => { readonly ok: true; readonly identity: BoundaryIdentity } | Denial

/** @throws {BOUNDARY_OPTIONS_INVALID} for a scheme there is not, or a secret that is none of its kind. */
export function webhookEntry(options: WebhookOptions, replay: ReplayGuard, clock: Clock, admit: Admit): WebhookEntry {
  const { provider, tenant, toleranceMs = 300_000, unsignedId = 'ignored' } = options
  if (options.secrets.length === 0) throw invalidOptions('a webhook has at least one secret')
  const name = options.scheme ?? 'standard'
  if (!Object.hasOwn(SCHEMES, name)) throw invalidOptions(`a webhook scheme is ${Object.keys(SCHEMES).join(', ')}`)
  const { scheme, rememberMs: remembered } = SCHEMES[name]
  const verify = scheme(options.secrets, { unsignedId })
  const rememberMs = options.rememberMs ?? remembered
  return {
    async receive(delivery, work) {
      const now = clock.now()
      const genuine = verify(delivery, { now, toleranceMs })
      if (!genuine.ok) return genuine
      const { id, at } = genuine
      // A sender whose clock is ahead must not get a version that signals of the next minutes would miss.
      const version = Math.min(at, now)
      const admitted = admit({ identity: identityOf(options, version), at: version }, delivery)
      if (!admitted.ok) return admitted
      // Senders number on their own, also those two tenants have at one provider.
      const claimId = JSON.stringify([provider, tenant, id])
      const claim = await replay.claim(claimId, at + toleranceMs)
      if (claim === 'done') return { ok: true, first: false }
      if (claim !== 'first') return denied(claim === 'working' ? 'webhook_in_progress' : 'webhook_overloaded')
      try {
        const result = await work(admitted.identity, id)
        await replay.complete(claimId, Math.max(at + toleranceMs, now + rememberMs))
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
