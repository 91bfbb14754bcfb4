/**
 * Logging in, and showing oneself again. An unknown account, a wrong password and a suspended person take as
 * long and read the same. Whatever cookie a request brought, a new one begins here: none is ever adopted.
 */

import type { Journey } from '@countersign/journey'
import { type Clock, type Millis, newHandle, type Random, seconds } from '@countersign/kernel'
import type { Account, Affiliation, NewSession, Session, SessionStore } from '@countersign/session-store'
import type { Metrics } from '@countersign/telemetry'
import { PASSWORD, type Strength } from '../factors/strength.ts'
import type { OwnView } from '../log/own-view.ts'
import { attempt } from '../people/attempts.ts'
import { ADMIN_SCOPE, type Grants, scopesOf } from '../people/grants.ts'
import type { Passwords } from '../people/passwords.ts'
import { deviceHash, mintCookie, mintDevice } from './credentials.ts'
import type { Known, Sessions } from './sessions.ts'

/** The browser a request came from. */
export interface Browser {
  /** Device cookie it has, null for none. */
  readonly device: string | null
  /** As people recognise it. */
  readonly name: string
}

export interface LoginRequest {
  readonly email: string
  readonly password: string
  /** Null: the person's only tenant. */
  readonly tenant: string | null
  /** Address it came from. */
  readonly source: string
  /** Session cookies the browser had already; their sessions end with this login. */
  readonly replacing: readonly string[]
  /** Null where there is no browser: no device is recorded. */
  readonly browser: Browser | null
  readonly requestId?: string
}

export interface ReauthenticationRequest {
  /** Session to show oneself again in. */
  readonly known: Known
  readonly password: string
  readonly source: string
  readonly browser: Browser
  readonly requestId?: string
}

/** A session to go on with, now that its person has shown a factor. */
export interface StepUpRequest {
  readonly known: Known
  readonly strength: Strength
  /** Used up in the step that begins the new session; the one it is in must be live then. */
  readonly factor: NonNullable<NewSession['factor']>
  readonly browser: Browser
}

export type LoginFault =
  | 'login_failed'
  | 'tenant_required'
  | 'login_slowed'
  | 'login_busy'
  | 'view_starting'
  | 'session_limit'
  | 'factor_used'
  | 'store_behind_log'

export type LoginResult =
  | {
      readonly ok: true
      /** New session cookie. */
      readonly cookie: string
      /** New device cookie; null when the one the browser has stands. */
      readonly deviceCookie: string | null
      readonly session: Session
      readonly scopes: readonly string[]
    }
  | {
      readonly ok: false
      readonly code: LoginFault
      readonly retryAfterMs?: Millis
      readonly tenants?: readonly string[]
    }

export interface LoginOptions {
  readonly store: SessionStore
  readonly sessions: Sessions
  readonly view: OwnView
  readonly passwords: Passwords
  readonly clock: Clock
  readonly random: Random
  readonly metrics: Metrics
  readonly journey: Journey
  readonly grants: Grants
}

const MOST_CHECKS = 256

export class Logins {
  readonly #options: LoginOptions

  constructor(options: LoginOptions) {
    this.#options = options
  }

  /** Judges a login and begins a session of kind `admin` for who may administer, `browser` for others. @throws {SESSION_STORE_UNAVAILABLE}. */
  async login(request: LoginRequest): Promise<LoginResult> {
    return this.#told('issuance', { requestId: request.requestId, actor: 'unknown' }, () => this.#login(request))
  }

