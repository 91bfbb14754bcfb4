/** Asking identity for the envelope that goes on for one that its work has outlived. */
import { type KeyRing, type OpenedEnvelope, Opener } from '@countersign/envelope'
import type { Clock, Secret } from '@countersign/kernel'
import { type ConsumerView, viewOfTenant } from './consumer-view.ts'
import { deriveRefused } from './errors.ts'

/** What identity answers. */
export type SuccessorAnswer =
  | { readonly ok: true; readonly envelope: Uint8Array }
  /** `retriable`: identity could not be asked, or cannot tell now. */
  | { readonly ok: false; readonly code: string; readonly retriable: boolean }

/** Where successors come from; `identitySuccessors` asks over HTTP. */
export interface Successors {
  /** Never rejects. */
  succeed(envelope: Uint8Array): Promise<SuccessorAnswer>
}

export interface IdentitySuccessorsOptions {
  /** Base URL of identity. */
  readonly url: string
  /** Identity's service secret. */
  readonly secret: Secret
  readonly clock: Clock
  /** Longest wait for an answer, milliseconds. @defaultValue 2000 */
  readonly timeoutMs?: number
  /** @defaultValue the global one */
  readonly fetch?: typeof globalThis.fetch
}

// A successor is an envelope of 16 KiB at most, and base64 adds a third.
const MAX_ANSWER_BYTES = 32_768

/** Asks identity over HTTP; an answer of any other form is none. */
export function identitySuccessors(options: IdentitySuccessorsOptions): Successors {
  const { url, secret, clock, timeoutMs = 2_000, fetch = globalThis.fetch } = options
  const endpoint = new URL('/v1/envelopes/successor', url)
  const away: SuccessorAnswer = { ok: false, code: 'identity_away', retriable: true }
  return {
    async succeed(envelope) {
      const abort = new AbortController()
      const cancel = clock.after(timeoutMs, () => abort.abort())
      try {
        const response = await fetch(endpoint, {
          method: 'POST',
          headers: { authorization: `Bearer ${secret.reveal()}`, 'content-type': 'application/json' },
          body: JSON.stringify({ envelope: Buffer.from(envelope).toString('base64url') }),
          redirect: 'error',
          signal: abort.signal,
        })
        const text = await response.text()
        if (text.length > MAX_ANSWER_BYTES) return away
        const answer = JSON.parse(text) as { readonly envelope?: unknown; readonly reason?: unknown }
        if (response.status === 200 && typeof answer.envelope === 'string') {
          return { ok: true, envelope: Buffer.from(answer.envelope, 'base64url') }
        }
        if (response.status === 403 && typeof answer.reason === 'string') {
          return { ok: false, code: answer.reason, retriable: false }
        }
        return away
      } catch {
        return away
      } finally {
        cancel()
      }
    },
  }
}

/** An envelope and what is in it. */
export interface Held {
  readonly header: Uint8Array
  readonly opened: OpenedEnvelope
}

interface Proving {
  readonly replica: ConsumerView
  readonly clock: Clock
  readonly epsilonMs?: number
}

/** What each piece of work goes on under, once it has a successor. */
const held = new WeakMap<object, Held>()

/**
 * @param work which it is for; what was found for it is used again until it ends too.
 * @throws {ENFORCER_DERIVE_REFUSED} when identity refuses or cannot be asked, or answers with anything but a successor.
 */
export async function successorOf(work: object, from: Held, source: Successors, proving: Proving): Promise<Held> {
  const { replica, clock, epsilonMs = 250 } = proving
  const known = held.get(work) ?? from
  if (known !== from && known.opened.claims.exp > clock.now()) return known
  const answer = await source.succeed(known.header)
  if (!answer.ok) throw deriveRefused(answer.code, answer.retriable)
  const ring = viewOfTenant(replica, from.opened.claims.tctx.tenant).ring()
  const found = ring && proven(answer.envelope, from, { ring, now: clock.now(), epsilonMs })
  if (!found) throw deriveRefused('successor_invalid', true)
  held.set(work, found)
  return found
}

/** What comes over HTTP is believed for its signature alone, and for this work alone. */
function proven(
  header: Uint8Array,
  { opened: { claims } }: Held,
  context: { readonly ring: KeyRing; readonly now: number; readonly epsilonMs: number },
): Held | null {
  const result = new Opener().prove(header, context)
  if (!result.ok) return null
  const { claims: next } = result.envelope
  const same =
    next.succession !== null &&
    next.txn === claims.txn &&
    next.sub === claims.sub &&
    next.tctx.tenant === claims.tctx.tenant &&
    Buffer.compare(next.event.id, claims.event.id) === 0 &&
    next.scope.every((scope) => claims.scope.includes(scope))
  return same && next.exp > context.now ? { header, opened: result.envelope } : null
}
