/** Accounts and affiliations. */
import type { Refused, SessionStore } from '../port.ts'
import type { Account, Affiliation } from '../records.ts'
import { dropFactor, factorsOf } from './factors.ts'
import { ACCOUNT, AFFILIATION, EMAIL, RESET, RESET_CODE, TENANT } from './kinds.ts'
import { indexOf, type Kept, keyOf } from './layout.ts'
import { shown } from './shown.ts'
import { currentVersion, targetKey } from './targets.ts'
import type { Step, Tx } from './tx.ts'

export function* createAccount(
  tx: Tx,
  { sub, principal, email, password, ...o }: Parameters<SessionStore['createAccount']>[0],
): Step<Account | Refused> {
  yield* tx.load(keyOf(ACCOUNT, sub), keyOf(EMAIL, email), targetKey({ kind: 'subject', tenant: '', id: sub }))
  const taken = (yield* tx.get(ACCOUNT, sub)) ?? (yield* tx.get(EMAIL, email))
  if (taken !== null) return { refused: 'email_taken' }
  tx.put(ACCOUNT, { sub, principal, email, password, state: 'active', revision: 1, createdAt: o.now })
  tx.put(EMAIL, { email, sub })
  yield* currentVersion(tx, { kind: 'subject', tenant: '', id: sub }, o.atLeast, o.now)
  for (const { tenant, roles } of o.affiliations) yield* createAffiliation(tx, { ...o, sub, tenant, roles })
  return (yield* account(tx, sub)) as Account
}

export function* createAffiliation(
  tx: Tx,
  { tenant, sub, roles, atLeast, now }: Parameters<SessionStore['createAffiliation']>[0],
): Step<Affiliation | Refused> {
  const targets = [
    { kind: 'tenant', tenant, id: '' },
    { kind: 'affiliation', tenant, id: sub },
  ] as const
  yield* tx.load(keyOf(ACCOUNT, sub), keyOf(AFFILIATION, tenant, sub), keyOf(TENANT, tenant), ...targets.map(targetKey))
  const person = yield* tx.get(ACCOUNT, sub)
  if (person === null || person.state === 'deleted') return { refused: 'account_unknown' }
  if ((yield* tx.get(AFFILIATION, tenant, sub)) === null)
    tx.put(AFFILIATION, { tenant, sub, roles: sorted(roles), state: 'active', revision: 1 })
  if ((yield* tx.get(TENANT, tenant)) === null) tx.put(TENANT, { tenant })
  for (const target of targets) yield* currentVersion(tx, target, atLeast, now)
  return (yield* affiliation(tx, tenant, sub)) as Affiliation
}

export function* account(tx: Tx, sub: string): Step<Account | null> {
  return shown.account(yield* tx.get(ACCOUNT, sub))
}

export function* accountByEmail(tx: Tx, email: string): Step<Account | null> {
  yield* tx.follow(keyOf(EMAIL, email))
  const owner = yield* tx.get(EMAIL, email)
  return owner === null ? null : yield* account(tx, owner.sub)
}

export function* affiliation(tx: Tx, tenant: string, sub: string): Step<Affiliation | null> {
  return shown.affiliation(yield* tx.get(AFFILIATION, tenant, sub))
}

export function* affiliationsOf(tx: Tx, sub: string): Step<Affiliation[]> {
  const places = yield* tx.all(AFFILIATION, yield* tx.range(indexOf('affiliations', sub)))
  return places.map((place) => shown.affiliation(place)).sort((a, b) => order(a.tenant, b.tenant))
}

export function* tenants(tx: Tx): Step<string[]> {
  const all = yield* tx.all(TENANT, yield* tx.range('tenants'))
  return all.map(({ tenant }) => tenant).sort(order)
}

export function* restoreAccount(tx: Tx, sub: string): Step<Account | Refused> {
  const person = yield* tx.get(ACCOUNT, sub)
  if (person === null || person.state === 'deleted') return { refused: 'account_unknown' }
  if (person.state === 'suspended') changeAccount(tx, person, { state: 'active' })
  return (yield* account(tx, sub)) as Account
}

export function* restoreAffiliation(tx: Tx, tenant: string, sub: string): Step<Affiliation | Refused> {
  const place = yield* tx.get(AFFILIATION, tenant, sub)
  if (place === null) return { refused: 'affiliation_unknown' }
  if (place.state === 'suspended') changeAffiliation(tx, place, { state: 'active' })
  return (yield* affiliation(tx, tenant, sub)) as Affiliation
}

/** Forgets all but that the subject id was given out: it never is again, and the address is free. */
export function* eraseAccount(tx: Tx, person: Kept<Account>): Step<void> {
  const { sub } = person
  changeAccount(tx, person, { state: 'deleted', email: `deleted:${sub}`, password: null })
  if ((yield* tx.get(EMAIL, person.email))?.sub === sub) tx.drop(EMAIL, person.email)
  for (const { tenant } of yield* affiliationsOf(tx, sub)) tx.drop(AFFILIATION, tenant, sub)
  for (const factor of yield* factorsOf(tx, sub)) yield* dropFactor(tx, factor)
  yield* dropReset(tx, sub)
}

export function* dropReset(tx: Tx, sub: string): Step<void> {
  const reset = yield* tx.get(RESET, sub)
  if (reset === null) return
  yield* tx.get(RESET_CODE, reset.codeHash)
  tx.drop(RESET, sub)
  tx.drop(RESET_CODE, reset.codeHash)
}

export function changeAccount(tx: Tx, person: Kept<Account>, change: Partial<Account>): void {
  tx.put(ACCOUNT, { ...person, ...change, revision: person.revision + 1 })
}

export function changeAffiliation(tx: Tx, place: Kept<Affiliation>, change: Partial<Affiliation>): void {
  tx.put(AFFILIATION, { ...place, ...change, revision: place.revision + 1 })
}

/** One spelling per set of roles or scopes. */
export function sorted(values: readonly string[]): string[] {
  return [...new Set(values)].sort(order)
}

export function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
