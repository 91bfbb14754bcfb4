/** Targets: their versions, what ends them, and whether what depends on them still stands. */
import type { SignalTarget } from '@countersign/schemas'
import type { SessionStore } from '../port.ts'
import type { Affiliation, StoredTarget, VersionedTarget } from '../records.ts'
import { ACCOUNT, AFFILIATION, expiryOf, SESSION, TARGET, targetRefs } from './kinds.ts'
import { keyOf } from './layout.ts'
import type { Step, Tx } from './tx.ts'

/**
 * True while nothing has ended a credential with these targets. That a session among them ended stands in its own record
 * too, and no record means ended: its target may be forgotten long before what depends on it.
 * @param now also asks that no session among them has expired by then; null asks nothing of time.
 */
export function* stands(tx: Tx, targets: readonly VersionedTarget[], now: number | null): Step<boolean> {
  for (const { kind, tenant, id, version } of targets) {
    const target = yield* tx.get(TARGET, kind, tenant, id)
    if (target !== null && version < target.endedBelow) return false
    if (kind === 'subject' && (yield* tx.get(ACCOUNT, id))?.state !== 'active') return false
    if (kind === 'affiliation' && (yield* tx.get(AFFILIATION, tenant, id))?.state !== 'active') return false
    if (kind !== 'session' && kind !== 'family') continue
    const session = yield* tx.get(SESSION, id)
    if (session === null || session.endedAt !== null) return false
    if (now !== null && expiryOf(session) <= now) return false
  }
  return true
}

/** What the owner of a credential may do now; null when not even be there. */
export function* grantsOf(
  tx: Tx,
  tenant: string,
  sub: string,
): Step<{ roles: Affiliation['roles']; scopeVersion: number } | null> {
  const place = yield* tx.get(AFFILIATION, tenant, sub)
  if (place?.state !== 'active') return null
  const target = yield* tx.get(TARGET, 'affiliation', tenant, sub)
  return { roles: place.roles, scopeVersion: target?.version ?? 0 }
}

export function* resolveTargets(
  tx: Tx,
  { targets, tenant, sub }: Parameters<SessionStore['resolveTargets']>[0],
): ReturnTypeOf<'resolveTargets'> {
  const keys = [keyOf(AFFILIATION, tenant, sub), keyOf(TARGET, 'affiliation', tenant, sub)]
  yield* tx.load(...targetRefs(targets), ...keys)
  return (yield* stands(tx, targets, null)) ? yield* grantsOf(tx, tenant, sub) : null
}

type ReturnTypeOf<K extends keyof SessionStore> = Step<Awaited<ReturnType<SessionStore[K]>>>

/**
 * Gives the version in force of a target, never below what the log has shown of it. A target not stored yet
 * begins now: later endings are above it, and earlier ones it never met.
 */
export function* currentVersion(
  tx: Tx,
  { kind, tenant, id }: SignalTarget,
  atLeast: readonly VersionedTarget[],
  now: number,
  neededUntil = 0,
): Step<number> {
  const stored = yield* tx.get(TARGET, kind, tenant, id)
  const seen = atLeast.find((t) => t.kind === kind && t.tenant === tenant && t.id === id)?.version ?? 0
  const version = Math.max(stored?.version ?? now, seen)
  const needed = Math.max(stored?.neededUntil ?? 0, neededUntil)
  if (stored === null || version !== stored.version || needed !== stored.neededUntil)
    tx.put(TARGET, { endedBelow: 0, ...stored, kind, tenant, id, version, neededUntil: needed })
  return version
}

export function* captureVersions(
  tx: Tx,
  { targets, atLeast, now }: Parameters<SessionStore['captureVersions']>[0],
): Step<VersionedTarget[]> {
  yield* tx.load(...targets.map(targetKey))
  const captured: VersionedTarget[] = []
  for (const { kind, tenant, id } of targets) {
    const version = yield* currentVersion(tx, { kind, tenant, id }, atLeast, now)
    captured.push({ kind, tenant, id, version })
  }
  return captured
}

/** The floor a raise gets: above what is stored and what the log has shown, so that whatever carries either is hit. */
export function* nextFloor(tx: Tx, { kind, tenant, id }: SignalTarget, atLeast: number, now: number): Step<number> {
  const stored = yield* tx.get(TARGET, kind, tenant, id)
  return Math.max((stored?.version ?? 0) + 1, atLeast + 1, now)
}

/** Raises a target; an effect that is not a scope ends what carries a lower version. */
export function* raiseTarget(
  tx: Tx,
  { kind, tenant, id }: SignalTarget,
  floor: number,
  effect: string,
  now: number,
): Step<void> {
  const ends = !effect.startsWith('scope:')
  const stored = yield* tx.get(TARGET, kind, tenant, id)
  const holdsSession = kind === 'session' || kind === 'family'
  tx.put(TARGET, {
    ...stored,
    kind,
    tenant,
    id,
    version: Math.max(stored?.version ?? 0, floor),
    endedBelow: Math.max(stored?.endedBelow ?? 0, ends ? floor : 0),
    // An ended session says so itself from here on.
    neededUntil: holdsSession && ends ? 0 : (stored?.neededUntil ?? 0),
  })
  if (holdsSession && ends) yield* markEnded(tx, id, now)
}

/** Notes in a session's own record that it ended, and takes it from all lists. */
export function* markEnded(tx: Tx, handle: string, now: number): Step<void> {
  const session = yield* tx.get(SESSION, handle)
  if (session?.endedAt === null) tx.put(SESSION, { ...session, endedAt: now })
}

export function* target(tx: Tx, { kind, tenant, id }: SignalTarget): Step<StoredTarget | null> {
  const stored = yield* tx.get(TARGET, kind, tenant, id)
  if (stored === null) return null
  return { target: { kind, tenant, id }, version: stored.version, endedBelow: stored.endedBelow }
}

export function targetKey({ kind, tenant, id }: SignalTarget): string {
  return keyOf(TARGET, kind, tenant, id)
}
