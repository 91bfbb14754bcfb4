/**
 * An administrator acts as a person of their tenant. The session says so in `act`, ends with the administrator's own,
 * and never reaches what the administrator may not: its scopes are cut anew whenever it is used.
 */
import type { Journey } from '@countersign/journey'
import { type Clock, type Millis, minutes, type Random } from '@countersign/kernel'
import type { Refusal, Session, SessionStore } from '@countersign/session-store'
import { ADMIN_SCOPE, type Grants, scopesOf } from '../people/grants.ts'
import { mintCookie } from './credentials.ts'
import type { Known, Sessions } from './sessions.ts'

export type ImpersonationResult =
  | {
      readonly ok: true
      /** Session cookie to act with. */
      readonly cookie: string
      readonly session: Session
      readonly scopes: readonly string[]
    }
  | { readonly ok: false; readonly code: Refusal | 'view_starting' | 'not_permitted' }

export interface ImpersonationsOptions {
  readonly store: Pick<SessionStore, 'account' | 'affiliation'>
  readonly sessions: Sessions
  readonly clock: Clock
  readonly random: Random
  readonly grants: Grants
  readonly journey: Journey
}

const LIFE: Millis = minutes(15)

export class Impersonations {
  readonly #options: ImpersonationsOptions

  constructor(options: ImpersonationsOptions) {
    this.#options = options
  }

  /** Begins one. Nobody acts as themselves, as another administrator, as a service, or through another impersonation. @throws {SESSION_STORE_UNAVAILABLE}. */
  async begin(administrator: Known, sub: string, requestId?: string): Promise<ImpersonationResult> {
    const { clock, journey } = this.#options
    const began = clock.monotonic()
    const result = await this.#begin(administrator, sub)
    const { session } = administrator
    journey.impersonation({
      actor: session.sub,
      sub,
      tenant: session.tenant,
      ...(result.ok && { session: result.session.handle, scopes: result.scopes }),
      outcome: result.ok ? 'issued' : result.code,
      latencyMs: clock.monotonic() - began,
      ...(requestId !== undefined && { requestId }),
    })
    return result
  }

  async #begin({ session, scopes }: Known, sub: string): Promise<ImpersonationResult> {
    const { store, sessions, clock, random, grants } = this.#options
    const { tenant } = session
    if (session.act.length > 0 || session.sub === sub || !scopes.includes(ADMIN_SCOPE)) return denied('not_permitted')
    const place = await store.affiliation(tenant, sub)
    if (place === null) return denied('affiliation_unknown')
    const theirs = scopesOf(place.roles, grants)
    const account = await store.account(sub)
    if (theirs.includes(ADMIN_SCOPE) || account?.principal !== 'user') return denied('not_permitted')
    const both = theirs.filter((scope) => scopes.includes(scope))
    const cookie = mintCookie(random)
    const begun = await sessions.begin({
      kind: 'browser',
      credential: { kind: 'secret', hash: cookie.hash },
      sub,
      tenant,
      act: [{ sub: session.sub, principal: 'user' }],
      parent: session.handle,
      scope: both,
      authTime: session.authTime,
      amr: session.amr,
      acr: session.acr,
      notAfter: clock.now() + LIFE,
    })
    return begun.ok ? { ok: true, cookie: cookie.value, session: begun.session, scopes: both } : begun
  }
}

function denied(code: Extract<ImpersonationResult, { ok: false }>['code']): ImpersonationResult {
  return { ok: false, code }
}
