/** Succession: work that outlives its envelope goes on under another, which identity alone vouches for. */
import type { EnvelopeClaims, LogPosition } from '@countersign/schemas'
import { MAX_SUCCESSIONS } from './claims-rules.ts'
import { EnvelopeError } from './errors.ts'
import { envelopeHash } from './evidence.ts'
import type { KeyRing } from './key-ring.ts'
import type { OpenedEnvelope } from './open.ts'

/** What a successor says for itself; everything else is what it goes on for. */
export interface SuccessorClaims {
  /** Scopes left; a subset. */
  readonly scope: readonly string[]
  /** Epoch ms; not before what it goes on for. */
  readonly iat: number
  /** Epoch ms. */
  readonly exp: number
  /** The workload that vouches. */
  readonly reqWl: string
  /** On the same log, and not before. */
  readonly position: LogPosition
}

/** @returns when the work of an envelope began, at the boundary; epoch milliseconds. */
export function begunAt({ chain }: OpenedEnvelope): number {
  const root = chain.at(-1) as EnvelopeClaims
  return root.succession?.begun_at ?? root.iat
}

/** @returns from when on its window has passed, or that of a step it relies on: then it does not open any more; epoch milliseconds. */
export function windowEnd(envelope: OpenedEnvelope, { bundle }: KeyRing, epsilonMs: number): number {
  let began = begunAt(envelope)
  for (const earlier of envelope.relied) began = Math.min(began, begunAt(earlier))
  return began + bundle.window_ms - bundle.max_staleness_ms - epsilonMs
}

/** @returns how many envelopes came one for another before this one. */
export function successionsOf({ chain }: OpenedEnvelope): number {
  return chain.at(-1)?.succession?.count ?? 0
}

/**
 * Makes the claims of a successor, ready for `seal` with an envelope key: the same transaction, event, audience, actors,
 * targets and reliances, at the same depth. Whether the work may go on is for the caller to have judged.
 *
 * @throws {ENVELOPE_SUCCESSION_REFUSED} when it would have more than what it goes on for, or be one too many.
 */
export function succeed(
  earlier: { readonly header: Uint8Array; readonly envelope: OpenedEnvelope },
  { scope, iat, exp, reqWl, position }: SuccessorClaims,
): EnvelopeClaims {
  const { claims } = earlier.envelope
  const count = successionsOf(earlier.envelope) + 1
  if (count > MAX_SUCCESSIONS) throw refused(`work has ${MAX_SUCCESSIONS} successors at most`)
  const before = claims.tctx.position
  if (iat < claims.iat || position.log_id !== before.log_id || position.offset < before.offset) {
    throw refused('a successor comes after what it goes on for')
  }
  if (!scope.every((one) => claims.scope.includes(one))) throw refused('a successor has no scope more')
  return {
    ...claims,
    scope: [...new Set(scope)].sort(),
    req_wl: reqWl,
    iat,
    exp,
    tctx: { ...claims.tctx, position },
    parent: null,
    succession: { count, begun_at: begunAt(earlier.envelope), of: envelopeHash(earlier.header) },
  }
}

function refused(publicMessage: string): EnvelopeError {
  return new EnvelopeError({ code: 'ENVELOPE_SUCCESSION_REFUSED', publicMessage })
}
