/**
 * Opening: bytes from a record header become claims that were signed for this event, or one fault code.
 * Order: lengths, key, signature over the received bytes, and only then decoding; then what the key may
 * sign, the event, audience and times; then the parents, up to the boundary; then what earlier steps it relies on.
 * Ordinary work pays nothing for the last.
 */
import { isAscii } from 'node:buffer'
import type { EnvelopeClaims, TargetVersion } from '@countersign/schemas'
import { readClaims } from './claims-reader.ts'
import { claimsFault, MAX_DEPTH } from './claims-rules.ts'
import { type BoundEvent, bindingFault, type SummedEvent } from './event-binding.ts'
import { envelopeHash, evidenceOf } from './evidence.ts'
import type { HeaderPairs, HeaderRecord } from './header-of.ts'
import type { KeyRing, KnownKey } from './key-ring.ts'
import { reliesOnAll, widenedField } from './narrowing.ts'
import { SharedStrings } from './shared-strings.ts'
import { VerifiedTrees } from './verified-trees.ts'
import { claimsVersion, FIXED_BYTES, parseWire } from './wire.ts'

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
  | 'envelope_reliance_missing'
  | 'envelope_reliance_mismatch'
  | 'envelope_reliance_invalid'
  | 'envelope_reliance_foreign'
  | 'envelope_reliance_expired'

/** What any envelope is judged by. */
export interface ProofContext {
  /** Keys of the bundle in force. */
  readonly ring: KeyRing
  /** Epoch ms. */
  readonly now: number
  /** Tolerated clock skew, ms. */
  readonly epsilonMs: number
}

/** The event an envelope came with, and who asks. */
export type OpenContext = (BoundEvent | SummedEvent) & Asking

interface Asking extends ProofContext {
  /** Audience of the logical topic. */
  readonly audience: string
  /** Of the record. Looked at only for the evidence of an envelope that relies on earlier ones. */
  readonly headers?: HeaderPairs | HeaderRecord | undefined
}

export interface OpenedEnvelope {
  readonly claims: EnvelopeClaims
  /** This envelope first, then its parents up to the boundary; at most 4. */
  readonly chain: readonly EnvelopeClaims[]
  readonly keyId: string
  /** Every target this work depends on, its ancestors' included: those its claims name, then the keys that signed the chain. */
  readonly targets: readonly TargetVersion[]
  /** Sorted, distinct. */
  readonly scopes: readonly string[]
  /** Envelopes of earlier steps it relies on, in the order its claims name them; theirs are among them, so each has none. */
  readonly relied: readonly OpenedEnvelope[]
}

export type OpenResult =
  | { readonly ok: true; readonly envelope: OpenedEnvelope }
  /** `parent`, `earlier`: for `envelope_parent_invalid` and `envelope_reliance_invalid`, what was wrong with it. */
  | {
      readonly ok: false
      readonly code: EnvelopeFault
      readonly parent?: EnvelopeFault
      readonly earlier?: EnvelopeFault
    }

type Refused = Extract<OpenResult, { readonly ok: false }>

interface Authentic {
  readonly claims: EnvelopeClaims
  readonly keyId: string
  readonly key: KnownKey
}

const NONE: readonly OpenedEnvelope[] = Object.freeze([])

/** Opens envelopes and remembers verified trees; keep one per consumer. Not for use by two threads. */
export class Opener {
  readonly #trees: VerifiedTrees

  /**
   * @param options.maxNodes verified hashes kept, default 262,144 (about 15 MB when full), which holds the largest tree.
   * @param options.onVerified told, for each signature verified, how many envelopes it stands for.
   */
  constructor(options: { maxNodes?: number; onVerified?: (envelopes: number) => void } = {}) {
    this.#trees = new VerifiedTrees(options.maxNodes ?? 262_144, options.onVerified)
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
    const targets = targetsOf(self)
    const chain = this.#ancestry(claims, targets, context)
    if (!isList(chain)) return chain
    if (claims.relies_on.length === 0) return new Good(new Opened(self, chain, targets, NONE))
    const relied = this.#relied(claims, context)
    return isList(relied) ? new Good(new Opened(self, chain, targets, relied)) : relied
  }

