/**
 * Judges an identity by this boundary's own view, when it arrives and again when it is sealed. Pure but
 * for clock and view.
 */
import type { KeyRing } from '@countersign/envelope'
import type { Clock } from '@countersign/kernel'
import type { SignalsView } from '@countersign/replica'
import { scopeOf, targetKey } from '@countersign/revocation'
import type { LogPosition, TargetVersion } from '@countersign/schemas'
import { type Denial, denied } from './denial.ts'
import type { ResolvedIdentity } from './identity.ts'

/** An identity that is not refused now. */
export interface Judged {
  readonly ok: true
  readonly targets: readonly TargetVersion[]
  /** Scopes no signal has removed, sorted. */
  readonly scopes: readonly string[]
  /** The higher of what this view has reached and what identity's answer named. */
  readonly position: LogPosition
}

export interface AuthorityOptions {
  readonly replica: Pick<SignalsView, 'floors' | 'freshness' | 'position' | 'reached' | 'ring'>
  readonly clock: Clock
  readonly keyId: string
}

/** A credential and when it was made or last confirmed; epoch milliseconds. */
export interface Presented {
  readonly identity: ResolvedIdentity
  /** When it was made, for self-contained ones; when identity answered, for resolved ones. */
  readonly at: number
}

export class Authority {
  readonly #options: AuthorityOptions
  readonly #targets = new WeakMap<ResolvedIdentity, readonly TargetVersion[]>()

  constructor(options: AuthorityOptions) {
    this.#options = options
  }

  /** @returns what is left of the identity, or why it is refused. Cost: one table look-up per target. */
  judge({ identity, at }: Presented): Judged | Denial {
    const { replica, clock } = this.#options
    const now = clock.now()
    const ring = replica.ring()
    if (ring === null || !this.keyInForce(ring, now)) return denied('key_not_in_force')
    if (identity.expiresAt !== null && now >= identity.expiresAt) return denied('credential_expired')
    const resolved = identity.credential === 'session_cookie' || identity.credential === 'opaque_token'
    const { window_ms: windowMs, max_staleness_ms: budgetMs } = ring.bundle
    if (!resolved && now - at >= windowMs) return denied('credential_too_old')
    // Identity vouched for a resolved one just now; after a budget's time this view must do so.
    if (!resolved || now - at > budgetMs) {
      const { proven, ageMs } = replica.freshness()
      if (!proven || !(ageMs <= budgetMs)) return denied('view_not_fresh')
    }
    return this.#judgeFloors(identity)
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

  /** Whether this boundary's key may sign for the tenant on the logical topic. */
  keyGranted(tenant: string, topic: string): boolean {
    const key = this.#options.replica.ring()?.key(this.#options.keyId)
    return key?.signsTenant(tenant) === true && key.signsTopic(topic)
  }

  #judgeFloors(identity: ResolvedIdentity): Judged | Denial {
    const { replica } = this.#options
    const removed = new Set<string>()
    const targets = this.#targetsOf(identity)
    for (const target of targets) {
      for (const { effect, higher } of replica.floors(target.key)) {
        const scope = scopeOf(effect)
        if (scope !== null && identity.scopeVersion < higher) removed.add(scope)
        if (scope === null && target.version < higher) return denied('credential_revoked', effect)
      }
    }
    const scopes = identity.scopes.filter((scope) => !removed.has(scope))
    return { ok: true, targets, scopes, position: this.#position(identity.position) }
  }

  // A fan-out seals for one identity many times; its target keys are hashed once.
  #targetsOf(identity: ResolvedIdentity): readonly TargetVersion[] {
    let targets = this.#targets.get(identity)
    if (!targets) {
      targets = identity.targets.map((target) => ({
        kind: target.kind,
        key: targetKey(target),
        version: target.version,
      }))
      this.#targets.set(identity, targets)
    }
    return targets
  }

  #position(answered: LogPosition | null): LogPosition {
    const { replica } = this.#options
    return answered === null || replica.reached(answered) === 'reached' ? replica.position() : answered
  }
}
