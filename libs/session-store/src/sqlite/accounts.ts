/** Accounts, affiliations, reset codes, secrets and attempts. Callers hold the transaction. */
import type { SignalTarget } from '@countersign/schemas'
import type { AttemptRule, Refused, SessionStore } from '../port.ts'
import { type Account, type Affiliation, RECORD_SCHEMA, type Secret, type VersionedTarget } from '../records.ts'
import type { Database } from './database.ts'
import { roleText } from './endings.ts'
import { type AccountRow, type AffiliationRow, accountOf, affiliationOf, passwordText, targetRow } from './rows.ts'

export function createAccount(db: Database, o: Parameters<SessionStore['createAccount']>[0]): Account | Refused {
  if (db.get('SELECT 1 FROM account WHERE email = ? OR sub = ?', o.email, o.sub)) return { refused: 'email_taken' }
  db.run(
    `INSERT INTO account (sub, email, password, state, revision, created_at, schema) VALUES (?, ?, ?, 'active', 1, ?, ?)`,
    ...[o.sub, o.email, passwordText(o.password), o.now, RECORD_SCHEMA],
  )
  currentVersion(db, { kind: 'subject', tenant: '', id: o.sub }, o.atLeast, o.now)
  for (const a of o.affiliations) createAffiliation(db, { ...o, ...a })
  return account(db, o.sub) as Account
}

export function createAffiliation(
  db: Database,
  o: Parameters<SessionStore['createAffiliation']>[0],
): Affiliation | Refused {
  if (account(db, o.sub) === null) return { refused: 'account_unknown' }
  db.run(
    `INSERT OR IGNORE INTO affiliation (tenant, sub, roles, state, revision, schema) VALUES (?, ?, ?, 'active', 1, ?)`,
    ...[o.tenant, o.sub, roleText(o.roles), RECORD_SCHEMA],
  )
  currentVersion(db, { kind: 'tenant', tenant: o.tenant, id: '' }, o.atLeast, o.now)
  currentVersion(db, { kind: 'affiliation', tenant: o.tenant, id: o.sub }, o.atLeast, o.now)
  return affiliation(db, o.tenant, o.sub) as Affiliation
}

/**
 * Gives the version in force of a target, never below what the log has shown of it. A target not stored yet
 * begins now: later endings are above it, and earlier ones it never met.
 */
export function currentVersion(
  db: Database,
  target: SignalTarget,
  atLeast: readonly VersionedTarget[],
  now: number,
): number {
  const { kind, tenant, id } = target
  const seen = atLeast.find((t) => t.kind === kind && t.tenant === tenant && t.id === id)?.version ?? 0
  const stored = targetRow(db, target)?.version
  const version = Math.max(stored ?? now, seen)
  if (version !== stored) {
    db.run(
      `INSERT INTO target (kind, tenant, id, version, ended_below) VALUES (?, ?, ?, ?, 0)
       ON CONFLICT (kind, tenant, id) DO UPDATE SET version = excluded.version`,
      ...[kind, tenant, id, version],
    )
  }
  return version
}

export function account(db: Database, sub: string): Account | null {
  const row = db.get<AccountRow>('SELECT * FROM account WHERE sub = ?', sub)
  return row ? accountOf(row) : null
}

export function accountByEmail(db: Database, email: string): Account | null {
  const row = db.get<AccountRow>('SELECT * FROM account WHERE email = ?', email)
  return row ? accountOf(row) : null
}

export function affiliation(db: Database, tenant: string, sub: string): Affiliation | null {
  const row = db.get<AffiliationRow>('SELECT * FROM affiliation WHERE tenant = ? AND sub = ?', tenant, sub)
  return row ? affiliationOf(row) : null
}

export function affiliationsOf(db: Database, sub: string): Affiliation[] {
  return db.all<AffiliationRow>('SELECT * FROM affiliation WHERE sub = ? ORDER BY tenant', sub).map(affiliationOf)
}