  /**
   * Opens one envelope apart from its event: whose it is, that it was allowed to be signed, and that its window has not
   * passed. Not that it may still act: its end, audience and event are not asked for, nor what it relies on.
   * Never throws. Cost: as `open`.
   */
  prove(header: Uint8Array, context: ProofContext): OpenResult {
    const self = this.#authenticate(header, context.ring)
    if (typeof self === 'string') return { ok: false, code: self }
    if (self.claims.iat > context.now + context.epsilonMs) return { ok: false, code: 'envelope_from_future' }
    const targets = targetsOf(self)
    const chain = this.#ancestry(self.claims, targets, context)
    return isList(chain) ? new Good(new Opened(self, chain, targets, NONE)) : chain
  }

  /** The claims and their parents', up to the boundary or to identity. @param targets gets the keys that signed the parents. */
  #ancestry(
    claims: EnvelopeClaims,
    targets: TargetVersion[],
    context: ProofContext,
  ): readonly EnvelopeClaims[] | Refused {
    const chain = ROOT.concat(claims)
    let child = claims
    while (child.parent !== null) {
      const parent = this.#authenticate(child.parent, context.ring)
      if (typeof parent === 'string') return { ok: false, code: 'envelope_parent_invalid', parent }
      if (widenedField(child, parent.claims) !== null) return { ok: false, code: 'envelope_widened' }
      child = parent.claims
      chain.push(child)
      targets.push(parent.key.target)
    }
    return windowPassed(child, context) ? { ok: false, code: 'envelope_expired' } : chain
  }

  /** Hashes are compared before anything is parsed: what is not named costs its SHA-256 and no more. */
  #relied(claims: EnvelopeClaims, context: OpenContext): readonly OpenedEnvelope[] | Refused {
    const evidence = evidenceOf(context.headers)
    if (evidence === null || evidence.length !== claims.relies_on.length) {
      return { ok: false, code: 'envelope_reliance_missing' }
    }
    const named = evidence.every((bytes, i) => envelopeHash(bytes).equals(claims.relies_on[i] as Uint8Array))
    if (!named) return { ok: false, code: 'envelope_reliance_mismatch' }
    const relied: OpenedEnvelope[] = []
    for (const bytes of evidence) {
      const earlier = this.prove(bytes, context)
      if (!earlier.ok && earlier.code === 'envelope_expired') return { ok: false, code: 'envelope_reliance_expired' }
      if (!earlier.ok) return { ok: false, code: 'envelope_reliance_invalid', earlier: earlier.code }
      const fault = relianceFault(claims, earlier.envelope.claims, context.epsilonMs)
      if (fault !== null) return { ok: false, ...fault }
      relied.push(earlier.envelope)
    }
    return relied
  }

  /** Claims that a key of the ring signed and was allowed to sign. */
  #authenticate(header: Uint8Array, ring: KeyRing): Authentic | EnvelopeFault {
    const wire = parseWire(Buffer.from(header.buffer, header.byteOffset, header.byteLength))
    if (typeof wire === 'string') return wire
    const { bytes, claimsEnd, keyEnd } = wire
    const keyId = keyIdOf(bytes, claimsEnd, keyEnd)
    const key = ring.key(keyId)
    if (key === undefined) return 'envelope_key_unknown'
    if (!this.#trees.verify(wire, keyId, key, ring)) return 'envelope_signature_invalid'
    const version = claimsVersion(bytes)
    if (version === null) return 'envelope_schema_unknown'
    let claims: EnvelopeClaims
    try {
      claims = readClaims(bytes, FIXED_BYTES, claimsEnd, version)
    } catch {
      return 'envelope_malformed'
    }
    if (claims.depth > MAX_DEPTH) return 'envelope_too_deep'
    if (claimsFault(claims) !== null) return 'envelope_malformed'
    return grantFault(claims, key) ?? { claims, keyId, key }
  }
}

