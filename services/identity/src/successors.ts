/**
 * Successors: envelopes for work that outlives its own. Identity vouches anew for what it vouched for before, as far as its
 * store and its view still do: the same transaction, event, audience and targets, never a scope more, so often and for so
 * long as it is told. Invariant: nothing here widens, and nothing of it outlives the floors that could stop it.
 */
import {
  begunAt,
  EnvelopeError,
  type KeyRing,
  type OpenedEnvelope,
  Opener,
  type SigningKey,
  seal,
  succeed,
  successionsOf,
} from '@countersign/envelope'
import type { Clock, Millis } from '@countersign/kernel'
import { scopeOf, type Target, targetKey } from '@countersign/revocation'
import type { EnvelopeClaims, LogPosition, TargetVersion } from '@countersign/schemas'
import type { SessionStore, VersionedTarget } from '@countersign/session-store'
import type { Logger, Metrics } from '@countersign/telemetry'
import { keysOfTenant, type LogKeys, type OwnView } from './log/own-view.ts'
import { scopesNow } from './oauth/scopes.ts'
import type { Grants } from './people/grants.ts'
import type { Sessions } from './sessions/sessions.ts'
import type { BoundaryKeys } from './tokens/boundary-tokens.ts'

/** How often and for how long identity goes on vouching. */
export interface SuccessorTerms {
  /** Life of one successor. */
  readonly lifeMs: Millis
  /** Successors of one piece of work. */
  readonly most: number
  /** Life of the work from its first envelope on; the window bounds it anyway. Null for as long as that. */
  readonly workMs: Millis | null
}

export interface SuccessorsOptions {
  readonly store: Pick<SessionStore, 'session' | 'resolveTargets' | 'acknowledgedPosition'>
  readonly view: OwnView & BoundaryKeys
  readonly sessions: Pick<Sessions, 'scopesOf'>
  readonly grants: Grants
  readonly clock: Clock
  readonly epsilonMs: number
  readonly logger: Logger
  readonly metrics: Metrics
  /** Signs successors and nothing else; null when none are made here. */
  readonly key: SigningKey | null
  readonly terms: SuccessorTerms
}

/** Why there is none. `envelope_…` is what opening says. */
export type SuccessorRefusal =
  | `envelope_${string}`
  /** One of its targets has ended, or its person is not active there. */
  | 'authority_ended'
  /** Identity knows neither session nor client of it: it was vouched for by somebody else. */
  | 'authority_unknown'
  /** As many came before it as may. */
  | 'successors_used_up'
  /** The work is as old as it may become. */
  | 'work_too_old'

export type Succeeded =
  | { readonly state: 'made'; readonly envelope: Buffer; readonly claims: EnvelopeClaims }
  | { readonly state: 'refused'; readonly reason: SuccessorRefusal }
  /** The view or the key cannot tell or sign now. */
  | { readonly state: 'unsure' }

/** What still stands of an envelope. */
interface Standing {
  readonly scopes: readonly string[]
  /** Epoch milliseconds; none for what has no session. */
  readonly until: number
}

const WORKLOAD = 'identity'

export class Successors {
  readonly #options: SuccessorsOptions
  readonly #opener = new Opener()

  constructor(options: SuccessorsOptions) {
    this.#options = options
  }

  /** @param header the envelope to go on for, over or not. @throws {SESSION_STORE_UNAVAILABLE}. */
  async succeed(header: Uint8Array): Promise<Succeeded> {
    const result = await this.#succeed(header)
    const { logger, metrics } = this.#options
    metrics.counter('countersign_successors_total', { result: result.state }).add()
    if (result.state === 'made') {
      const { txn, tctx, succession } = result.claims
      logger.info({ txn, tenant: tctx.tenant, count: succession?.count }, 'successor made')
    } else if (result.state === 'refused') logger.info({ reason: result.reason }, 'successor refused')
    return result
  }

  async #succeed(header: Uint8Array): Promise<Succeeded> {
    const { store, view, clock, epsilonMs, key, terms } = this.#options
    const now = clock.now()
    const proven = this.#prove(header, now)
    if (key === null || proven === null) return UNSURE
    if ('code' in proven) return refused(proven.code as SuccessorRefusal)
    const { envelope, keys, ring } = proven
    if (!keys.fresh || !this.#keyInForce(key, ring)) return UNSURE
    const { claims } = envelope
    if (successionsOf(envelope) >= terms.most) return refused('successors_used_up')
    const began = begunAt(envelope)
    const { window_ms: windowMs, max_staleness_ms: budgetMs } = ring.bundle
    const longest = Math.min(terms.workMs ?? windowMs, windowMs - budgetMs - epsilonMs)
    if (now >= began + longest) return refused('work_too_old')
    const standing = await this.#standing(envelope)
    if (typeof standing === 'string') return refused(standing)
    // Read after what was judged: whatever ended before, and is acknowledged, is at or below it.
    const { position: before, tenant } = claims.tctx
    const position = later(before, await store.acknowledgedPosition(view.logOf?.(tenant)))
    const iat = Math.max(now, claims.iat)
    const exp = Math.min(now + terms.lifeMs, began + longest, standing.until)
    if (exp <= iat) return refused('authority_ended')
    const scope = claims.scope.filter((one) => standing.scopes.includes(one))
    const next = succeed({ header, envelope }, { scope, iat, exp, reqWl: WORKLOAD, position })
    const made = sealed(next, key)
    return made === null ? refused('envelope_oversize') : { state: 'made', envelope: made, claims: next }
  }

