/**
 * The trust bundle as identity makes it: assembled from the public grants, signed by the root, version
 * rising in the store, so that two notaries never give one version to two bundles.
 */
import { type SigningKey, signBundle } from '@countersign/envelope'
import { days, hours, type Millis } from '@countersign/kernel'
import { type KeyGrant, type LogPosition, type TrustBundle, trustBundleCodec } from '@countersign/schemas'
import type { BundleRecord, OutboxPort } from '@countersign/session-store'

/** Where the notary gets the bundle it appends with each claim. */
export interface BundleSource {
  /**
   * Gives the bundle to append now: signed, kept in the store first, its version above `after`. Asked again
   * before half the renewal time has passed it gives the same bytes, so a crash between keeping and appending costs no version.
   * @param request.after highest bundle version seen on the log, 0 before the first.
   * @param request.now epoch milliseconds.
   * @param request.isGivenUp whether the log says so of a public key; with what the store says, so that neither may forget.
   * @throws {SESSION_STORE_UNAVAILABLE} retriable.
   */
  next(request: {
    logId: string
    predecessor: LogPosition | null
    after: number
    now: number
    isGivenUp?: (publicKey: Uint8Array) => boolean
  }): Promise<BundleRecord>
}

/** What goes into each bundle. */
export interface BundleTerms {
  readonly windowMs: Millis
  readonly maxStalenessMs: Millis
  readonly checkpointIntervalMs: Millis
  /** Default 1 h. */
  readonly renewMs?: Millis
  /** How long a bundle is valid; default 30 d. */
  readonly lifeMs?: Millis
}

/**
 * @param options.grants read again for each bundle, so that a key file changed on disk takes effect at the next renewal.
 * @param options.givenUp whether a public key was given up, ever; such a key stands in no bundle, whatever its grant says.
 *   Default: none was.
 */
export function bundleSource(options: {
  store: Pick<OutboxPort, 'bundle' | 'putBundle'>
  rootKey: SigningKey
  grants: () => readonly KeyGrant[]
  givenUp?: (publicKey: Uint8Array) => Promise<boolean>
  terms: BundleTerms
}): BundleSource {
  const { store, rootKey, grants, givenUp = async () => false, terms } = options
  const { renewMs = hours(1), lifeMs = days(30) } = terms
  return {
    async next({ logId, predecessor, after, now, isGivenUp = () => false }) {
      const kept = await store.bundle()
      const before = kept === null ? null : trustBundleCodec.decode(kept.body)
      const trusted: KeyGrant[] = []
      for (const grant of grants()) {
        if (!isGivenUp(grant.public_key) && !(await givenUp(grant.public_key))) trusted.push(grant)
      }
      if (kept !== null && before !== null && before.log_id === logId && before.version > after) {
        const isNew = Math.abs(now - before.issued_at) < renewMs / 2
        const isSame = before.keys.every((key) => trusted.some((grant) => isSameKey(grant, key)))
        if (isNew && isSame && before.keys.length === trusted.length) return kept
      }
      const bundle: TrustBundle = {
        version: Math.max(after, before?.version ?? 0) + 1,
        log_id: logId,
        predecessor,
        issued_at: now,
        expires_at: now + lifeMs,
        window_ms: terms.windowMs,
        max_staleness_ms: terms.maxStalenessMs,
        checkpoint_interval_ms: terms.checkpointIntervalMs,
        keys: trusted.map((grant) => withBegin(grant, before, now + terms.maxStalenessMs)),
      }
      const { body, header } = signBundle(bundle, rootKey)
      return store.putBundle({ version: bundle.version, body, signature: header })
    },
  }
}

// A consumer may be one staleness budget behind: a key that joins a running log waits that long before it
// signs, else its first signatures meet consumers that do not know it. Keys of the first bundle have no such consumers.
function withBegin(grant: KeyGrant, before: TrustBundle | null, earliest: number): KeyGrant {
  if (before === null) return grant
  const known = before.keys.find((key) => isSameKey(key, grant))
  return { ...grant, not_before: known?.not_before ?? Math.max(grant.not_before, earliest) }
}

/** A name given to other bytes is another key. */
function isSameKey(one: KeyGrant, other: KeyGrant): boolean {
  return one.key_id === other.key_id && Buffer.compare(one.public_key, other.public_key) === 0
}

/**
 * The grants as they stand in the bundle of a log: what seals may seal for its own tenants alone. `main` owns whomever no
 * other log names, which no list can say; consumers ask the bundle of the log that owns a tenant, and no other.
 */
export function grantsOf(grants: readonly KeyGrant[], tenants: readonly string[] | null): readonly KeyGrant[] {
  if (tenants === null) return grants
  return grants.flatMap((grant) => {
    if (grant.use !== 'envelope' && grant.use !== 'derive') return [grant]
    const own = grant.tenants.includes('*') ? tenants : tenants.filter((tenant) => grant.tenants.includes(tenant))
    return own.length === 0 ? [] : [{ ...grant, tenants: [...own] }]
  })
}
