/**
 * Signed statements of an archive: checkpoints, which say what the chain was up to a row, and cuts, which say what retention
 * took away from its head. JSON, so that one can be kept elsewhere and read by a person. Each names the one before it by its
 * hash: none can be taken out, and who has verified the last has verified all.
 */
import { hash } from 'node:crypto'
import { type KeyRing, type SigningKey, signRecord, verifyRecord } from '@countersign/envelope'
import type { Note } from './notes.ts'

interface Stated {
  /** Id of the archive. */
  readonly archive: string
  /** From 1, rising by one. */
  readonly n: number
  /** SHA-256 of the body of the statement before it, hexadecimal; null for the first. */
  readonly previous: string | null
  /** When it was signed, epoch milliseconds. */
  readonly at: number
  /** The row it is about, and its hash, hexadecimal. */
  readonly seq: number
  readonly hash: string
}

/** The chain up to `seq` ends in `hash`. */
export interface Checkpoint extends Stated {
  readonly kind: 'checkpoint'
  /** Everything the log had appended before then is in the archive, epoch milliseconds; 0: not known. */
  readonly as_of: number
}

/** Rows up to `seq` are gone on purpose; the next one follows `hash`. */
export interface Cut extends Stated {
  readonly kind: 'cut'
  /** Rows taken away by this cut, and by all cuts. */
  readonly rows: number
  readonly rows_in_all: number
  /** All of them were appended before then, epoch milliseconds. */
  readonly before: number
  /** Statements below this number are gone with them. */
  readonly statements_from: number
  /** What rows before it said about topics and schemas. */
  readonly notes: readonly Note[]
  /** Topic, partition and offset of the last row of each partition among them and before. */
  readonly positions: readonly (readonly [topic: string, partition: number, offset: number])[]
}

export type Statement = Checkpoint | Cut

/** A statement as it stands. */
export interface SignedStatement {
  readonly body: Uint8Array
  /** Header value as on the signals log. */
  readonly signature: Uint8Array
}

/** Whose statements count: pinned raw public keys, or those a trust bundle lets sign as `audit`. */
export interface AuditKeys {
  readonly pinned: readonly Uint8Array[]
  readonly rings: readonly KeyRing[]
}

const RECORD = 'AuditStatement'

export function signStatement(statement: Statement, key: SigningKey): SignedStatement {
  const body = Buffer.from(JSON.stringify(statement))
  return { body, signature: signRecord(RECORD, body, key) }
}

/** What the next statement names this one by. */
export function statementHash(body: Uint8Array): string {
  return hash('sha256', body, 'hex')
}

/** @returns null for what is no statement. */
export function readStatement(body: Uint8Array): Statement | null {
  try {
    const { kind, ...rest } = JSON.parse(Buffer.from(body).toString())
    const numbers = [rest.n, rest.seq, rest.at].every(Number.isSafeInteger)
    if ((kind !== 'checkpoint' && kind !== 'cut') || !numbers || typeof rest.hash !== 'string') return null
    return { kind, ...rest }
  } catch {
    return null
  }
}

/** Whether one of the keys signed it. Cost: 90 µs a key. */
export function isSigned({ body, signature }: SignedStatement, { pinned, rings }: AuditKeys, at: number): boolean {
  if (pinned.length > 0 && verifyRecord(RECORD, body, signature, pinned, 'root', at).ok) return true
  return rings.some((ring) => verifyRecord(RECORD, body, signature, ring, 'audit', at).ok)
}
