/**
 * Which signals logs there are, and which tenants each owns. One log is the rule; growth is more of them. Invariant: every
 * tenant belongs to exactly one log, the same for all who use one catalogue.
 */

/** Asks for one more log, and names the tenants it owns. */
export interface MoreLog {
  /** Lower-case letters, digits and dashes; never `main`. */
  readonly name: string
  /** At least one; none that another log names. */
  readonly tenants: readonly string[]
}

/** A signals log. */
export interface SignalsLog {
  /** `main` for the one that owns every tenant no other log names. */
  readonly name: string
  /** Physical topic. It has one partition. */
  readonly topic: string
  /** Null for `main`. */
  readonly tenants: readonly string[] | null
}

/** The log there always is. */
export const MAIN_LOG = 'main'

const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/

/**
 * @returns `main` first, then the others as given.
 * @throws {RangeError} for a malformed or repeated name, no tenant, or a tenant of two logs.
 */
export function signalsLogs(more: readonly MoreLog[]): readonly SignalsLog[] {
  const names = new Set([MAIN_LOG])
  const owned = new Set<string>()
  const logs: SignalsLog[] = [{ name: MAIN_LOG, topic: 'countersign.signals.v1', tenants: null }]
  for (const { name, tenants } of more) {
    if (!NAME.test(name)) throw new RangeError(`not a name for a signals log: ${name}`)
    if (names.has(name)) throw new RangeError(`signals log ${name} is given twice`)
    if (tenants.length === 0) throw new RangeError(`signals log ${name} owns no tenant`)
    names.add(name)
    for (const tenant of tenants) {
      if (tenant === '' || tenant === '*') throw new RangeError(`signals log ${name}: not a tenant: ${tenant}`)
      if (owned.has(tenant)) throw new RangeError(`tenant ${tenant} is given to two signals logs, or twice to one`)
      owned.add(tenant)
    }
    logs.push({ name, topic: `countersign.signals.${name}.v1`, tenants: Object.freeze([...tenants]) })
  }
  return Object.freeze(logs.map((log) => Object.freeze(log)))
}

/** @returns a function that names the log of a tenant. Cost of a call: one look-up; none with one log. */
export function logByTenant(logs: readonly SignalsLog[]): (tenant: string) => SignalsLog {
  const main = logs.find(({ tenants }) => tenants === null) as SignalsLog
  if (logs.length === 1) return () => main
  const byTenant = new Map(logs.flatMap((log) => (log.tenants ?? []).map((tenant) => [tenant, log] as const)))
  return (tenant) => byTenant.get(tenant) ?? main
}

/**
 * Name of the log an id stands for: ids of all logs but `main` begin with the name and a dot, so that nothing copied from
 * one log to another passes for that other's.
 */
export function logNameOf(logId: string): string {
  const dot = logId.indexOf('.')
  return dot < 0 ? MAIN_LOG : logId.slice(0, dot)
}

/** @param handle distinct, without a dot. @returns the id of a new log of that name. */
export function logIdOf(name: string, handle: string): string {
  return name === MAIN_LOG ? handle : `${name}.${handle}`
}

/**
 * Logs as configuration says them: JSON such as `{"eu":["acme","globex"]}`, tenants by the name of their log.
 * @throws {RangeError} for anything else, and as `signalsLogs`.
 */
export function readSignalsLogs(json: string): readonly MoreLog[] {
  let given: unknown
  try {
    given = JSON.parse(json)
  } catch {
    given = null
  }
  const isNames = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((one) => typeof one === 'string')
  if (typeof given !== 'object' || given === null || Array.isArray(given) || !Object.values(given).every(isNames))
    throw new RangeError('must be JSON such as {"eu":["acme","globex"]}: tenants by the name of their log')
  const logs = Object.entries(given).map(([name, tenants]) => ({ name, tenants: tenants as string[] }))
  signalsLogs(logs)
  return logs
}
