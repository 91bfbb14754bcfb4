/**
 * Logging in and being known again. An unknown account, a wrong password and a suspended person take as
 * long and read the same.
 */
import { createHash } from 'node:crypto'
import { type Clock, type Millis, minutes, newHandle, type Random, seconds } from '@countersign/kernel'
import { affiliationTarget, type Target, target, tenantTarget } from '@countersign/revocation'
import type { Actor, CredentialKind, LogPosition, PrincipalKind } from '@countersign/schemas'
import type {
  Account,
  Affiliation,
  AttemptRule,
  ResolvedSession,
  Session,
  SessionStore,
  VersionedTarget,
} from '@countersign/session-store'
import type { Metrics } from '@countersign/telemetry'
import { derivedId, requestDigest } from './answers.ts'
import type { Authority } from './authority.ts'
import { type Grants, scopesOf } from './grants.ts'
import type { Journey } from './journey.ts'
import type { Delivery } from './outbox.ts'
import { isEndedOnLog, type OwnView, scopesLeft, seenVersions } from './own-view.ts'
import type { Passwords } from './passwords.ts'

/** How long sessions live. */
export interface SessionLives {
  readonly idleMs: Millis
  readonly absoluteMs: Millis
}

export interface LoginRequest {
  readonly email: string
  readonly password: string
  /** Null: the person's only tenant. */
  readonly tenant: string | null
  /** Address it came from. */
  readonly source: string
  /** Cookie the browser had already; its session ends with this login. */
  readonly replacing: string | null
  readonly requestId?: string
}

export type LoginFault =
  | 'login_failed'
  | 'tenant_required'
  | 'login_slowed'
  | 'login_busy'
  | 'view_starting'
  | 'store_behind_log'

export type LoginResult =
  | { readonly ok: true; readonly cookie: string; readonly session: Session; readonly scopes: readonly string[] }
  | {
      readonly ok: false
      readonly code: LoginFault
      readonly retryAfterMs?: Millis
      readonly tenants?: readonly string[]
    }

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

export interface LoginOptions {
  readonly store: SessionStore
  readonly view: OwnView
  readonly authority: Authority
  readonly delivery: Pick<Delivery, 'kick'>
  readonly passwords: Passwords
  readonly clock: Clock
  readonly random: Random
  readonly metrics: Metrics
  readonly journey: Journey
  readonly lives: SessionLives
  readonly grants: Grants
  readonly repair: () => Promise<void>
}

const COOKIE_BYTES = 32
// One household or office shares an address, so it gets more than one account does.
const FREE_PER_ACCOUNT = 5
const FREE_PER_SOURCE = 50
const SLOWING: Omit<AttemptRule, 'keys'> = { baseMs: seconds(1), maxMs: minutes(5), forgetMs: minutes(30) }
const MOST_CHECKS = 256

export class Logins {
  readonly #options: LoginOptions

  constructor(options: LoginOptions) {
    this.#options = options
  }

  /** Judges a login and begins a session. @throws {SESSION_STORE_UNAVAILABLE}. */
  async login(request: LoginRequest): Promise<LoginResult> {
    const { clock, metrics, journey } = this.#options
    const began = clock.monotonic()
    const result = await this.#login(request)
    const outcome = result.ok ? 'issued' : result.code
    metrics.counter('countersign_logins_total', { result: outcome }).add()
    journey.issuance({
      actor: result.ok ? result.session.sub : 'unknown',
      ...(result.ok ? { sub: result.session.sub, session: result.session.handle, tenant: result.session.tenant } : {}),
      ...(result.ok ? { scopes: result.scopes } : {}),
      ...(request.requestId === undefined ? {} : { requestId: request.requestId }),
      outcome,
      latencyMs: clock.monotonic() - began,
    })
    return result
  }

  /** @returns the live session of a cookie value, and moves its idle expiry on; null for none. @throws {SESSION_STORE_UNAVAILABLE}. */
  async known(cookie: string): Promise<Known | null> {
    const { store, view, clock, lives, grants } = this.#options
    const hash = cookieHash(cookie)
    if (hash === null) return null
    const now = clock.now()
    const resolved = await store.resolveSession(hash, now)
    // The log has the last word: a store that was rolled back may still think this session alive.
    if (resolved === null || isEndedOnLog(view, resolved.session)) return null
    const { handle, lastSeenAt } = resolved.session
    // Not on every use: each move is a synced write.
    if (now - lastSeenAt > Math.min(minutes(1), lives.idleMs / 10))
      await store.touchSession(handle, now, now + lives.idleMs)
    const { sub, tenant } = resolved.session
    const left = scopesLeft(
      view,
      affiliationTarget(tenant, sub),
      resolved.scopeVersion,
      scopesOf(resolved.roles, grants),
    )
    return { ...resolved, scopes: left }
  }

  /** @returns what a boundary needs of a cookie value; null for one that is not live. @throws {SESSION_STORE_UNAVAILABLE}. */
  async resolve(cookie: string): Promise<ResolvedIdentity | null> {
    const known = await this.known(cookie)
    if (known === null) return null
    // Read after the session: whatever ended before it was read, and is acknowledged, is at or below it.
    const position = await this.#options.store.acknowledgedPosition()
    const { session, scopes, scopeVersion } = known
    return {
      sub: session.sub,
      tenant: session.tenant,
      principal: 'user',
      act: [],
      credential: 'session_cookie',
      scopes,
      scopeVersion,
      session: session.handle,
      ...(session.device === null ? {} : { device: session.device }),
      targets: session.targets,
      authTime: session.authTime,
      ...(session.acr === null ? {} : { acr: session.acr }),
      amr: session.amr,
      position,
      expiresAt: session.absoluteExpiresAt,
    }
  }

