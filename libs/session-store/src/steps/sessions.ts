/** Sessions: begun, known again, moved on, listed, found expired. */
import type { SignalTarget } from '@countersign/schemas'
import type { NewSession, Refusal, Refused, SessionStore } from '../port.ts'
import type { Account, ResolvedSession, Revocation, Session, VersionedTarget } from '../records.ts'
import { sorted } from './accounts.ts'
import { useCode } from './codes.ts'
import { meet } from './devices.ts'
import { end } from './endings.ts'
import { standOn } from './factors.ts'
import {
  ACCOUNT,
  AFFILIATION,
  CLIENT,
  CODE,
  CREDENTIAL,
  DEVICE,
  DEVICE_CREDENTIAL,
  expiryOf,
  FACTOR,
  SEQUENCE,
  SESSION,
  type SessionRecord,
  STEP_UP,
} from './kinds.ts'
import { indexOf, type Kept, keyOf } from './layout.ts'
import { isBehind } from './outbox.ts'
import { shown } from './shown.ts'
import { currentVersion, grantsOf, markEnded, stands, targetKey } from './targets.ts'
import type { Step, Tx } from './tx.ts'

type Begun = { readonly session: Session; readonly ended: readonly Revocation[] }

export function* createSession(tx: Tx, s: NewSession): Step<Begun | Refused> {
  yield* tx.follow(...keysOf(s))
  const before = yield* tx.get(SESSION, s.handle)
  if (before !== null) return yield* begunBefore(tx, s, before)
  if (yield* isBehind(tx, s.seenSeq)) return { refused: 'store_behind_log' }
  const refused =
    (yield* mayBegin(tx, s)) ??
    (yield* standOn(tx, s)) ??
    (s.codeHash && (yield* useCode(tx, s.codeHash, s.handle, s.now)))
  if (refused) return { refused }
  const met = s.device && (yield* meet(tx, { ...s.device, sub: s.sub, now: s.now }))
  if (met && 'refused' in met) return met

  const ended: Revocation[] = []
  for (const ending of s.ends) {
    const result = yield* tx.attempt(end(tx, ending))
    if (!('refused' in result)) ended.push(result.revocation)
    // One that ended meanwhile is as good as ended here.
    else if (result.refused !== 'session_unknown') return result
  }
  const parent = s.parent === null ? null : yield* tx.get(SESSION, s.parent)
  // One of another tenant would depend on what its own tenant's log is not told of.
  const holds = parent?.tenant === s.tenant && (yield* stands(tx, parent.targets, s.now))
  if (s.parent !== null && !holds) return { refused: 'parent_ended' }
  if (s.most !== null && (yield* countOf(tx, s)) >= s.most) return { refused: 'session_limit' }

  const session = yield* sessionOf(tx, s, parent, met?.isNew ?? false)
  tx.put(SESSION, session)
  if (s.credential.kind === 'secret') tx.put(CREDENTIAL, { hash: s.credential.hash, handle: s.handle })
  return { session: shown.session(session), ended }
}

function* mayBegin(tx: Tx, s: NewSession): Step<Refusal | null> {
  const person = yield* tx.get(ACCOUNT, s.sub)
  if (!person) return 'account_unknown'
  if (person.state !== 'active') return 'account_not_active'
  if (s.accountRevision !== null && person.revision !== s.accountRevision) return 'account_changed'
  const place = yield* tx.get(AFFILIATION, s.tenant, s.sub)
  if (!place) return 'affiliation_unknown'
  if (place.state !== 'active') return 'affiliation_not_active'
  if (s.client !== null && (yield* tx.get(CLIENT, s.client))?.state !== 'active') return 'client_not_active'
  // One secret opens one session.
  const taken = s.credential.kind === 'secret' && (yield* tx.get(CREDENTIAL, s.credential.hash)) !== null
  return taken ? 'id_reused' : null
}

