/** What identity asks of its own view: floors the logs have shown, and the highest sequence seen on them. */
import type { Clock } from '@countersign/kernel'
import type { FollowedLogs, SignalsView } from '@countersign/replica'
import { type FloorEntry, scopeOf, type Target, targetKey } from '@countersign/revocation'
import { type Catalogue, exampleCatalogue, MAIN_LOG } from '@countersign/schemas'
import type { Session, VersionedTarget } from '@countersign/session-store'
import { SIGNAL_KEY } from '../key-files.ts'

export interface OwnView {
  floors(key: Uint8Array): readonly FloorEntry[]
  /** Highest outbox sequence seen on the log, 0 before any. */
  readonly outboxSeq: number
  /** False until each log was read to the end it had at the start: before, a rolled-back store cannot be told from a new one. */
  readonly started: boolean
  /** True while the bundle in force, of each log, lets the signal key sign. */
  readonly keyInForce: boolean
  /** The store's name of the log that owns a tenant: undefined for `main`, as is the whole member with one log. */
  logOf?(tenant: string): string | undefined
}

/** Keys of one log, and whether what is judged by them is up to date. */
export interface LogKeys extends Pick<SignalsView, 'ring'> {
  /** Whether the view is proven, and no older than it may be. */
  readonly fresh: boolean
}

/** The own view with the keys it knows. Where there are several logs, those of one are asked for by tenant. */
export interface OwnKeys extends LogKeys {
  readonly byTenant?: { readonly views: readonly LogKeys[]; viewOf(tenant: string): LogKeys }
}

/** What is judged of a tenant is judged by the keys of its own log. */
export function keysOfTenant(keys: OwnKeys, tenant: string): LogKeys {
  return keys.byTenant?.viewOf(tenant) ?? keys
}

/** The view of replicas that verify their history: a sequence counts as seen only from a signal that was verified. */
export function ownView(
  replica: FollowedLogs,
  clock: Clock,
  catalogue: Pick<Catalogue, 'signalsLogOf'> = exampleCatalogue,
): OwnView & OwnKeys {
  const { byTenant } = replica
  const logs: readonly Followed[] = byTenant?.views ?? [replica]
  let started = false
  const view = {
    floors: (key: Uint8Array) => replica.floors(key),
    ring: () => replica.ring(),
    get fresh() {
      return isFresh(replica)
    },
    get outboxSeq() {
      return replica.outboxSeq
    },
    get started() {
      started ||= logs.every((log) => log.freshness().closed !== 'starting')
      return started
    },
    get keyInForce() {
      return logs.every((log) => signalKeyInForce(log, clock))
    },
  }
  if (!byTenant) return view
  const keys = new Map(byTenant.views.map((log) => [log, keysOf(log)] as const))
  return Object.assign(view, {
    logOf(tenant: string) {
      const { name } = catalogue.signalsLogOf(tenant)
      return name === MAIN_LOG ? undefined : name
    },
    byTenant: {
      views: [...keys.values()],
      viewOf: (tenant: string) => keys.get(byTenant.viewOf(tenant)) as LogKeys,
    },
  })
}

type Followed = Pick<SignalsView, 'ring' | 'freshness'>

/** True while the bundle in force lets the signal key sign. */
export function signalKeyInForce(log: Pick<SignalsView, 'ring'>, clock: Clock): boolean {
  return log.ring()?.grantFor(SIGNAL_KEY, 'signal', clock.now()) !== undefined
}

function keysOf(log: Followed): LogKeys {
  return {
    ring: () => log.ring(),
    get fresh() {
      return isFresh(log)
    },
  }
}

function isFresh(log: Followed): boolean {
  const { proven, ageMs } = log.freshness()
  return proven && ageMs <= (log.ring()?.bundle.max_staleness_ms ?? 0)
}

/** Highest floor the log has shown for a target, 0 for none. */
export function highestFloor(view: OwnView, target: Target): number {
  return Math.max(0, ...view.floors(targetKey(target)).map((floor) => floor.higher))
}

/** The targets with the highest floors the log has shown for them. */
export function seenVersions(view: OwnView, targets: readonly Target[]): VersionedTarget[] {
  return targets.map(({ kind, tenant, id }) => ({
    kind,
    tenant,
    id,
    version: highestFloor(view, { kind, tenant, id }),
  }))
}

/** True when the log has ended one of the targets of a session or token, whatever the store says. */
export function isEndedOnLog(view: OwnView, { targets }: Pick<Session, 'targets'>): boolean {
  return targets.some((target) =>
    view.floors(keyOf(target)).some(({ effect, higher }) => !effect.startsWith('scope:') && target.version < higher),
  )
}

/** The scopes of an affiliation the log has not taken since `version`, whatever the store says. */
export function scopesLeft(
  view: OwnView,
  affiliation: Target,
  version: number,
  scopes: readonly string[],
): readonly string[] {
  const floors = view.floors(keyOf(affiliation))
  const taken = floors.filter(({ higher }) => version < higher).map(({ effect }) => scopeOf(effect))
  return taken.length === 0 ? scopes : scopes.filter((scope) => !taken.includes(scope))
}

// A token has eight targets or so, and most of them are those of the token before: the hash of each would be a good
// part of what an introspection costs. Two maps, of which the older goes when the newer is full, keep what is in use.
const MOST_KEYS = 4096
let newer = new Map<string, Buffer>()
let older = new Map<string, Buffer>()

function keyOf(target: Target): Buffer {
  const { kind, tenant, id } = target
  // Lengths before the parts, so that no two targets read the same.
  const name = `${kind} ${tenant.length} ${tenant}${id}`
  const known = newer.get(name)
  if (known !== undefined) return known
  const key = older.get(name) ?? targetKey(target)
  if (newer.size >= MOST_KEYS) {
    older = newer
    newer = new Map()
  }
  newer.set(name, key)
  return key
}
