/**
 * Judges an identity by this boundary's own view, when it arrives and again when it is sealed. Pure but
 * for clock and view.
 */
import type { KeyRing } from '@countersign/envelope'
import type { Clock } from '@countersign/kernel'
import type { ByTenant, SignalsView } from '@countersign/replica'
import { scopeOf, targetKey } from '@countersign/revocation'
import type { LogPosition, TargetVersion } from '@countersign/schemas'
import { type Denial, denied } from './denial.ts'
import type { IdentityTarget, ResolvedIdentity } from './identity.ts'
import { isResolved, type Presented } from './presented.ts'

/** An identity that is not refused now. */
export interface Judged {
  readonly ok: true
  readonly targets: readonly TargetVersion[]
  /** Scopes no signal has removed, sorted. */
  readonly scopes: readonly string[]
  /** The higher of what this view has reached and what identity's answer named. */
  readonly position: LogPosition
}

/** What an identity is judged by. */
export type JudgingView = Pick<SignalsView, 'floors' | 'freshness' | 'position' | 'reached' | 'ring'>

export interface AuthorityOptions {
  /** Where several logs own the tenants between them, each identity is judged by its tenant's. */
  readonly replica: JudgingView & { readonly byTenant?: ByTenant<JudgingView> }
  readonly clock: Clock
  readonly keyId: string
}

export class Authority {
  readonly #options: AuthorityOptions
  readonly #targets = new WeakMap<ResolvedIdentity, readonly TargetVersion[]>()

  constructor(options: AuthorityOptions) {
    this.#options = options
  }

  /** @returns what is left of the identity, or why it is refused. Cost: one table look-up per target. */
  judge(presented: Presented): Judged | Denial {
    const { identity, at, remembered = false, transaction } = presented
    const { replica, clock } = this.#options
    const now = clock.now()
    const view = this.viewOf(identity.tenant)
    const ring = view.ring()
    if (ring === null || !this.keyInForce(ring, now) || this.#isBanned(view, ring)) return denied('key_not_in_force')
    // Whoever answered has other logs for tenants than this boundary has: no consumer would take what it seals.
    if (identity.position && replica.byTenant?.isElsewhere(identity.position, identity.tenant)) {
      return denied('credential_invalid', 'position_other_log')
    }
    if (identity.expiresAt !== null && now >= identity.expiresAt) return denied('credential_expired')
    const { window_ms: windowMs, max_staleness_ms: budgetMs } = ring.bundle
    const resolved = isResolved(presented)
    if (!resolved && now - at >= windowMs) return denied('credential_too_old')
    // Identity vouched for a resolved one just now; after a budget's time this view must do so.
    if ((!resolved || remembered || now - at > budgetMs) && !isFresh(view, ring)) return denied('view_not_fresh')
    // Its `iat` is a whole second: the position may have been reached at that second's end.
    if (transaction && identity.position && view.reached(identity.position, at + 1000) === 'beyond') {
      return denied('credential_invalid', 'position_beyond')
    }
    return this.judgeFloors(presented)
  }

  /** The view that judges a tenant. */
  viewOf(tenant: string): JudgingView {
    const { replica } = this.#options
    return replica.byTenant?.viewOf(tenant) ?? replica
  }

  /** Whether this view tells what has ended since an answer was given. */
  hasReached({ identity: { position, tenant } }: Presented): boolean {
    return position === null || this.viewOf(tenant).reached(position) === 'reached'
  }

  /**
   * Whether this boundary's key may sign now. A consumer may be one staleness budget behind, so a key signs
   * only once it has been known for longer; before the first bundle there was no consumer to be behind.
   */
  keyInForce(ring: KeyRing, now: number): boolean {
    const grant = ring.grantFor(this.#options.keyId, 'envelope', now)
    if (!grant) return false
    const { version, issued_at: issuedAt, max_staleness_ms: budgetMs } = ring.bundle
    return version === 1 || now - Math.min(grant.not_before, issuedAt) >= budgetMs
  }

  /** Whether this boundary's key was given up: nobody takes what it seals, and the bundle without it is on its way. */
  #isBanned(view: JudgingView, ring: KeyRing): boolean {
    const key = ring.key(this.#options.keyId)
    return key !== undefined && view.floors(key.target.key).length > 0
  }

  /** Whether this boundary's key may sign for the tenant on the logical topic. */
  keyGranted(tenant: string, topic: string): boolean {
    const key = this.viewOf(tenant).ring()?.key(this.#options.keyId)
    return key?.signsTenant(tenant) === true && key.signsTopic(topic)
  }

  /** By floors alone: what has been ended, and what is left. */
  judgeFloors(presented: Presented): Judged | Denial {
    const { identity } = presented
    const view = this.viewOf(identity.tenant)
    let removed: Set<string> | undefined
    const targets = this.targetsOf(presented)
    for (const target of targets) {
      for (const { effect, higher } of view.floors(target.key)) {
        const scope = scopeOf(effect)
        if (scope !== null && identity.scopeVersion < higher) {
          removed ??= new Set()
          removed.add(scope)
        }
        if (scope === null && target.version < higher) return denied('credential_revoked', effect)
      }
    }
    const scopes = removed ? identity.scopes.filter((scope) => removed?.has(scope) !== true) : identity.scopes
    return { ok: true, targets, scopes, position: positionBy(view, identity.position) }
  }

  /** A fan-out seals for one identity many times, and one that is remembered is judged at each use: keys are hashed once. */
  targetsOf({ identity, targets }: Presented): readonly TargetVersion[] {
    if (targets) return targets
    let keyed = this.#targets.get(identity)
    if (!keyed) {
      keyed = identity.targets.map(keyedTarget)
      this.#targets.set(identity, keyed)
    }
    return keyed
  }

  /** @param known of the first of the targets, in this order. */
  extended(known: readonly TargetVersion[], all: readonly IdentityTarget[]): readonly TargetVersion[] {
    return all.length === known.length ? known : [...known, ...all.slice(known.length).map(keyedTarget)]
  }
}

/** Whether a view is proven, and no older than the largest staleness budget. */
export function isFresh(view: Pick<JudgingView, 'freshness'>, ring: KeyRing): boolean {
  const { proven, ageMs } = view.freshness()
  return proven && ageMs <= ring.bundle.max_staleness_ms
}

function positionBy(view: JudgingView, answered: LogPosition | null): LogPosition {
  return answered === null || view.reached(answered) === 'reached' ? view.position() : answered
}

function keyedTarget(target: IdentityTarget): TargetVersion {
  return { kind: target.kind, key: targetKey(target), version: target.version }
}