/** An answer that was lost is given again; a handle never stands for a second session. */
function* begunBefore(tx: Tx, s: NewSession, before: Kept<SessionRecord>): Step<Begun | Refused> {
  const { credential } = s
  const same =
    credential.kind === 'secret'
      ? before.secretHash?.equals(credential.hash)
      : before.refresh?.keyId === credential.keyId && before.refresh.nonce.equals(credential.nonce)
  if (!same || before.sub !== s.sub) return { refused: 'id_reused' }
  if (!(yield* stands(tx, before.targets, s.now))) return { refused: 'session_unknown' }
  const ended: Revocation[] = []
  for (const ending of s.ends) {
    const result = yield* end(tx, ending)
    if (!('refused' in result)) ended.push(result.revocation)
  }
  return { session: shown.session(before), ended }
}

function* sessionOf(tx: Tx, s: NewSession, parent: SessionRecord | null, newDevice: boolean): Step<SessionRecord> {
  const latest = Math.min(s.absoluteExpiresAt, parent?.absoluteExpiresAt ?? Number.POSITIVE_INFINITY)
  const targets: VersionedTarget[] = []
  for (const target of targetsOf(s)) {
    // What ends the session stands in its own target until time has ended it anyway.
    const neededUntil = target.id === s.handle ? latest : 0
    targets.push({ ...target, version: yield* currentVersion(tx, target, s.atLeast, s.now, neededUntil) })
  }
  const own = new Set(targets.map(targetKey))
  const { credential } = s
  return {
    handle: s.handle,
    kind: s.kind,
    sub: s.sub,
    tenant: s.tenant,
    client: s.client,
    device: s.device?.handle ?? null,
    act: s.act,
    parent: s.parent,
    scope: s.scope && sorted(s.scope),
    createdAt: s.now,
    lastSeenAt: s.now,
    idleExpiresAt: Math.min(s.idleExpiresAt, latest),
    absoluteExpiresAt: latest,
    authTime: s.authTime,
    amr: s.amr,
    acr: s.acr,
    newDevice,
    targets: [...targets, ...(parent?.targets ?? []).filter((target) => !own.has(targetKey(target)))],
    refresh:
      credential.kind === 'secret'
        ? null
        : { keyId: credential.keyId, nonce: credential.nonce, generation: 1, rotations: [] },
    secretHash: credential.kind === 'secret' ? credential.hash : null,
    endedAt: null,
  }
}

function targetsOf({ kind, sub, tenant, handle, device, factor, client }: NewSession): SignalTarget[] {
  const rotates = kind === 'family' || kind === 'device'
  const targets: SignalTarget[] = [
    { kind: 'tenant', tenant, id: '' },
    { kind: 'subject', tenant: '', id: sub },
    { kind: 'affiliation', tenant, id: sub },
    { kind: rotates ? 'family' : 'session', tenant: '', id: handle },
  ]
  if (device !== null) targets.push({ kind: 'device', tenant: '', id: device.handle })
  if (factor !== null) targets.push({ kind: 'device', tenant: '', id: factor.handle })
  if (client !== null) targets.push({ kind: 'client', tenant: '', id: client })
  return targets
}

/** All that beginning a session reads, in one ask. */
function keysOf(s: NewSession): string[] {
  const keys = [
    ...[keyOf(SESSION, s.handle), keyOf(ACCOUNT, s.sub), keyOf(AFFILIATION, s.tenant, s.sub), keyOf(SEQUENCE)],
    ...targetsOf(s).map(targetKey),
    ...s.ends.flatMap(({ raises }) => raises.map(({ target }) => targetKey(target))),
  ]
  if (s.credential.kind === 'secret') keys.push(keyOf(CREDENTIAL, s.credential.hash))
  if (s.client !== null) keys.push(keyOf(CLIENT, s.client))
  if (s.parent !== null) keys.push(keyOf(SESSION, s.parent))
  if (s.codeHash !== null) keys.push(keyOf(CODE, s.codeHash))
  if (s.factor !== null) keys.push(keyOf(FACTOR, s.factor.handle))
  if (s.factor?.use) keys.push(keyOf(STEP_UP, s.factor.use.stepUp))
  if (s.device !== null) keys.push(keyOf(DEVICE, s.device.handle))
  if (s.device?.secretHash) keys.push(keyOf(DEVICE_CREDENTIAL, s.device.secretHash))
  return keys
}

