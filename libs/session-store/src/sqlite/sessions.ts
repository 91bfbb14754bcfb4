/** Sessions: begun, resolved, moved on, found expired. Callers hold the transaction. */
import type { SignalTarget } from '@countersign/schemas'
import type { NewSession, Refused } from '../port.ts'
import {
  type Account,
  RECORD_SCHEMA,
  type ResolvedSession,
  type Revocation,
  type Session,
  type StoredTarget,
} from '../records.ts'
import { account, affiliation, currentVersion } from './accounts.ts'
import type { Database } from './database.ts'
import type { Emitter } from './emitter.ts'
import { end, isBehind } from './endings.ts'
import { isHit, isLive, type SessionRow, sessionOf, targetRow } from './rows.ts'

export function createSession(
  db: Database,
  emitter: Emitter,
  s: NewSession,
): { session: Session; replaced: Revocation | null } | Refused {
  if (isBehind(db, s.seenSeq)) return { refused: 'store_behind_log' }
  const person = account(db, s.sub)
  if (!person) return { refused: 'account_unknown' }
  if (person.state !== 'active') return { refused: 'account_not_active' }
  if (person.revision !== s.accountRevision) return { refused: 'account_changed' }
  const place = affiliation(db, s.tenant, s.sub)
  if (!place) return { refused: 'affiliation_unknown' }
  if (place.state !== 'active') return { refused: 'affiliation_not_active' }

  let replaced: Revocation | null = null
  if (s.replaces) {
    const ended = end(db, emitter, s.replaces)
    // A session that ended meanwhile is as good as replaced.
    if ('refused' in ended && ended.refused !== 'session_unknown') return ended
    if (!('refused' in ended)) replaced = ended.revocation
  }

  const targets = targetsOf(s).map((target) => ({ ...target, version: currentVersion(db, target, s.atLeast, s.now) }))
  const values = [
    s.handle,
    s.secretHash,
    s.sub,
    s.tenant,
    s.device,
    s.now,
    s.now,
    s.idleExpiresAt,
    s.absoluteExpiresAt,
  ] as const
  db.run(
    `INSERT INTO session (handle, secret_hash, sub, tenant, device, created_at, last_seen_at, idle_expires_at,
       absolute_expires_at, auth_time, amr, acr, targets, schema) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[...values, s.authTime, JSON.stringify(s.amr), s.acr, JSON.stringify(targets), RECORD_SCHEMA],
  )
  return { session: sessionOf(find(db, s.handle) as SessionRow), replaced }
}

export function resolveSession(db: Database, secretHash: Uint8Array, now: number): ResolvedSession | null {
  const row = db.get<SessionRow>('SELECT * FROM session WHERE secret_hash = ?', secretHash)
  if (!row || !isLive(db, row, now)) return null
  const { sub, tenant } = row
  const person = account(db, sub) as Account
  const place = affiliation(db, tenant, sub)
  if (person.state !== 'active' || place?.state !== 'active') return null
  const scopeVersion = targetRow(db, { kind: 'affiliation', tenant, id: sub })?.version ?? 0
  return { session: sessionOf(row), account: { sub, email: person.email }, roles: place.roles, scopeVersion }
}

export function session(db: Database, handle: string, now: number): Session | null {
  const row = find(db, handle)
  return row && isLive(db, row, now) ? sessionOf(row) : null
}

export function touchSession(db: Database, handle: string, now: number, idleExpiresAt: number): void {
  const row = find(db, handle)
  if (!row || !isLive(db, row, now)) return
  db.run(
    `UPDATE session SET last_seen_at = max(last_seen_at, ?),
       idle_expires_at = max(idle_expires_at, min(?, absolute_expires_at)) WHERE handle = ?`,
    ...[now, idleExpiresAt, handle],
  )
}

export function expiredSessions(db: Database, now: number, limit: number): { handle: string; tenant: string }[] {
  const expired: { handle: string; tenant: string }[] = []
  const rows = db.all<SessionRow>(
    `SELECT * FROM session WHERE ended_at IS NULL AND min(idle_expires_at, absolute_expires_at) <= ?
     ORDER BY min(idle_expires_at, absolute_expires_at) LIMIT ?`,
    now,
    limit,
  )
  for (const row of rows) {
    // Already ended by one of its targets, whose signal told of it: another would say nothing.
    if (isHit(db, row)) db.run('UPDATE session SET ended_at = ? WHERE handle = ?', now, row.handle)
    else expired.push({ handle: row.handle, tenant: row.tenant })
  }
  return expired
}

export function storedTarget(db: Database, target: SignalTarget): StoredTarget | null {
  const row = targetRow(db, target)
  return row ? { target, version: row.version, endedBelow: row.ended_below } : null
}

function find(db: Database, handle: string): SessionRow | undefined {
  return db.get<SessionRow>('SELECT * FROM session WHERE handle = ?', handle)
}

function targetsOf({ sub, tenant, handle, device }: NewSession): SignalTarget[] {
  const targets: SignalTarget[] = [
    { kind: 'tenant', tenant, id: '' },
    { kind: 'subject', tenant: '', id: sub },
    { kind: 'affiliation', tenant, id: sub },
    { kind: 'session', tenant: '', id: handle },
  ]
  if (device !== null) targets.push({ kind: 'device', tenant: '', id: device })
  return targets
}
