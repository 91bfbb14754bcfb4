/**
 * Opening: bytes from a record header become claims that were signed for this event, or one fault code.
 * Order: lengths, key, signature over the received bytes, and only then decoding; then what the key may
 * sign, the event, audience and times; then the parents, up to the boundary.
 */
import type { EnvelopeClaims, TargetVersion } from '@countersign/schemas'
import { readClaims } from './claims-reader.ts'
import { claimsFault, MAX_DEPTH } from './claims-rules.ts'
import { type BoundEvent, bindingFault } from './event-binding.ts'
import type { KeyRing, KnownKey } from './key-ring.ts'
import { widenedField } from './narrowing.ts'
import { VerifiedTrees } from './verified-trees.ts'
import { FIXED_BYTES, knowsSchema, parseWire } from './wire.ts'

/** Why an envelope is refused. The first four come from `headerOf` or from lengths alone. */
export type EnvelopeFault =
  | 'envelope_missing'
  | 'envelope_repeated'
  | 'envelope_oversize'
  | 'envelope_truncated'
  | 'envelope_malformed'
  | 'envelope_version_unknown'
  | 'envelope_schema_unknown'
  | 'envelope_signature_invalid'
  | 'envelope_key_unknown'
  | 'envelope_key_not_yet_valid'
  | 'envelope_key_retired'
  | 'envelope_key_use'
  | 'envelope_key_tenant'
  | 'envelope_key_topic'
  | 'envelope_topic_mismatch'
  | 'envelope_key_mismatch'
  | 'envelope_payload_mismatch'
  | 'envelope_audience_mismatch'
  | 'envelope_expired'
  | 'envelope_from_future'
  | 'envelope_widened'
  | 'envelope_too_deep'
  | 'envelope_parent_invalid'

/** The event an envelope came with, and who asks. */
export interface OpenContext extends BoundEvent {
  /** Keys of the bundle in force. */
  readonly ring: KeyRing
  /** Epoch ms. */
  readonly now: number
  /** Tolerated clock skew, ms. */
  readonly epsilonMs: number
  /** Audience of the logical topic. */
  readonly audience: string
}

export interface OpenedEnvelope {
  readonly claims: EnvelopeClaims
  /** This envelope first, then its parents up to the boundary; at most 4. */
  readonly chain: readonly EnvelopeClaims[]
  readonly keyId: string
  /** Every target this work depends on, its ancestors' included. */
  readonly targets: readonly TargetVersion[]
  /** Sorted, distinct. */
  readonly scopes: readonly string[]
}

export type OpenResult =
  | { readonly ok: true; readonly envelope: OpenedEnvelope }
  /** `parent`: for `envelope_parent_invalid`, what was wrong with it. */
  | { readonly ok: false; readonly code: EnvelopeFault; readonly parent?: EnvelopeFault }

interface Authentic {
  readonly claims: EnvelopeClaims
  readonly keyId: string
}

/** Opens envelopes and remembers verified trees; keep one per consumer. Not for use by two threads. */
export class Opener {
  readonly #trees: VerifiedTrees

  /** @param options.maxNodes verified hashes kept, default 262,144 (about 15 MB when full), which holds the largest tree. */
  constructor(options: { maxNodes?: number } = {}) {
    this.#trees = new VerifiedTrees(options.maxNodes ?? 262_144)
  }

  /**
   * Opens one envelope for one event. Never throws, whatever the bytes; the answer is the same on a warm
   * and on a cold opener. Fields of the result are views of `header`: leave those bytes alone.
   *
   * Cost: the first envelope of a batch 75 µs, the others about 6 µs, and SHA-256 of the value.
   */
  open(header: Uint8Array, context: OpenContext): OpenResult {
    const self = this.#authenticate(header, context.ring)
    if (typeof self === 'string') return { ok: false, code: self }
    const { claims } = self
    const fault = bindingFault(claims.event, context) ?? momentFault(claims, context)
    if (fault !== null) return { ok: false, code: fault }

    const chain = [claims]
    let child = claims
    while (child.parent !== null) {
      const parent = this.#authenticate(child.parent, context.ring)
      if (typeof parent === 'string') return { ok: false, code: 'envelope_parent_invalid', parent }
      if (widenedField(child, parent.claims) !== null) return { ok: false, code: 'envelope_widened' }
      child = parent.claims
      chain.push(child)
    }
    if (windowPassed(child, context)) return { ok: false, code: 'envelope_expired' }
    // A child that differs from its parents in targets is widened, so its own are all of them.
    const envelope = { claims, chain, keyId: self.keyId, targets: claims.tctx.targets, scopes: claims.scope }
    return { ok: true, envelope }
  }

  /** Claims that a key of the ring signed and was allowed to sign. */
  #authenticate(header: Uint8Array, ring: KeyRing): Authentic | EnvelopeFault {
    const wire = parseWire(Buffer.from(header.buffer, header.byteOffset, header.byteLength))
    if (typeof wire === 'string') return wire
    const { bytes, claimsEnd, keyEnd } = wire
    const keyId = bytes.toString('utf8', claimsEnd, keyEnd)
    const key = ring.key(keyId)
    if (key === undefined) return 'envelope_key_unknown'
    if (!this.#trees.verify(wire, keyId, key, ring)) return 'envelope_signature_invalid'
    if (!knowsSchema(bytes)) return 'envelope_schema_unknown'
    let claims: EnvelopeClaims
    try {
      claims = readClaims(bytes, FIXED_BYTES, claimsEnd)
    } catch {
      return 'envelope_malformed'
    }
    if (claims.depth > MAX_DEPTH) return 'envelope_too_deep'
    if (claimsFault(claims) !== null) return 'envelope_malformed'
    return grantFault(claims, key) ?? { claims, keyId }
  }
}

/** Times are judged when the envelope was sealed: a key that has ended since still opens what it sealed before. */
function grantFault(claims: EnvelopeClaims, key: KnownKey): EnvelopeFault | null {
  const { grant } = key
  if (grant.use !== 'envelope' && (grant.use !== 'derive' || claims.depth === 0)) return 'envelope_key_use'
  if (claims.iat < grant.not_before) return 'envelope_key_not_yet_valid'
  if (claims.iat >= grant.not_after) return 'envelope_key_retired'
  if (!key.signsTenant(claims.tctx.tenant)) return 'envelope_key_tenant'
  if (!key.signsTopic(claims.event.topic)) return 'envelope_key_topic'
  return null
}

/**
 * Floors older than the window are gone from every view. A boundary may have sealed a staleness budget after
 * a floor it had not seen, so its work is over by so much sooner: never later than the floor is forgotten.
 */
function windowPassed(sealed: EnvelopeClaims, { ring, now, epsilonMs }: OpenContext): boolean {
  const { window_ms: windowMs, max_staleness_ms: budgetMs } = ring.bundle
  return sealed.iat <= now - windowMs + budgetMs + epsilonMs
}

function momentFault(claims: EnvelopeClaims, context: OpenContext): EnvelopeFault | null {
  if (claims.aud !== context.audience) return 'envelope_audience_mismatch'
  if (claims.iat > context.now + context.epsilonMs) return 'envelope_from_future'
  if (claims.exp <= context.now) return 'envelope_expired'
  return null
}