function* countOf(tx: Tx, { sub, kind, now }: NewSession): Step<number> {
  return (yield* sessionsOf(tx, sub, now)).filter((session) => session.kind === kind).length
}

export function* resolveSession(tx: Tx, secretHash: Buffer, now: number): Step<ResolvedSession | null> {
  yield* tx.follow(keyOf(CREDENTIAL, secretHash))
  const credential = yield* tx.get(CREDENTIAL, secretHash)
  const found = credential && (yield* tx.get(SESSION, credential.handle))
  return found && (yield* resolved(tx, found, now))
}

/** The session with what its owner may do; null unless it is live. */
export function* resolved(tx: Tx, found: SessionRecord, now: number): Step<ResolvedSession | null> {
  if (!(yield* stands(tx, found.targets, now))) return null
  const { sub, email, principal } = (yield* tx.get(ACCOUNT, found.sub)) as Account
  const grants = yield* grantsOf(tx, found.tenant, found.sub)
  return grants && { session: shown.session(found), account: { sub, email, principal }, ...grants }
}

export function* session(tx: Tx, handle: string, now: number): Step<Session | null> {
  const found = yield* liveSession(tx, handle, now)
  return found && shown.session(found)
}

export function* resolveHandle(tx: Tx, handle: string, now: number): Step<ResolvedSession | null> {
  yield* tx.follow(keyOf(SESSION, handle))
  const found = yield* tx.get(SESSION, handle)
  return found && (yield* resolved(tx, found, now))
}

function* liveSession(tx: Tx, handle: string, now: number): Step<Kept<SessionRecord> | null> {
  yield* tx.follow(keyOf(SESSION, handle))
  const found = yield* tx.get(SESSION, handle)
  return found && (yield* stands(tx, found.targets, now)) ? found : null
}

export function* touchSession(tx: Tx, handle: string, now: number, idleExpiresAt: number): Step<void> {
  const found = yield* liveSession(tx, handle, now)
  if (found) tx.put(SESSION, movedOn(found, now, idleExpiresAt))
}

/** Never back, and never past the absolute end. */
export function movedOn<S extends SessionRecord>(found: S, now: number, idleExpiresAt: number): S {
  return {
    ...found,
    lastSeenAt: Math.max(found.lastSeenAt, now),
    idleExpiresAt: Math.max(found.idleExpiresAt, Math.min(idleExpiresAt, found.absoluteExpiresAt)),
  }
}

export function* sessionsOf(tx: Tx, sub: string, now: number): Step<Session[]> {
  const keys = yield* tx.range(indexOf('sessions', sub), { newestFirst: true })
  yield* tx.follow(...keys)
  const live: Session[] = []
  for (const found of yield* tx.all(SESSION, keys))
    if (found.endedAt === null && (yield* stands(tx, found.targets, now))) live.push(shown.session(found))
  return live
}

/** One that one of its other targets has ended counts until its own time has passed. */
export function countSessions(tx: Tx, now: number): Step<number> {
  return tx.count('sessions-expiring', now + 1)
}

/** What a look at the sessions whose time has passed found. */
export interface Found {
  readonly expired: Awaited<ReturnType<SessionStore['expiredSessions']>>
  /** True when there may be more than those looked at. */
  readonly more: boolean
}

export function* expiredSessions(tx: Tx, now: number, limit: number): Step<Found> {
  const keys = yield* tx.range('sessions-expiring', { to: now, limit })
  yield* tx.follow(...keys)
  const expired: { handle: string; kind: Session['kind']; tenant: string }[] = []
  for (const found of yield* tx.all(SESSION, keys)) {
    const { handle, kind, tenant } = found
    if (found.endedAt !== null || expiryOf(found) > now) continue
    if (yield* stands(tx, found.targets, null)) expired.push({ handle, kind, tenant })
    // Ended by one of its targets, whose signal told of it: another would say nothing.
    else yield* markEnded(tx, handle, now)
  }
  return { expired, more: keys.length === limit }
}