  /**
   * Judges the password once more: the session goes on under a new id and cookie, freshly authenticated, and the old
   * one ends in the same step. @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async reauthenticate(request: ReauthenticationRequest): Promise<LoginResult> {
    const actor = request.known.session.sub
    return this.#told('reauthentication', { requestId: request.requestId, actor }, () => this.#reauthenticate(request))
  }

  /**
   * The session goes on under a new id and cookie, as strong as what was shown, and never longer than it would have: the
   * old one ends in the same step. @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async stepUp({ known, strength, factor, browser }: StepUpRequest): Promise<LoginResult> {
    const { store } = this.#options
    const { sub, tenant, absoluteExpiresAt } = known.session
    const [account, place] = await Promise.all([store.account(sub), store.affiliation(tenant, sub)])
    if (account?.state !== 'active' || place?.state !== 'active') return { ok: false, code: 'login_failed' }
    const device = await this.#deviceOf(sub, browser)
    return this.#begin(account, place, device, [known.session], { strength, factor, notAfter: absoluteExpiresAt })
  }

  async #login(request: LoginRequest): Promise<LoginResult> {
    const { store } = this.#options
    const email = addressOf(request.email)
    const busy = this.#busy()
    if (busy !== null) return busy
    const { wait, succeeded } = await attempt(this.#options, email, request.source)
    if (wait > 0) return { ok: false, code: 'login_slowed', retryAfterMs: wait }

    const account = await store.accountByEmail(email)
    if (!(await this.#matches(request.password, account)) || account === null)
      return { ok: false, code: 'login_failed' }
    const places = (await store.affiliationsOf(account.sub)).filter((place) => place.state === 'active')
    const place = request.tenant === null ? onlyOne(places) : places.find((p) => p.tenant === request.tenant)
    if (!place && request.tenant === null && places.length > 1) {
      await succeeded()
      return { ok: false, code: 'tenant_required', tenants: places.map((p) => p.tenant) }
    }
    if (!place) return { ok: false, code: 'login_failed' }
    const device = request.browser === null ? null : await this.#deviceOf(account.sub, request.browser)
    const result = await this.#begin(account, place, device, await this.#replaced(request.replacing))
    if (result.ok) await succeeded()
    return result
  }

  async #reauthenticate({ known, password, source, browser }: ReauthenticationRequest): Promise<LoginResult> {
    const { store } = this.#options
    const { session } = known
    const busy = this.#busy()
    if (busy !== null) return busy
    const { wait, succeeded } = await attempt(this.#options, known.account.email, source)
    if (wait > 0) return { ok: false, code: 'login_slowed', retryAfterMs: wait }
    const account = await store.account(session.sub)
    if (!(await this.#matches(password, account)) || account === null) return { ok: false, code: 'login_failed' }
    const place = await store.affiliation(session.tenant, session.sub)
    if (place?.state !== 'active') return { ok: false, code: 'login_failed' }
    const result = await this.#begin(account, place, await this.#deviceOf(account.sub, browser), [session])
    if (result.ok) await succeeded()
    return result
  }

  async #begin(
    account: Account,
    { tenant, roles }: Affiliation,
    device: FoundDevice | null,
    replaced: readonly Session[],
    shown: Shown = { strength: PASSWORD },
  ): Promise<LoginResult> {
    const { sessions, random, grants } = this.#options
    const cookie = mintCookie(random)
    const scopes = scopesOf(roles, grants)
    const begun = await sessions.begin({
      kind: scopes.includes(ADMIN_SCOPE) ? 'admin' : 'browser',
      credential: { kind: 'secret', hash: cookie.hash },
      sub: account.sub,
      tenant,
      device: device?.device ?? null,
      ...shown.strength,
      ...(shown.factor && { factor: shown.factor }),
      ...(shown.notAfter !== undefined && { notAfter: shown.notAfter }),
      accountRevision: account.revision,
      replaces: replaced,
    })
    if (begun.ok) {
      return { ok: true, cookie: cookie.value, deviceCookie: device?.cookie ?? null, session: begun.session, scopes }
    }
    const { code } = begun
    if (code === 'view_starting' || code === 'store_behind_log') return { ok: false, code, retryAfterMs: seconds(1) }
    // Whatever changed meanwhile, it reads as if it had been so before.
    const isTold = code === 'session_limit' || code === 'factor_used'
    return { ok: false, code: isTold ? code : 'login_failed' }
  }

  #busy(): LoginResult | null {
    const { view, passwords } = this.#options
    if (!view.started) return { ok: false, code: 'view_starting', retryAfterMs: seconds(1) }
    return passwords.load >= MOST_CHECKS ? { ok: false, code: 'login_busy', retryAfterMs: seconds(1) } : null
  }

  async #matches(password: string, account: Account | null): Promise<boolean> {
    const matches = await this.#options.passwords.verify(password, account?.password ?? null)
    return matches && account?.state === 'active'
  }

  async #replaced(cookies: readonly string[]): Promise<readonly Session[]> {
    const { sessions } = this.#options
    const known = await Promise.all(cookies.map((value) => sessions.known({ as: 'cookie', value })))
    return known.flatMap((one) => (one === null ? [] : [one.session]))
  }

  // A device cookie counts only for the person it was made for: on a shared machine each has their own.
  async #deviceOf(sub: string, browser: Browser): Promise<FoundDevice> {
    const { store, random } = this.#options
    const hash = browser.device === null ? null : deviceHash(browser.device)
    const found = hash === null ? null : await store.device(hash)
    if (found !== null && hash !== null && found.sub === sub) {
      return { device: { handle: found.handle, secretHash: hash, name: found.name }, cookie: null }
    }
    const minted = mintDevice(random)
    const device = { handle: newHandle(random, 'dev'), secretHash: minted.hash, name: browser.name }
    return { device, cookie: minted.value }
  }

  async #told(
    action: 'issuance' | 'reauthentication',
    { requestId, actor }: { requestId: string | undefined; actor: string },
    judge: () => Promise<LoginResult>,
  ): Promise<LoginResult> {
    const { clock, metrics, journey } = this.#options
    const began = clock.monotonic()
    const result = await judge()
    const outcome = result.ok ? 'issued' : result.code
    metrics.counter('countersign_logins_total', { result: outcome }).add()
    const session = result.ok ? result.session : null
    const event = {
      actor: session?.sub ?? actor,
      ...(session && {
        sub: session.sub,
        session: session.handle,
        tenant: session.tenant,
        device: session.device,
      }),
      ...(result.ok && { scopes: result.scopes }),
      ...(requestId !== undefined && { requestId }),
      outcome,
      latencyMs: clock.monotonic() - began,
    }
    journey.record(action === 'issuance' && outcome === 'login_failed' ? 'login_failed' : action, event)
    if (session?.newDevice) journey.device(event)
    return result
  }
}

/** What a session is begun on. */
interface Shown {
  readonly strength: Strength
  readonly factor?: StepUpRequest['factor']
  readonly notAfter?: number
}

interface FoundDevice {
  readonly device: NonNullable<NewSession['device']>
  readonly cookie: string | null
}

/** One spelling per address: people do not type theirs the same way twice. */
export function addressOf(email: string): string {
  return email.trim().normalize('NFC').toLowerCase()
}

function onlyOne<T>(items: readonly T[]): T | undefined {
  return items.length === 1 ? items[0] : undefined
}
