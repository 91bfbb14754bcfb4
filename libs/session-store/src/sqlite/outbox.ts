/** The outbox subset. Callers hold the transaction where they write. */
import type { LogPosition } from '@countersign/schemas'
import type { BundleRecord, LogName, OutboxPort, OutboxRow } from '../outbox.ts'
import type { Database } from './database.ts'
import { outboxRowOf, type SignalRow } from './rows.ts'

export function logName(db: Database): LogName | null {
  const text = db.meta<string>('log')
  return text === undefined ? null : (JSON.parse(text) as LogName)
}

export function nameLog(db: Database, name: LogName, replaces: string | null): LogName {
  const named = logName(db)
  if ((named?.log_id ?? null) !== replaces) return named as LogName
  db.setMeta('log', JSON.stringify({ log_id: name.log_id, predecessor: name.predecessor }))
  db.setMeta('acknowledged_offset', null)
  db.run('UPDATE outbox SET log_id = NULL, log_offset = NULL WHERE log_offset IS NOT NULL')
  return logName(db) as LogName
}

export function highestSeq(db: Database): number {
  return db.meta<number>('seq') ?? 0
}

export function pendingRows(db: Database, o: Parameters<OutboxPort['pendingRows']>[0]): OutboxRow[] {
  const sql = 'SELECT * FROM outbox WHERE log_offset IS NULL AND seq >= ? ORDER BY seq LIMIT ?'
  return db.all<SignalRow>(sql, o.fromSeq, o.limit).map(outboxRowOf)
}

export function acknowledgedRows(db: Database, o: Parameters<OutboxPort['acknowledgedRows']>[0]): OutboxRow[] {
  const sql = 'SELECT * FROM outbox WHERE seq >= ? AND log_offset <= ? AND log_id = ? ORDER BY seq LIMIT ?'
  return db.all<SignalRow>(sql, o.fromSeq, o.toOffset, logName(db)?.log_id ?? '', o.limit).map(outboxRowOf)
}

export function keptRows(db: Database, fromSeq: number, limit: number): OutboxRow[] {
  return db.all<SignalRow>('SELECT * FROM outbox WHERE seq >= ? ORDER BY seq LIMIT ?', fromSeq, limit).map(outboxRowOf)
}

export function acknowledgedPosition(db: Database): LogPosition | null {
  const offset = db.meta<number | null>('acknowledged_offset') ?? null
  const named = logName(db)
  return offset === null || named === null ? null : { log_id: named.log_id, offset }
}

export function acknowledge(db: Database, acks: readonly { seq: number; position: LogPosition }[]): void {
  const named = logName(db)?.log_id
  let highest = db.meta<number | null>('acknowledged_offset') ?? -1
  for (const { seq, position } of acks) {
    if (position.log_id !== named) continue
    const sql = 'UPDATE outbox SET log_id = ?, log_offset = ? WHERE seq = ? AND (log_offset IS NULL OR log_offset > ?)'
    db.run(sql, position.log_id, position.offset, seq, position.offset)
    highest = Math.max(highest, position.offset)
  }
  if (highest >= 0) db.setMeta('acknowledged_offset', highest)
}

export function repend(db: Database, seqs: readonly number[]): void {
  for (const seq of seqs) db.run('UPDATE outbox SET log_id = NULL, log_offset = NULL WHERE seq = ?', seq)
}

export function dropRows(db: Database, horizon: number): number {
  const dropped = db.run('DELETE FROM outbox WHERE floor < ? AND log_offset IS NOT NULL', horizon)
  db.run('DELETE FROM session WHERE ended_at < ?', horizon)
  db.run(
    `DELETE FROM revocation WHERE created_at < ? AND NOT EXISTS
       (SELECT 1 FROM json_each(revocation.seqs) s JOIN outbox o ON o.seq = s.value)`,
    horizon,
  )
  // Ended sessions say so in their own row; these kinds are never issued under an old version again.
  db.run(`DELETE FROM target WHERE kind IN ('session', 'family', 'token', 'transaction') AND version < ?`, horizon)
  return dropped
}

export function bundle(db: Database): BundleRecord | null {
  const version = db.meta<number>('bundle_version')
  if (version === undefined) return null
  return {
    version,
    body: db.meta<Buffer>('bundle_body') as Buffer,
    signature: db.meta<Buffer>('bundle_signature') as Buffer,
  }
}

export function putBundle(db: Database, record: BundleRecord): BundleRecord {
  if (record.version > (db.meta<number>('bundle_version') ?? 0)) {
    db.setMeta('bundle_version', record.version)
    db.setMeta('bundle_body', record.body)
    db.setMeta('bundle_signature', record.signature)
  }
  return bundle(db) as BundleRecord
}
