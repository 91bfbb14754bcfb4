/** The ending step: a change, the floors it raises and their rows. Callers hold the transaction. */
import type { SignalTarget } from '@countersign/schemas'
import type { Change, Ended, Ending, LostSignal, Raise, Refusal, Refused } from '../port.ts'
import { RECORD_SCHEMA, type Revocation } from '../records.ts'
import type { Database } from './database.ts'
import { type Emitter, signalId } from './emitter.ts'
import { isLive, passwordText, type SessionRow, targetRow } from './rows.ts'

export function end(db: Database, emitter: Emitter, step: Ending): Ended | Refused {
  const before = requestOf(db, step.id)
  if (before) {
    // An empty request stands for one a rollback lost: its signal is known, what was asked is not.
    const same = before.length === 0 || Buffer.from(before).equals(step.request)
    return same ? { revocation: revocation(db, step.id) as Revocation, repeated: true } : { refused: 'id_reused' }
  }
  if (isBehind(db, step.seenSeq)) return { refused: 'store_behind_log' }
  const refused = change(db, step.change, step.now)
  if (refused) return { refused }

  const floors = new Map<string, number>()
  const seqs = step.raises.map((raise, index) => {
    const name = JSON.stringify([raise.target.kind, raise.target.tenant, raise.target.id])
    const floor = floors.get(name) ?? nextFloor(db, raise, step.now)
    floors.set(name, floor)
    raiseTarget(db, raise.target, floor, raise.effect, step.now)
    const { target, effect, fallback } = raise
    const { cause, initiator } = step
    return emitter.emit({ id: signalId(step.id, index), target, effect, fallback, floor, cause, initiator }, step.now)
  })
  insertRevocation(db, { ...step, seqs, createdAt: step.now })
  return { revocation: revocation(db, step.id) as Revocation, repeated: false }
}

/** True when the log has shown a sequence this store never gave out. */
export function isBehind(db: Database, seenSeq: number): boolean {
  return (db.meta<number>('seq') ?? 0) < seenSeq
}

export function revocation(db: Database, id: Uint8Array): Revocation | null {
  const row = db.get<{
    id: Buffer
    request: Buffer
    cause: string
    initiator: string
    tenant: string | null
    seqs: string
    created_at: number
  }>('SELECT * FROM revocation WHERE id = ?', id)
  if (!row) return null
  const { cause, initiator, tenant } = row
  const seqs = JSON.parse(row.seqs) as number[]
  let pending = false
  let position: Revocation['position'] = null
  for (const seq of seqs) {
    const at = db.get<{ log_id: string; log_offset: number | null }>(
      'SELECT log_id, log_offset FROM outbox WHERE seq = ?',
      seq,
    )
    // A row that is gone was acknowledged: others are never dropped.
    if (at?.log_offset === null) pending = true
    else if (at && at.log_offset > (position?.offset ?? -1)) position = { log_id: at.log_id, offset: at.log_offset }
  }
  const state = pending ? 'pending' : 'acknowledged'
  return {
    id: row.id,
    request: row.request,
    cause,
    initiator,
    tenant,
    seqs,
    state,
    position: pending ? null : position,
    createdAt: row.created_at,
  }
}

export function adopt(
  db: Database,
  emitter: Emitter,
  lost: readonly LostSignal[],
  seq: number,
  endings: readonly Ending[],
): void {
  for (const { signal, body, signature, position, roles } of lost) {
    const values = [
      signal.seq,
      signal.id,
      body,
      signature,
      signal.floor,
      position.log_id,
      position.offset,
      signal.floor,
      RECORD_SCHEMA,
    ] as const
    const added = db.run(
      'INSERT OR IGNORE INTO outbox (seq, id, body, signature, floor, log_id, log_offset, created_at, schema) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      ...values,
    )
    if (added === 0) continue
    const { id, target, effect, cause, initiator, floor } = signal
    raiseTarget(db, target, floor, effect, floor)
    reapply(db, target, effect, roles)
    if (!requestOf(db, id)) {
      insertRevocation(db, {
        id,
        request: Buffer.alloc(0),
        cause,
        initiator,
        tenant: target.tenant || null,
        seqs: [signal.seq],
        createdAt: floor,
      })
    }
  }
  db.setMeta('seq', Math.max(seq, db.meta<number>('seq') ?? 0))
  for (const ending of endings) end(db, emitter, ending)
}

function requestOf(db: Database, id: Uint8Array): Uint8Array | undefined {
  return db.get<{ request: Uint8Array }>('SELECT request FROM revocation WHERE id = ?', id)?.request
}

type NewRevocation = Pick<Ending, 'cause' | 'initiator' | 'tenant'> & {
  id: Uint8Array
  request: Uint8Array
  seqs: readonly number[]
  createdAt: number
}

function insertRevocation(db: Database, r: NewRevocation): void {
  const values = [
    r.id,
    r.request,
    r.cause,
    r.initiator,
    r.tenant,
    JSON.stringify(r.seqs),
    r.createdAt,
    RECORD_SCHEMA,
  ] as const
  db.run(
    'INSERT INTO revocation (id, request, cause, initiator, tenant, seqs, created_at, schema) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ...values,
  )
}

