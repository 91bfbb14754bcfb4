/**
 * Beginning sessions of every kind, and knowing them again. The only caller of the store's beginning step:
 * limits, versions and the repair of a rolled-back store hold for all of them.
 */
import { type Clock, type Millis, minutes, newHandle, type Random } from '@countersign/kernel'
import { affiliationTarget, type Target, target, tenantTarget } from '@countersign/revocation'
import type { Actor, CredentialKind, LogPosition, PrincipalKind } from '@countersign/schemas'
import type {
  Ending,
  NewSession,
  Refusal,
  ResolvedSession,
  Revocation,
  Session,
  SessionStore,
  VersionedTarget,
} from '@countersign/session-store'
import { derivedId, requestDigest } from '../answers.ts'
import type { Authority, EndingRun } from '../authority.ts'
import type { Delivery } from '../log/outbox.ts'
import { isEndedOnLog, type OwnView, scopesLeft, seenVersions } from '../log/own-view.ts'
import { ADMIN_SCOPE, type Grants, scopesOf } from '../people/grants.ts'
import { type Presented, sessionHash } from './credentials.ts'
import { type SessionKinds, targetOf, whoGoes } from './kinds.ts'

/** A session to begin; what is left out is null, empty or now. */
export interface Beginning extends Pick<NewSession, 'kind' | 'credential' | 'sub' | 'tenant' | 'amr'> {
  readonly handle?: string
  readonly client?: string | null
  readonly device?: NewSession['device']
  readonly factor?: NewSession['factor']
  readonly act?: readonly Actor[]
  readonly parent?: string | null
  readonly scope?: readonly string[] | null
  readonly authTime?: number
  readonly acr?: string | null
  readonly accountRevision?: number | null
  readonly codeHash?: Buffer | null
  /** Absolute end, epoch milliseconds, if before the kind's own. */
  readonly notAfter?: number
  /** Sessions that end with this beginning, in the same step: they go on as this one. */
  readonly replaces?: readonly Session[]
}

export type Begun =
  | { readonly ok: true; readonly session: Session; readonly ended: readonly Revocation[] }
  | { readonly ok: false; readonly code: Refusal | 'view_starting' }

/** What a boundary learns of a session. */
export interface ResolvedIdentity {
  readonly sub: string
  readonly tenant: string
  readonly principal: PrincipalKind
  readonly act: readonly Actor[]
  readonly credential: CredentialKind
  readonly scopes: readonly string[]
  readonly scopeVersion: number
  readonly session: string
  readonly client?: string
  readonly device?: string
  readonly targets: readonly VersionedTarget[]
  readonly authTime: number
  readonly acr?: string
  readonly amr: readonly string[]
  /** Highest position acknowledged when this was read; null before any. */
  readonly position: LogPosition | null
  readonly expiresAt: number
}

/** A live session and whose it is. */
export interface Known extends ResolvedSession {
  readonly scopes: readonly string[]
}

export interface SessionsOptions {
  readonly store: SessionStore
  readonly view: OwnView
  readonly authority: Pick<Authority, 'step' | 'tell'>
  readonly delivery: Pick<Delivery, 'kick'>
  readonly clock: Clock
  readonly random: Random
  readonly kinds: SessionKinds
  readonly grants: Grants
  readonly repair: () => Promise<void>
}

const TRIES = 5

export class Sessions {
  readonly #options: SessionsOptions

  constructor(options: SessionsOptions) {
    this.#options = options
  }