  /**
   * Opens it by the keys of the log that owns its tenant.
   * @returns null while those cannot tell.
   */
  #prove(header: Uint8Array, now: number): Proven | { readonly code: string } | null {
    const { view, epsilonMs } = this.#options
    const logs = view.byTenant?.views ?? [view]
    let code: string | null = null
    for (const keys of logs) {
      const ring = keys.ring()
      if (ring === null || !keys.fresh) continue
      const opened = this.#opener.prove(header, { ring, now, epsilonMs })
      const owns = opened.ok && keysOfTenant(view, opened.envelope.claims.tctx.tenant) === keys
      if (opened.ok && owns) return { envelope: opened.envelope, keys, ring }
      const fault = opened.ok ? 'envelope_key_tenant' : opened.code
      if (code === null || code === 'envelope_key_unknown') code = fault
    }
    return code === null || logs.some((keys) => !keys.fresh) ? null : { code }
  }

  /** What stands of its authority now: by the view, which the log has the last word in, and by the store. */
  async #standing(envelope: OpenedEnvelope): Promise<Standing | SuccessorRefusal> {
    const { store, view, sessions, grants, clock } = this.#options
    const { claims } = envelope
    const { tctx, sub } = claims
    const { tenant, session: handle, client, act } = tctx
    const named = namedTargets(claims)
    if (named === null) return 'authority_unknown'
    const taken = takenOf(view, envelope)
    if (taken === null) return 'authority_ended'
    const left = (scopes: readonly string[]): readonly string[] => scopes.filter((scope) => !taken.has(scope))
    const place = await store.resolveTargets({ targets: named, sub, tenant })
    if (handle === null) {
      // Without a session it was a service's own, by its client; a webhook or schedule is its boundary's to vouch for.
      if (client === null || tctx.principal !== 'service' || act.length > 0) return 'authority_unknown'
      if (place === null) return 'authority_ended'
      return { scopes: left(scopesNow(view, grants, { sub, tenant, ...place })), until: Number.POSITIVE_INFINITY }
    }
    const session = await store.session(handle, clock.now())
    if (session === null || place === null) return 'authority_ended'
    if (session.sub !== sub || session.tenant !== tenant) return 'authority_unknown'
    const scopes = await sessions.scopesOf({ session, ...place } as Parameters<Sessions['scopesOf']>[0])
    return { scopes: left(scopes), until: session.absoluteExpiresAt }
  }

  /** As for boundaries: a consumer may be one staleness budget behind. */
  #keyInForce({ keyId }: SigningKey, ring: KeyRing): boolean {
    const now = this.#options.clock.now()
    const grant = ring.grantFor(keyId, 'envelope', now)
    if (!grant) return false
    const { version, issued_at: issuedAt, max_staleness_ms: budgetMs } = ring.bundle
    return version === 1 || now - Math.min(grant.not_before, issuedAt) >= budgetMs
  }
}

interface Proven {
  readonly envelope: OpenedEnvelope
  readonly keys: LogKeys
  readonly ring: KeyRing
}

const UNSURE: Succeeded = { state: 'unsure' }

function refused(reason: SuccessorRefusal): Succeeded {
  return { state: 'refused', reason }
}

/** @returns null when it would be longer than envelopes may be: it says more of itself than what it goes on for. */
function sealed(claims: EnvelopeClaims, key: SigningKey): Buffer | null {
  try {
    return seal([claims], key)[0] as Buffer
  } catch (error) {
    if (error instanceof EnvelopeError && error.code === 'ENVELOPE_SEAL_OVERSIZE') return null
    throw error
  }
}

/** @returns the scopes that floors have taken; null when one of the targets has ended. */
function takenOf(view: OwnView, { claims, targets }: OpenedEnvelope): Set<string> | null {
  const taken = new Set<string>()
  for (const { key, version } of targets) {
    for (const { effect, higher } of view.floors(key)) {
      const scope = scopeOf(effect)
      if (scope === null && version < higher) return null
      if (scope !== null && claims.tctx.scope_version < higher) taken.add(scope)
    }
  }
  return taken
}

/**
 * The targets whose names the claims tell, as the store knows them. Its keys are hashes, so each is found by hashing what it
 * must be.
 * @returns null when somebody or something is named that is no target: nothing would end the work with it.
 */
function namedTargets({ sub, txn, tctx }: EnvelopeClaims): readonly VersionedTarget[] | null {
  const { tenant, client, device, session, targets, act } = tctx
  const found = (...any: readonly Target[]): VersionedTarget | null => {
    for (const { kind, tenant: of, id } of any) {
      const target = versionOf(targets, targetKey({ kind, tenant: of, id }))
      if (target) return { kind, tenant: of, id, version: target.version }
    }
    return null
  }
  const one = (kind: Target['kind'], id: string): Target => ({ kind, tenant: '', id })
  const named = [
    found({ kind: 'tenant', tenant, id: '' }),
    found(one('subject', sub)),
    found({ kind: 'affiliation', tenant, id: sub }),
    ...(client === null ? [] : [found(one('client', client))]),
    ...(device === null ? [] : [found(one('device', device))]),
    ...(session === null ? [] : [found(one('session', session), one('family', session))]),
  ]
  const transaction = found(one('transaction', txn))
  if (transaction === null || named.some((target) => target === null)) return null
  // Consumers that act for it are none of identity's: who stood behind it at the boundary is a target, or is a workload.
  const actors = act.map(({ sub: actor }) => found(one('subject', actor)))
  return [...named, ...actors].filter((target) => target !== null)
}

function versionOf(targets: readonly TargetVersion[], key: Buffer): TargetVersion | undefined {
  return targets.find((target) => key.equals(target.key))
}

/** The later of two positions on one log; what is on another is not comparable, and the first stays. */
function later(first: LogPosition, second: LogPosition | null): LogPosition {
  return second !== null && second.log_id === first.log_id && second.offset > first.offset ? second : first
}
