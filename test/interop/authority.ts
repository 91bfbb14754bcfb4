/** Keys and bundles of the vectors: each key's seed is the SHA-256 of its name, so anyone can make them. */
import { hash } from 'node:crypto'
import { ed25519Key, generateEd25519, KeyRing, type SigningKey, signBundle } from '@countersign/envelope'
import type { KeyGrant, KeyUse, TrustBundle } from '@countersign/schemas'

/** The moment around which all vectors are set: 2027-01-15T08:00:00Z. */
export const NOW = 1_800_000_000_000
export const HOUR = 3_600_000

export interface VectorKey extends SigningKey {
  readonly seed: Buffer
  readonly publicKey: Buffer
}

/** @param name what is hashed to the private key; the key id unless another is given. */
export function vectorKey(name: string, keyId: string = name): VectorKey {
  const seed = hash('sha256', `countersign test vector key ${name}`, 'buffer')
  const { privateKeyPem, publicKey } = generateEd25519({ bytes: () => seed })
  return { ...ed25519Key(keyId, privateKeyPem), seed, publicKey }
}

export const root: VectorKey = vectorKey('root-1')
export const otherRoot: VectorKey = vectorKey('root-2')
type Role = 'envelope' | 'retired' | 'future' | 'limited' | 'derive' | 'signal' | 'checkpoint'
export const keys: Readonly<Record<Role, VectorKey>> = {
  envelope: vectorKey('env-1'),
  retired: vectorKey('env-retired'),
  future: vectorKey('env-future'),
  limited: vectorKey('env-limited'),
  derive: vectorKey('der-1'),
  signal: vectorKey('sig-1'),
  checkpoint: vectorKey('chk-1'),
}

function grant(key: VectorKey, use: KeyUse, over: Partial<KeyGrant> = {}): KeyGrant {
  return {
    key_id: key.keyId,
    public_key: key.publicKey,
    use,
    tenants: ['*'],
    topics: ['*'],
    not_before: NOW - 24 * HOUR,
    not_after: NOW + 24 * HOUR,
    ...over,
  }
}

/** The bundle in force in the vectors. */
export const bundle: TrustBundle = {
  version: 7,
  log_id: 'log-1',
  predecessor: null,
  issued_at: NOW - HOUR,
  expires_at: NOW + 24 * HOUR,
  window_ms: 12 * HOUR,
  max_staleness_ms: 10_000,
  checkpoint_interval_ms: 1000,
  keys: [
    grant(keys.envelope, 'envelope'),
    grant(keys.retired, 'envelope', { not_after: NOW - HOUR }),
    grant(keys.future, 'envelope', { not_before: NOW + HOUR }),
    grant(keys.limited, 'envelope', { tenants: ['acme', 'globex'], topics: ['invoices.export'] }),
    grant(keys.derive, 'derive'),
    grant(keys.signal, 'signal'),
    grant(keys.checkpoint, 'checkpoint'),
  ],
}

/** The bundle without `env-1`: what its loss looks like. */
export const withoutFirst: TrustBundle = { ...bundle, version: 8, keys: bundle.keys.slice(1) }

export const ring: KeyRing = new KeyRing(bundle)

/** A bundle as it stands in a vector file. */
export function signedBundle(value: TrustBundle, key: SigningKey = root): { body: string; signature: string } {
  const { body, header } = signBundle(value, key)
  return { body: body.toString('hex'), signature: header.toString('hex') }
}