  /** Begins a session; those a limit lets go end in the same step, each with its signal. @throws {SESSION_STORE_UNAVAILABLE}. */
  async begin(beginning: Beginning): Promise<Begun> {
    const { store, view, authority, delivery, clock, kinds, repair } = this.#options
    // A rolled-back store would give sequences out again that the log has, and nobody could tell any more.
    if (!view.started) return { ok: false, code: 'view_starting' }
    const rule = kinds[beginning.kind]
    const replaced = (beginning.replaces ?? []).map((session) => endingOf('relogin', session))
    let leaving: readonly EndingOf[] = []
    for (let tries = 1; ; tries++) {
      const endings = [...replaced, ...leaving]
      const ends = endings.map(({ path, run }) => authority.step(path, run))
      const result = await store.createSession(this.#newSession(beginning, clock.now(), ends))
      if (!('refused' in result)) {
        delivery.kick()
        for (const revocation of result.ended) {
          const ending = endings.find(({ run }) => run.id.equals(revocation.id))
          if (ending) authority.tell(ending.path, ending.run, revocation)
        }
        return { ok: true, ...result }
      }
      const { refused } = result
      const again = refused === 'store_behind_log' || (refused === 'session_limit' && rule.whoGoes !== 'refuse')
      if (!again || tries === TRIES) return { ok: false, code: refused }
      // What was checked before a repair, the store checks again: account, affiliation, parent, device and client.
      if (refused === 'store_behind_log') await repair()
      else leaving = await this.#leaving(beginning)
    }
  }

  /** @returns the live session presented, and moves its idle expiry on; null for none. @throws {SESSION_STORE_UNAVAILABLE}. */
  async known(presented: Presented): Promise<Known | null> {
    const { store, view, clock, kinds } = this.#options
    const hash = sessionHash(presented)
    if (hash === null) return null
    const now = clock.now()
    const resolved = await store.resolveSession(hash, now)
    // The log has the last word: a store that was rolled back may still think this session alive.
    if (resolved === null || isEndedOnLog(view, resolved.session)) return null
    const { handle, lastSeenAt, kind } = resolved.session
    const { idleMs } = kinds[kind]
    // Not on every use: each move is a synced write.
    if (now - lastSeenAt > Math.min(minutes(1), idleMs / 10)) await store.touchSession(handle, now, now + idleMs)
    return { ...resolved, scopes: await this.scopesOf(resolved) }
  }

  /**
   * What a session lets do now: what its person's roles grant, within its own scope, within what each actor in it may
   * do now, less what the log has taken. To administer takes a session of kind `admin`.
   * @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async scopesOf({ session, roles, scopeVersion }: ResolvedSession): Promise<readonly string[]> {
    const { store } = this.#options
    const { tenant, sub, kind, scope, act } = session
    let left = this.#granted(tenant, sub, roles, scopeVersion)
    if (scope !== null) left = left.filter((one) => scope.includes(one))
    if (kind !== 'admin' || act.length > 0) left = left.filter((one) => one !== ADMIN_SCOPE)
    for (const actor of act) {
      const place = await store.resolveTargets({ targets: [], sub: actor.sub, tenant })
      const theirs = place === null ? [] : this.#granted(tenant, actor.sub, place.roles, place.scopeVersion)
      // Who may not administer any more acts for nobody.
      left = theirs.includes(ADMIN_SCOPE) ? left.filter((one) => theirs.includes(one)) : []
    }
    return left
  }

  /** @returns what a boundary needs of a session; null for one that is not live. @throws {SESSION_STORE_UNAVAILABLE}. */
  async resolve(presented: Presented): Promise<ResolvedIdentity | null> {
    const known = await this.known(presented)
    if (known === null) return null
    // Read after the session: whatever ended before it was read, and is acknowledged, is at or below it.
    const { session, account, scopes, scopeVersion } = known
    const { store, view } = this.#options
    const position = await store.acknowledgedPosition(view.logOf?.(session.tenant))
    return {
      sub: session.sub,
      tenant: session.tenant,
      principal: account.principal,
      act: session.act,
      credential: presented.as === 'cookie' ? 'session_cookie' : 'opaque_token',
      scopes,
      scopeVersion,
      session: session.handle,
      ...(session.client === null ? {} : { client: session.client }),
      ...(session.device === null ? {} : { device: session.device }),
      targets: session.targets,
      authTime: session.authTime,
      ...(session.acr === null ? {} : { acr: session.acr }),
      amr: session.amr,
      position,
      expiresAt: session.absoluteExpiresAt,
    }
  }

  #newSession(beginning: Beginning, now: number, ends: readonly Ending[]): NewSession {
    const { view, random, kinds } = this.#options
    const { kind, credential, sub, tenant, amr, notAfter = Number.POSITIVE_INFINITY } = beginning
    const { client = null, device = null, factor = null } = beginning
    const rule = kinds[kind]
    const absoluteExpiresAt = Math.min(now + rule.absoluteMs, notAfter)
    const targets: Target[] = [
      tenantTarget(tenant),
      target('subject', sub),
      affiliationTarget(tenant, sub),
      ...(client === null ? [] : [target('client', client)]),
      ...(device === null ? [] : [target('device', device.handle)]),
      ...(factor === null ? [] : [target('device', factor.handle)]),
    ]
    return {
      handle: beginning.handle ?? newHandle(random, kind === 'family' || kind === 'device' ? 'fam' : 'ses'),
      kind,
      credential,
      sub,
      tenant,
      client,
      device,
      factor,
      act: beginning.act ?? [],
      parent: beginning.parent ?? null,
      scope: beginning.scope ?? null,
      authTime: beginning.authTime ?? now,
      amr,
      acr: beginning.acr ?? null,
      idleExpiresAt: Math.min(now + rule.idleMs, absoluteExpiresAt),
      absoluteExpiresAt,
      accountRevision: beginning.accountRevision ?? null,
      codeHash: beginning.codeHash ?? null,
      atLeast: seenVersions(view, targets),
      seenSeq: view.outboxSeq,
      now,
      ends,
      // An administrator who comes to act as somebody takes none of their own sessions.
      most: beginning.act?.length ? null : rule.most,
    }
  }

