/**
 * The trust bundle: which keys may sign what, signed by a pinned root, carried by the signals log.
 * Invariant: a version never goes back and is never given to two bundles.
 */
import { hash } from 'node:crypto'
import { type TrustBundle, trustBundleCodec } from '@countersign/schemas'
import { EnvelopeError } from './errors.ts'
import { contradiction, KeyRing } from './key-ring.ts'
import type { SigningKey } from './keys.ts'
import { signRecord, verifyRecord } from './signed-record.ts'

/** Why a bundle does not come into force. */
export type BundleFault =
  | 'bundle_signature_invalid'
  | 'bundle_malformed'
  | 'bundle_version_back'
  | 'bundle_version_reused'
  | 'bundle_from_future'
  | 'bundle_expired'

export type BundleResult =
  | { readonly ok: true; readonly bundle: TrustBundle; readonly ring: KeyRing }
  | { readonly ok: false; readonly code: BundleFault }

/**
 * Encodes and signs a bundle.
 *
 * @returns the record body (without schema prefix) and the value of its signature header.
 * @throws {ENVELOPE_BUNDLE_INVALID} when the bundle contradicts itself.
 */
export function signBundle(bundle: TrustBundle, rootKey: SigningKey): { body: Buffer; header: Buffer } {
  const fault = contradiction(bundle)
  if (fault !== null) throw new EnvelopeError({ code: 'ENVELOPE_BUNDLE_INVALID', publicMessage: fault })
  const body = trustBundleCodec.encode(bundle)
  return { body, header: signRecord('TrustBundle', body, rootKey) }
}

/**
 * Says whether a bundle read from the log may come into force.
 *
 * @param options.now epoch ms; the record's append time when old bundles are read again.
 * @param options.epsilonMs tolerated clock skew, default 250.
 * @param options.minVersion pinned floor, default 1.
 * @param options.current the ring in force; versions below it, and its version on another bundle, are refused.
 */
export function verifyBundle(
  body: Uint8Array,
  header: Uint8Array | undefined,
  rootPublicKeys: readonly Uint8Array[],
  options: { now: number; epsilonMs?: number; minVersion?: number; current?: KeyRing | null },
): BundleResult {
  const { now, epsilonMs = 250, minVersion = 1, current } = options
  if (!verifyRecord('TrustBundle', body, header, rootPublicKeys, 'root', now).ok)
    return refused('bundle_signature_invalid')
  let bundle: TrustBundle
  try {
    bundle = trustBundleCodec.decode(body)
  } catch {
    return refused('bundle_malformed')
  }
  if (contradiction(bundle) !== null) return refused('bundle_malformed')
  if (bundle.version < minVersion || (current && bundle.version < current.bundle.version))
    return refused('bundle_version_back')
  if (bundle.issued_at > now + epsilonMs) return refused('bundle_from_future')
  if (bundle.expires_at <= now) return refused('bundle_expired')
  if (current?.bundle.version === bundle.version) {
    return current.hash.equals(hash('sha256', body, 'buffer'))
      ? { ok: true, bundle: current.bundle, ring: current }
      : refused('bundle_version_reused')
  }
  return { ok: true, bundle, ring: new KeyRing(bundle) }
}

function refused(code: BundleFault): BundleResult {
  return { ok: false, code }
}
