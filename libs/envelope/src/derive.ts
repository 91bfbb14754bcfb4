/** Deriving: a job that starts further work passes on less than it has, and the parent proves it. */
import type { Actor, EnvelopeClaims, EventBinding, LogPosition } from '@countersign/schemas'
import { MAX_DEPTH } from './claims-rules.ts'
import { EnvelopeError } from './errors.ts'
import { reliesOnAll, widenedField } from './narrowing.ts'
import type { OpenedEnvelope } from './open.ts'

/** What a child says for itself; everything else is its parent's. */
export interface ChildClaims {
  readonly aud: string
  /** In any order; a subset of the parent's. */
  readonly scope: readonly string[]
  /** Epoch ms; not after the parent's. */
  readonly exp: number
  /** Epoch ms; not before the parent's. */
  readonly iat: number
  /** The workload that derives. */
  readonly reqWl: string
  /** Recorded as the current actor; null adds none. */
  readonly actor: Actor | null
  readonly event: EventBinding
  /** Default: the parent's. On the same log, and not before it. */
  readonly position?: LogPosition
  /** SHA-256 of earlier envelopes it relies on beside those its parent does. @defaultValue none */
  readonly reliesOn?: readonly Uint8Array[]
}

/**
 * Makes the claims of a child, ready for `seal` with a derive or envelope key.
 *
 * @param parent the header as received and what `Opener.open` returned for it.
 * @throws {ENVELOPE_DERIVE_WIDENS} when the child would be, have or last more than the parent.
 * @throws {ENVELOPE_DERIVE_TOO_DEEP} when the parent is the third derivation already.
 */
export function derive(
  parent: { readonly header: Uint8Array; readonly envelope: OpenedEnvelope },
  child: ChildClaims,
): EnvelopeClaims {
  const { claims } = parent.envelope
  if (claims.depth >= MAX_DEPTH) {
    throw new EnvelopeError({
      code: 'ENVELOPE_DERIVE_TOO_DEEP',
      publicMessage: `a chain derives ${MAX_DEPTH} times at most`,
    })
  }
  const derived: EnvelopeClaims = {
    ...claims,
    aud: child.aud,
    scope: [...new Set(child.scope)].sort(),
    req_wl: child.reqWl,
    iat: child.iat,
    exp: child.exp,
    tctx: {
      ...claims.tctx,
      act: child.actor === null ? claims.tctx.act : [child.actor, ...claims.tctx.act],
      position: child.position ?? claims.tctx.position,
    },
    event: child.event,
    depth: claims.depth + 1,
    parent: parent.header,
    relies_on: joined(claims.relies_on, child.reliesOn),
    succession: null,
  }
  const field = widenedField(derived, claims)
  if (field !== null) {
    throw new EnvelopeError({
      code: 'ENVELOPE_DERIVE_WIDENS',
      publicMessage: 'a derived envelope narrows its parent',
      detail: { field },
    })
  }
  return derived
}

/** Hashes of both, each once. */
function joined(own: readonly Uint8Array[], more: readonly Uint8Array[] = []): readonly Uint8Array[] {
  const all = [...own]
  for (const hash of more) if (!reliesOnAll(all, [hash])) all.push(hash)
  return all
}