// Above what is stored and above what the log has shown, so that whatever carries either is hit.
function nextFloor(db: Database, { target, atLeast }: Raise, now: number): number {
  return Math.max((targetRow(db, target)?.version ?? 0) + 1, atLeast + 1, now)
}

function raiseTarget(
  db: Database,
  { kind, tenant, id }: SignalTarget,
  floor: number,
  effect: string,
  now: number,
): void {
  const ends = !effect.startsWith('scope:')
  db.run(
    `INSERT INTO target (kind, tenant, id, version, ended_below) VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, tenant, id)
     DO UPDATE SET version = max(version, excluded.version), ended_below = max(ended_below, excluded.ended_below)`,
    ...[kind, tenant, id, floor, ends ? floor : 0],
  )
  // The session's own row says so too: its target row may be forgotten before it is.
  if (ends && kind === 'session')
    db.run('UPDATE session SET ended_at = ? WHERE handle = ? AND ended_at IS NULL', now, id)
}

function change(db: Database, c: Change, now: number): Refusal | null {
  switch (c.kind) {
    case 'none':
      return null
    case 'session_ended': {
      const row = db.get<SessionRow>('SELECT * FROM session WHERE handle = ?', c.handle)
      if (!row || !isLive(db, row, c.expiredBy === undefined ? now : 0)) return 'session_unknown'
      if (c.expiredBy !== undefined && isLive(db, row, c.expiredBy)) return 'session_not_expired'
      db.run('UPDATE session SET ended_at = ? WHERE handle = ?', now, c.handle)
      return null
    }
    case 'account_suspended':
      return setState(db, c.sub, 'suspended')
    case 'account_deleted': {
      const refused = setState(db, c.sub, 'deleted')
      if (refused) return refused
      // The row stays, so that the subject id is never given out again; the address becomes free.
      db.run(`UPDATE account SET email = 'deleted:' || sub, password = NULL WHERE sub = ?`, c.sub)
      db.run('DELETE FROM affiliation WHERE sub = ?', c.sub)
      db.run('DELETE FROM reset_code WHERE sub = ?', c.sub)
      return null
    }
    case 'affiliation_suspended': {
      const sql = `UPDATE affiliation SET state = 'suspended', revision = revision + 1 WHERE tenant = ? AND sub = ?`
      return db.run(sql, c.tenant, c.sub) === 0 ? 'affiliation_unknown' : null
    }
    case 'affiliation_removed':
      return db.run('DELETE FROM affiliation WHERE tenant = ? AND sub = ?', c.tenant, c.sub) === 0
        ? 'affiliation_unknown'
        : null
    case 'roles_set': {
      if (!db.get('SELECT 1 FROM affiliation WHERE tenant = ? AND sub = ?', c.tenant, c.sub))
        return 'affiliation_unknown'
      const sql =
        'UPDATE affiliation SET roles = ?, revision = revision + 1 WHERE tenant = ? AND sub = ? AND revision = ?'
      return db.run(sql, roleText(c.roles), c.tenant, c.sub, c.revision) === 0 ? 'affiliation_changed' : null
    }
    case 'password_reset': {
      const used = db.run(
        'DELETE FROM reset_code WHERE sub = ? AND code_hash = ? AND expires_at > ?',
        c.sub,
        c.codeHash,
        now,
      )
      if (used === 0) return 'reset_code_unknown'
      const sql = `UPDATE account SET password = ?, revision = revision + 1 WHERE sub = ? AND state <> 'deleted'`
      return db.run(sql, passwordText(c.password), c.sub) === 0 ? 'account_unknown' : null
    }
  }
}

function setState(db: Database, sub: string, state: 'suspended' | 'deleted'): Refusal | null {
  const sql = `UPDATE account SET state = ?, revision = revision + 1 WHERE sub = ? AND state <> 'deleted'`
  return db.run(sql, state, sub) === 0 ? 'account_unknown' : null
}

function reapply(db: Database, target: SignalTarget, effect: string, roles: readonly string[] | undefined): void {
  const { kind, tenant, id } = target
  if (kind === 'subject' && effect === 'reason:suspension') setState(db, id, 'suspended')
  else if (kind === 'subject' && effect === 'reason:offboarding') change(db, { kind: 'account_deleted', sub: id }, 0)
  else if (kind === 'subject' && effect === 'reason:password_reset') {
    db.run('UPDATE account SET password = NULL, revision = revision + 1 WHERE sub = ?', id)
  } else if (kind === 'affiliation' && effect === 'reason:suspension')
    change(db, { kind: 'affiliation_suspended', tenant, sub: id }, 0)
  else if (kind === 'affiliation' && effect === 'reason:offboarding')
    change(db, { kind: 'affiliation_removed', tenant, sub: id }, 0)
  else if (kind === 'affiliation' && roles) {
    db.run(
      'UPDATE affiliation SET roles = ?, revision = revision + 1 WHERE tenant = ? AND sub = ?',
      roleText(roles),
      tenant,
      id,
    )
  }
}

export function roleText(roles: readonly string[]): string {
  return JSON.stringify([...new Set(roles)].sort())
}