  async #login(request: LoginRequest): Promise<LoginResult> {
    const { store, view, passwords, clock } = this.#options
    if (!view.started) return { ok: false, code: 'view_starting', retryAfterMs: seconds(1) }
    if (passwords.load >= MOST_CHECKS) return { ok: false, code: 'login_busy', retryAfterMs: seconds(1) }
    const email = addressOf(request.email)
    const byAccount = attemptKey('account', email)
    const bySource = attemptKey('source', request.source)
    const keys = [
      { key: byAccount, free: FREE_PER_ACCOUNT },
      { key: bySource, free: FREE_PER_SOURCE },
    ]
    const wait = await store.admitAttempt({ ...SLOWING, keys, now: clock.now() })
    if (wait > 0) return { ok: false, code: 'login_slowed', retryAfterMs: wait }

    const account = await store.accountByEmail(email)
    const matches = await passwords.verify(request.password, account?.password ?? null)
    if (!account || !matches || account.state !== 'active') return { ok: false, code: 'login_failed' }
    const places = (await store.affiliationsOf(account.sub)).filter((place) => place.state === 'active')
    const place = request.tenant === null ? onlyOne(places) : places.find((p) => p.tenant === request.tenant)
    if (!place && request.tenant === null && places.length > 1) {
      await store.settleAttempt({ cleared: [byAccount], refunded: [bySource] })
      return { ok: false, code: 'tenant_required', tenants: places.map((p) => p.tenant) }
    }
    if (!place) return { ok: false, code: 'login_failed' }
    const result = await this.#issue(request, account, place)
    if (result.ok) await store.settleAttempt({ cleared: [byAccount], refunded: [bySource] })
    return result
  }

  async #issue(request: LoginRequest, account: Account, place: Affiliation, repaired = false): Promise<LoginResult> {
    const { store, view, authority, delivery, clock, random, lives, grants, repair } = this.#options
    const now = clock.now()
    const secret = random.bytes(COOKIE_BYTES)
    const { sub, revision } = account
    const { tenant } = place
    const replacing = request.replacing === null ? null : await this.known(request.replacing)
    const targets: Target[] = [tenantTarget(tenant), target('subject', sub), affiliationTarget(tenant, sub)]
    const result = await store.createSession({
      handle: newHandle(random, 'ses'),
      secretHash: hashOf(secret),
      sub,
      tenant,
      device: null,
      authTime: now,
      amr: ['pwd'],
      acr: null,
      idleExpiresAt: now + lives.idleMs,
      absoluteExpiresAt: now + lives.absoluteMs,
      accountRevision: revision,
      atLeast: seenVersions(view, targets),
      seenSeq: view.outboxSeq,
      now,
      replaces: replacing === null ? null : authority.step('relogin', replacement(replacing.session)),
    })
    if (!('refused' in result)) {
      delivery.kick()
      return {
        ok: true,
        cookie: secret.toString('base64url'),
        session: result.session,
        scopes: scopesOf(place.roles, grants),
      }
    }
    if (result.refused !== 'store_behind_log') return { ok: false, code: 'login_failed' }
    if (repaired) return { ok: false, code: 'store_behind_log', retryAfterMs: seconds(1) }
    await repair()
    // What was checked is from before the repair: look again, the password may be void now.
    const [again, placeAgain] = [await store.account(sub), await store.affiliation(tenant, sub)]
    if (again?.state !== 'active' || again.revision !== revision || placeAgain?.state !== 'active')
      return { ok: false, code: 'login_failed' }
    return this.#issue(request, again, placeAgain, true)
  }
}

/** One spelling per address: people do not type theirs the same way twice. */
export function addressOf(email: string): string {
  return email.trim().normalize('NFC').toLowerCase()
}

/** SHA-256 of what a cookie value stands for; null for what cannot be one. */
export function cookieHash(cookie: string): Buffer | null {
  const secret = Buffer.from(cookie, 'base64url')
  // One spelling per value: base64url decoding skips what it does not know.
  return secret.length === COOKIE_BYTES && secret.toString('base64url') === cookie ? hashOf(secret) : null
}

function hashOf(secret: Buffer): Buffer {
  return createHash('sha256').update(secret).digest()
}

function replacement({ handle, sub, tenant }: Session): Parameters<Authority['step']>[1] {
  return {
    id: derivedId('relogin', handle),
    request: requestDigest(['relogin', handle]),
    initiator: sub,
    tenant,
    change: { kind: 'session_ended', handle },
    facts: { target: target('session', handle) },
  }
}

function onlyOne<T>(items: readonly T[]): T | undefined {
  return items.length === 1 ? items[0] : undefined
}

// What people type into an address field is sometimes their password: only its hash is kept.
function attemptKey(kind: string, text: string): string {
  return `${kind}:${createHash('sha256').update(text).digest('base64url')}`
}
