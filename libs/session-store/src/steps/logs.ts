/**
 * Which signals logs are told of an ending. Invariant: every credential that depends on a target is judged by a log that is
 * told, in the same step. Most of what ends belongs to one person in one tenant, and its log alone is told; whatever may
 * have part in work of other tenants, as services do by token exchange, is told to all.
 */
import type { SignalTarget } from '@countersign/schemas'
import type { LogOwner } from '../outbox.ts'
import { ACCOUNT, AFFILIATION, LOGS, SESSION, TENANT } from './kinds.ts'
import { indexOf, keyOf } from './layout.ts'
import type { Step, Tx } from './tx.ts'

/** Of `main`, which owns every tenant no other log names. */
const MAIN = undefined

/** Name of a log; undefined for `main`. */
export type LogRef = string | undefined

/**
 * Notes which logs own which tenants. Nothing changes when a tenant this store knows would move: what was taken from it
 * stands on the log it had, and would be given back.
 * @returns tenants that would move, sorted.
 */
export function* shareTenants(tx: Tx, logs: readonly LogOwner[]): Step<{ moved: string[] }> {
  const before = yield* tx.get(LOGS)
  const had = ownersOf(before?.logs ?? [])
  const has = ownersOf(logs)
  const changed = [...new Set([...had.keys(), ...has.keys()])].filter((tenant) => had.get(tenant) !== has.get(tenant))
  if (changed.length === 0) return { moved: [] }
  const known = yield* tx.all(
    TENANT,
    changed.map((tenant) => keyOf(TENANT, tenant)),
  )
  if (known.length > 0) return { moved: known.map(({ tenant }) => tenant).sort() }
  tx.put(LOGS, { ...before, logs: logs.map(({ name, tenants }) => ({ name, tenants: [...tenants] })) })
  return { moved: [] }
}

/** Keys that `logsToldOf` reads first. */
export function logKeysOf(targets: readonly SignalTarget[]): string[] {
  return [keyOf(LOGS), ...targets.flatMap(personKeysOf)]
}

/** @returns the logs to tell that a target is raised, `main` first. */
export function* logsToldOf(tx: Tx, target: SignalTarget): Step<readonly LogRef[]> {
  const shared = yield* tx.get(LOGS)
  if (shared === null || shared.logs.length === 0) return [MAIN]
  const all: LogRef[] = [MAIN, ...shared.logs.map(({ name }) => name)]
  const tenants = yield* tenantsOf(tx, target)
  if (tenants === null) return all
  const owners = ownersOf(shared.logs)
  const told = new Set(tenants.map((tenant) => owners.get(tenant)))
  return all.filter((log) => told.has(log))
}

/** @returns the only tenants whose work can depend on a target; null when nobody can say. */
function* tenantsOf(tx: Tx, { kind, tenant, id }: SignalTarget): Step<readonly string[] | null> {
  if (kind === 'affiliation') return (yield* isPerson(tx, id)) ? [tenant] : null
  if (kind === 'subject') {
    if (!(yield* isPerson(tx, id))) return null
    // Those taken away since have ended by that, on the log of their tenant.
    const places = yield* tx.all(AFFILIATION, yield* tx.range(indexOf('affiliations', id)))
    return places.length === 0 ? null : places.map((place) => place.tenant)
  }
  if (kind === 'session' || kind === 'family') {
    const session = yield* tx.get(SESSION, id)
    return session !== null && (yield* isPerson(tx, session.sub)) ? [session.tenant] : null
  }
  return null
}

function* isPerson(tx: Tx, sub: string): Step<boolean> {
  return (yield* tx.get(ACCOUNT, sub))?.principal === 'user'
}

function personKeysOf({ kind, id }: SignalTarget): string[] {
  return kind === 'affiliation' || kind === 'subject' ? [keyOf(ACCOUNT, id)] : []
}

function ownersOf(logs: readonly LogOwner[]): Map<string, string> {
  return new Map(logs.flatMap(({ name, tenants }) => tenants.map((tenant) => [tenant, name] as const)))
}