const keyIds = new SharedStrings()

function keyIdOf(bytes: Buffer, from: number, end: number): string {
  const known = keyIds.find(bytes, from, end - from)
  if (known !== null) return known
  const keyId = bytes.toString('utf8', from, end)
  if (isAscii(bytes.subarray(from, end))) keyIds.keep(keyId, bytes, from, end - from)
  return keyId
}

/** Times are judged when the envelope was sealed: a key that has ended since still opens what it sealed before. */
function grantFault(claims: EnvelopeClaims, key: KnownKey): EnvelopeFault | null {
  const { grant } = key
  // Without a parent there is nothing it was derived from.
  if (grant.use !== 'envelope' && (grant.use !== 'derive' || claims.parent === null)) return 'envelope_key_use'
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
function windowPassed({ iat, succession }: EnvelopeClaims, { ring, now, epsilonMs }: ProofContext): boolean {
  const { window_ms: windowMs, max_staleness_ms: budgetMs } = ring.bundle
  // A successor's versions are those its work began with.
  return (succession === null ? iat : succession.begun_at) <= now - windowMs + budgetMs + epsilonMs
}

function momentFault(claims: EnvelopeClaims, context: OpenContext): EnvelopeFault | null {
  if (claims.aud !== context.audience) return 'envelope_audience_mismatch'
  if (claims.iat > context.now + context.epsilonMs) return 'envelope_from_future'
  if (claims.exp <= context.now) return 'envelope_expired'
  return null
}

// What is kept as long as a batch is made by classes; claims-reader.ts says why.

const ROOT: readonly EnvelopeClaims[] = []

class Good {
  readonly ok = true
  readonly envelope: OpenedEnvelope

  constructor(envelope: OpenedEnvelope) {
    this.envelope = envelope
  }
}

class Opened implements OpenedEnvelope {
  readonly claims: EnvelopeClaims
  readonly chain: readonly EnvelopeClaims[]
  readonly keyId: string
  readonly targets: OpenedEnvelope['targets']
  readonly scopes: readonly string[]
  readonly relied: readonly OpenedEnvelope[]

  constructor(
    { claims, keyId }: Authentic,
    chain: readonly EnvelopeClaims[],
    targets: readonly TargetVersion[],
    relied: readonly OpenedEnvelope[],
  ) {
    this.claims = claims
    this.chain = chain
    this.keyId = keyId
    this.targets = targets
    this.scopes = claims.scope
    this.relied = relied
  }
}

/** A child that differs from its parents in targets is widened, so its own are all of them; its key is one more. */
function targetsOf({ claims, key }: Authentic): TargetVersion[] {
  return claims.tctx.targets.concat(key.target)
}

function isList<T>(found: readonly T[] | Refused): found is readonly T[] {
  return Array.isArray(found)
}

/** What a step must have in common with one it relies on. */
function relianceFault(
  claims: EnvelopeClaims,
  earlier: EnvelopeClaims,
  epsilonMs: number,
): { readonly code: EnvelopeFault; readonly earlier?: EnvelopeFault } | null {
  if (earlier.txn !== claims.txn || earlier.tctx.tenant !== claims.tctx.tenant) {
    return { code: 'envelope_reliance_foreign' }
  }
  const code = 'envelope_reliance_invalid'
  if (earlier.iat > claims.iat + epsilonMs) return { code, earlier: 'envelope_from_future' }
  // Whatever an earlier step relied on, this one does, and is judged by a view that has reached what that one named.
  const position = earlier.tctx.position
  const reached = position.log_id === claims.tctx.position.log_id && position.offset <= claims.tctx.position.offset
  return reached && reliesOnAll(claims.relies_on, earlier.relies_on) ? null : { code, earlier: 'envelope_widened' }
}
