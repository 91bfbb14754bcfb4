/** Rows of the tables and the records they stand for. Runs in the worker thread only. */
import type { SignalTarget } from '@countersign/schemas'
import type { OutboxRow } from '../outbox.ts'
import {
  type Account,
  type Affiliation,
  type PasswordHash,
  RECORD_SCHEMA,
  type Session,
  type VersionedTarget,
} from '../records.ts'
import { type Database, FileFault } from './database.ts'

interface Versioned {
  schema: number
}

export interface AccountRow extends Versioned {
  sub: string
  email: string
  password: string | null
  state: Account['state']
  revision: number
  created_at: number
}

export interface AffiliationRow extends Versioned {
  tenant: string
  sub: string
  roles: string
  state: Affiliation['state']
  revision: number
}

export interface SessionRow extends Versioned {
  handle: string
  sub: string
  tenant: string
  device: string | null
  created_at: number
  last_seen_at: number
  idle_expires_at: number
  absolute_expires_at: number
  auth_time: number
  amr: string
  acr: string | null
  targets: string
  ended_at: number | null
}

export interface SignalRow extends Versioned {
  seq: number
  id: Uint8Array
  body: Uint8Array
  signature: Uint8Array
  floor: number
  log_id: string | null
  log_offset: number | null
  created_at: number
}

export function accountOf(row: AccountRow): Account {
  known(row)
  const { sub, email, state, revision, created_at } = row
  return {
    sub,
    email,
    password: row.password === null ? null : passwordOf(row.password),
    state,
    revision,
    createdAt: created_at,
  }
}

export function affiliationOf(row: AffiliationRow): Affiliation {
  known(row)
  const { tenant, sub, state, revision } = row
  return { tenant, sub, roles: JSON.parse(row.roles) as string[], state, revision }
}

export function sessionOf(row: SessionRow): Session {
  known(row)
  return {
    handle: row.handle,
    sub: row.sub,
    tenant: row.tenant,
    device: row.device,
    createdAt: row.created_at,
    lastSeenAt: row.last_seen_at,
    idleExpiresAt: row.idle_expires_at,
    absoluteExpiresAt: row.absolute_expires_at,
    authTime: row.auth_time,
    amr: JSON.parse(row.amr) as string[],
    acr: row.acr,
    targets: JSON.parse(row.targets) as VersionedTarget[],
  }
}

export function outboxRowOf(row: SignalRow): OutboxRow {
  known(row)
  const { seq, floor, log_id, log_offset } = row
  const position = log_id === null || log_offset === null ? null : { log_id, offset: log_offset }
  const state = position === null ? 'pending' : 'acknowledged'
  const { id, body, signature } = row as unknown as { id: Buffer; body: Buffer; signature: Buffer }
  return { seq, id, body, signature, state, position, floor, createdAt: row.created_at }
}

export function passwordText({ salt, hash, n, r, p }: PasswordHash): string {
  return JSON.stringify({
    salt: Buffer.from(salt).toString('base64'),
    hash: Buffer.from(hash).toString('base64'),
    n,
    r,
    p,
  })
}

function passwordOf(text: string): PasswordHash {
  const { salt, hash, n, r, p } = JSON.parse(text) as { salt: string; hash: string; n: number; r: number; p: number }
  return { salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64'), n, r, p }
}

export interface TargetRow {
  version: number
  ended_below: number
}

export function targetRow(db: Database, { kind, tenant, id }: SignalTarget): TargetRow | undefined {
  return db.get('SELECT version, ended_below FROM target WHERE kind = ? AND tenant = ? AND id = ?', kind, tenant, id)
}

/** True when nothing has ended the session: neither itself, nor one of its targets, nor time. */
export function isLive(db: Database, row: SessionRow, now: number): boolean {
  return row.ended_at === null && now < Math.min(row.idle_expires_at, row.absolute_expires_at) && !isHit(db, row)
}

/** True when one of the session's targets was ended since the session was made. */
export function isHit(db: Database, row: SessionRow): boolean {
  const targets = JSON.parse(row.targets) as VersionedTarget[]
  return targets.some((t) => t.version < (targetRow(db, t)?.ended_below ?? 0))
}

// A newer process may have written it with facts this one would drop: refusing is the only safe reading.
function known({ schema }: Versioned): void {
  if (schema > RECORD_SCHEMA) throw new FileFault('schema_unknown', `record schema ${schema}`)
}
