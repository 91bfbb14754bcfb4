/** People and services, and which tenants they belong to. Making one takes nothing from anybody, so it raises no signal. */
import { type Clock, newHandle, type Random } from '@countersign/kernel'
import { affiliationTarget, type Target, target, tenantTarget } from '@countersign/revocation'
import type { Account, Affiliation, Refused, SessionStore } from '@countersign/session-store'
import { type OwnView, seenVersions } from '../log/own-view.ts'
import { addressOf } from '../sessions/logins.ts'
import { ADMIN_SCOPE, type Grants, scopesOf } from './grants.ts'
import type { Passwords } from './passwords.ts'

export interface NewAccount {
  readonly principal: Account['principal']
  readonly email: string
  /** Null: nobody logs in until a reset code was used. Services have none. */
  readonly password: string | null
  readonly affiliations: readonly { readonly tenant: string; readonly roles: readonly string[] }[]
}

/** An account as administrators see it. */
export interface DescribedAccount {
  readonly sub: string
  readonly principal: Account['principal']
  readonly email: string
  readonly state: Account['state']
  readonly affiliations: readonly Pick<Affiliation, 'tenant' | 'roles' | 'state'>[]
}

export interface AccountsOptions {
  readonly store: SessionStore
  readonly view: OwnView
  readonly passwords: Passwords
  readonly clock: Clock
  readonly random: Random
  readonly grants: Grants
}

export class Accounts {
  readonly #options: AccountsOptions

  constructor(options: AccountsOptions) {
    this.#options = options
  }

  /** Makes an account under a subject id that never was. @throws {SESSION_STORE_UNAVAILABLE}. */
  async create(
    asked: NewAccount,
  ): Promise<DescribedAccount | Refused | { refused: 'not_acceptable' | 'view_starting' }> {
    const { store, view, passwords, clock, random, grants } = this.#options
    const { principal, password, affiliations } = asked
    if (!view.started) return { refused: 'view_starting' }
    const isService = principal === 'service'
    // To administer takes a person who shows themselves.
    const administers = affiliations.some(({ roles }) => scopesOf(roles, grants).includes(ADMIN_SCOPE))
    if (isService && (password !== null || administers)) return { refused: 'not_acceptable' }
    const sub = newHandle(random, isService ? 'svc' : 'sub')
    const made = await store.createAccount({
      sub,
      principal,
      email: addressOf(asked.email),
      password: password === null ? null : await passwords.hash(password),
      affiliations,
      atLeast: seenVersions(view, [
        target('subject', sub),
        ...affiliations.flatMap(({ tenant }): Target[] => [tenantTarget(tenant), affiliationTarget(tenant, sub)]),
      ]),
      now: clock.now(),
    })
    return 'refused' in made ? made : ((await this.describe(sub, null)) ?? { refused: 'account_unknown' })
  }

  /** Adds a person or service to a tenant; who is there already stays as they are. @throws {SESSION_STORE_UNAVAILABLE}. */
  async join(
    tenant: string,
    sub: string,
    roles: readonly string[],
  ): Promise<Affiliation | Refused | { refused: 'not_acceptable' | 'view_starting' }> {
    const { store, view, clock, grants } = this.#options
    if (!view.started) return { refused: 'view_starting' }
    const account = await store.account(sub)
    if (account === null || account.state === 'deleted') return { refused: 'account_unknown' }
    if (account.principal === 'service' && scopesOf(roles, grants).includes(ADMIN_SCOPE))
      return { refused: 'not_acceptable' }
    const atLeast = seenVersions(view, [tenantTarget(tenant), affiliationTarget(tenant, sub)])
    return store.createAffiliation({ tenant, sub, roles, atLeast, now: clock.now() })
  }

  /** @param tenant what an administrator of it may see; null for everything. @returns null for nobody there. @throws {SESSION_STORE_UNAVAILABLE}. */
  async describe(sub: string, tenant: string | null): Promise<DescribedAccount | null> {
    const { store } = this.#options
    const account = await store.account(sub)
    if (account === null) return null
    const all = await store.affiliationsOf(sub)
    const shown = tenant === null ? all : all.filter((place) => place.tenant === tenant)
    if (tenant !== null && shown.length === 0) return null
    const { principal, email, state } = account
    return {
      sub,
      principal,
      email,
      state,
      affiliations: shown.map(({ tenant, roles, state }) => ({ tenant, roles, state })),
    }
  }
}