  // The store judges the limit; who goes is chosen from what it last showed, and chosen anew when that has changed.
  async #leaving({ sub, kind, replaces = [] }: Beginning): Promise<readonly EndingOf[]> {
    const { store, clock, kinds } = this.#options
    const replaced = new Set(replaces.map(({ handle }) => handle))
    const live = await store.sessionsOf(sub, clock.now())
    const counted = live.filter((session) => session.kind === kind && !replaced.has(session.handle))
    return whoGoes(counted, kinds[kind]).map((session) => endingOf('session_limit', session))
  }

  #granted(tenant: string, sub: string, roles: readonly string[], version: number): readonly string[] {
    const { view, grants } = this.#options
    return scopesLeft(view, affiliationTarget(tenant, sub), version, scopesOf(roles, grants))
  }
}

interface EndingOf {
  readonly path: 'relogin' | 'session_limit'
  readonly run: EndingRun
}

// Its id follows from the session: it ends once, whoever comes first.
function endingOf(path: EndingOf['path'], session: Session): EndingOf {
  const { handle, sub, tenant } = session
  const run: EndingRun = {
    id: derivedId(path, handle),
    request: requestDigest([path, handle]),
    initiator: sub,
    tenant,
    change: { kind: 'session_ended', handle },
    facts: { target: targetOf(session) },
  }
  return { path, run }
}

/** True when the person of this session showed themselves lately enough for an act that gives authority. */
export function isRecent(
  { kind, authTime, newDevice }: Session,
  { kinds, newDevice: rule, now }: { kinds: SessionKinds; newDevice: NewDeviceRule; now: number },
): boolean {
  const within: Millis | null = kinds[kind].reauthenticateMs
  return within !== null && now - authTime <= within && !(newDevice && rule === 'reauthenticate')
}

/** What a device seen for the first time means: `reauthenticate` asks its person once more before they give authority. */
export type NewDeviceRule = 'record' | 'reauthenticate'
