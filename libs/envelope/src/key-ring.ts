/** The keys of a trust bundle, ready to verify with. Invariant: a key id and a public key stand for one use. */
import { hash, type KeyObject } from 'node:crypto'
import { SIGNER_VERSION, signerTarget, type Target, targetKey } from '@countersign/revocation'
import {
  type KeyGrant,
  type KeyUse,
  type TargetVersion,
  type TrustBundle,
  trustBundleCodec,
} from '@countersign/schemas'
import { EnvelopeError } from './errors.ts'
import { MAX_KEY_ID_BYTES, publicKeyObject } from './keys.ts'

/** A key of the bundle, ready to verify with. */
export interface KnownKey {
  readonly grant: KeyGrant
  readonly publicKey: KeyObject
  /** What everything depends on that it has signed; with version 0. */
  readonly signer: Target
  readonly target: TargetVersion
  /** True when it may sign for the tenant. Applies to envelopes. */
  signsTenant(tenant: string): boolean
  /** True when it may sign for the logical topic. Applies to envelopes. */
  signsTopic(topic: string): boolean
}

/** The keys of one bundle, by id. Trusts its bundle: give it only what `verifyBundle` returned. */
export class KeyRing {
  readonly bundle: TrustBundle
  /** SHA-256 of the bundle's record body: what checkpoints name. */
  readonly hash: Buffer
  readonly #keys = new Map<string, KnownKey>()

  /** @throws {ENVELOPE_BUNDLE_INVALID} when the bundle contradicts itself. */
  constructor(bundle: TrustBundle) {
    const fault = contradiction(bundle)
    if (fault !== null) throw new EnvelopeError({ code: 'ENVELOPE_BUNDLE_INVALID', publicMessage: fault })
    this.bundle = bundle
    this.hash = hash('sha256', trustBundleCodec.encode(bundle), 'buffer')
    for (const grant of bundle.keys) this.#keys.set(grant.key_id, knownKey(grant))
  }

  /** @returns the key, whatever it may sign and whenever; undefined when the bundle does not have it. */
  key(keyId: string): KnownKey | undefined {
    return this.#keys.get(keyId)
  }

  /** @returns the grant when the key may sign `use` at `at` (epoch ms; begin included, end not), else undefined. */
  grantFor(keyId: string, use: KeyUse, at: number): KeyGrant | undefined {
    const grant = this.#keys.get(keyId)?.grant
    if (grant === undefined || grant.use !== use || at < grant.not_before || at >= grant.not_after) return undefined
    return grant
  }
}

function knownKey(grant: KeyGrant): KnownKey {
  const signer = signerTarget(grant.public_key)
  return {
    grant,
    publicKey: publicKeyObject(grant.public_key),
    signer,
    target: { kind: signer.kind, key: targetKey(signer), version: SIGNER_VERSION },
    signsTenant: allowed(grant.tenants),
    signsTopic: allowed(grant.topics),
  }
}

function allowed(names: readonly string[]): (name: string) => boolean {
  if (names.length === 1 && names[0] === '*') return () => true
  const set = new Set(names)
  return (name) => set.has(name)
}

/** @returns what a signed bundle must never say, or null. */
export function contradiction(bundle: TrustBundle): string | null {
  if (bundle.version < 1) return 'a bundle has a version of at least 1'
  if (bundle.expires_at <= bundle.issued_at) return 'a bundle expires after it is issued'
  if (bundle.window_ms <= 0 || bundle.max_staleness_ms <= 0 || bundle.checkpoint_interval_ms <= 0) {
    return 'window, staleness and checkpoint interval are positive'
  }
  const seen = new Set<string>()
  for (const key of bundle.keys) {
    const length = Buffer.byteLength(key.key_id)
    if (length < 1 || length > MAX_KEY_ID_BYTES) return 'a key id has 1 to 64 bytes'
    if (key.not_after <= key.not_before) return 'a key ends after it begins'
    if (key.tenants.length > 1 && key.tenants.includes('*')) return '`*` stands alone in tenants'
    if (key.topics.length > 1 && key.topics.includes('*')) return '`*` stands alone in topics'
    // One key in two grants could sign in one role what was granted to the other.
    const publicKey = Buffer.from(key.public_key).toString('hex')
    if (seen.has(`id:${key.key_id}`) || seen.has(`key:${publicKey}`)) return 'a key stands in a bundle once'
    seen.add(`id:${key.key_id}`).add(`key:${publicKey}`)
  }
  return null
}