export function restoreAccount(db: Database, sub: string): Account | Refused {
  db.run(`UPDATE account SET state = 'active', revision = revision + 1 WHERE sub = ? AND state = 'suspended'`, sub)
  const restored = account(db, sub)
  return restored?.state === 'active' ? restored : { refused: 'account_unknown' }
}

export function restoreAffiliation(db: Database, tenant: string, sub: string): Affiliation | Refused {
  const sql = `UPDATE affiliation SET state = 'active', revision = revision + 1 WHERE tenant = ? AND sub = ? AND state = 'suspended'`
  db.run(sql, tenant, sub)
  return affiliation(db, tenant, sub) ?? { refused: 'affiliation_unknown' }
}

export function putResetCode(db: Database, o: Parameters<SessionStore['putResetCode']>[0]): void {
  db.run(
    `INSERT INTO reset_code (sub, code_hash, expires_at) VALUES (?, ?, ?)
     ON CONFLICT (sub) DO UPDATE SET code_hash = excluded.code_hash, expires_at = excluded.expires_at`,
    ...[o.sub, o.codeHash, o.expiresAt],
  )
}

export function resetCodeOwner(db: Database, codeHash: Uint8Array, now: number): string | null {
  const sql = 'SELECT sub FROM reset_code WHERE code_hash = ? AND expires_at > ?'
  return db.get<{ sub: string }>(sql, codeHash, now)?.sub ?? null
}

export function putSecret(db: Database, { name, use, hash }: Secret): void {
  db.run(
    `INSERT INTO secret (hash, name, purpose, schema) VALUES (?, ?, ?, ?)
     ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, purpose = excluded.purpose`,
    ...[hash, name, use, RECORD_SCHEMA],
  )
}

export function secret(db: Database, hash: Uint8Array): Secret | null {
  return db.get<Secret>('SELECT name, purpose AS use, hash FROM secret WHERE hash = ?', hash) ?? null
}

interface AttemptRow {
  key: string
  attempts: number
  rests_until: number
  last_at: number
}

export function admitAttempt(
  db: Database,
  { keys, now, baseMs, maxMs, forgetMs }: AttemptRule & { now: number },
): number {
  const rows = keys.map(({ key, free }) => {
    const row = db.get<AttemptRow>('SELECT * FROM attempt WHERE key = ?', key)
    // A clock stepped back must not leave a key resting for longer than the rule can ask.
    const usable = row && now - row.last_at < forgetMs && row.rests_until - now <= maxMs
    return { key, free, attempts: usable ? row.attempts : 0, restsUntil: usable ? row.rests_until : 0 }
  })
  const wait = Math.max(0, ...rows.map((row) => row.restsUntil - now))
  if (wait > 0) return wait
  for (const { key, free, attempts } of rows) {
    const count = attempts + 1
    const rest = count < free ? 0 : Math.min(maxMs, baseMs * 2 ** (count - free))
    db.run(
      `INSERT INTO attempt (key, attempts, rests_until, last_at) VALUES (?, ?, ?, ?) ON CONFLICT (key)
       DO UPDATE SET attempts = excluded.attempts, rests_until = excluded.rests_until, last_at = excluded.last_at`,
      ...[key, count, now + rest, now],
    )
  }
  // Keys come from whoever knocks: forgotten ones go, a few with each attempt, so that the table stays small.
  db.run(
    'DELETE FROM attempt WHERE key IN (SELECT key FROM attempt WHERE last_at <= ? ORDER BY last_at LIMIT 8)',
    now - forgetMs,
  )
  return 0
}

export function settleAttempt(db: Database, keys: { cleared: readonly string[]; refunded: readonly string[] }): void {
  for (const key of keys.cleared) db.run('DELETE FROM attempt WHERE key = ?', key)
  const refund = 'UPDATE attempt SET attempts = max(0, attempts - 1), rests_until = last_at WHERE key = ?'
  for (const key of keys.refunded) db.run(refund, key)
}

export function tenants(db: Database): string[] {
  return db.all<{ tenant: string }>('SELECT DISTINCT tenant FROM affiliation ORDER BY tenant').map((row) => row.tenant)
}
