/** The only place that touches the file. One request at a time, in order, synchronously. */
import * as accounts from './accounts.ts'
import { Database, FileFault, identityOf } from './database.ts'
import { draftText, Emitter } from './emitter.ts'
import * as endings from './endings.ts'
import * as outbox from './outbox.ts'
import type { Call, Failure, Outcome, Reply, Request } from './protocol.ts'
import * as sessions from './sessions.ts'

// The port types each call where it is made; here arguments arrive as the port's own, cloned.
// biome-ignore lint/suspicious/noExplicitAny: see above
type Operation = (db: Database, ...args: any[]) => unknown
// biome-ignore lint/suspicious/noExplicitAny: see above
type Step = (db: Database, emitter: Emitter, ...args: any[]) => unknown

const READS: Readonly<Record<string, Operation>> = {
  account: accounts.account,
  accountByEmail: accounts.accountByEmail,
  affiliation: accounts.affiliation,
  affiliationsOf: accounts.affiliationsOf,
  resetCodeOwner: accounts.resetCodeOwner,
  secret: accounts.secret,
  tenants: accounts.tenants,
  resolveSession: sessions.resolveSession,
  session: sessions.session,
  target: sessions.storedTarget,
  revocation: endings.revocation,
  logName: outbox.logName,
  highestSeq: outbox.highestSeq,
  pendingRows: outbox.pendingRows,
  acknowledgedRows: outbox.acknowledgedRows,
  keptRows: outbox.keptRows,
  acknowledgedPosition: outbox.acknowledgedPosition,
  bundle: outbox.bundle,
}

const WRITES: Readonly<Record<string, Operation>> = {
  createAccount: accounts.createAccount,
  createAffiliation: accounts.createAffiliation,
  restoreAccount: accounts.restoreAccount,
  restoreAffiliation: accounts.restoreAffiliation,
  putResetCode: accounts.putResetCode,
  putSecret: accounts.putSecret,
  admitAttempt: accounts.admitAttempt,
  settleAttempt: accounts.settleAttempt,
  touchSession: sessions.touchSession,
  expiredSessions: sessions.expiredSessions,
  nameLog: outbox.nameLog,
  acknowledge: outbox.acknowledge,
  repend: outbox.repend,
  dropRows: outbox.dropRows,
  putBundle: outbox.putBundle,
}

const STEPS: Readonly<Record<string, Step>> = {
  end: endings.end,
  createSession: sessions.createSession,
  adopt: endings.adopt,
}

/** One open file and its answers. Owns no thread: the worker drives it, or whoever needs no thread. */
export class Engine {
  readonly #path: string
  #db: Database | null = null
  #opened = false

  constructor(path: string) {
    this.#path = path
  }

  /** Never throws: failures are replies. */
  answer(request: Request): Reply {
    const { id } = request
    if (request.kind === 'read') {
      return { id, kind: 'done', outcomes: [run(() => read(this.#current(), request.call))] }
    }
    let file: Database
    try {
      file = this.#current()
      file.exec('BEGIN IMMEDIATE')
    } catch (error) {
      return { id, kind: 'failed', failure: failureOf(error, 'none') }
    }
    let committing = false
    try {
      const emitter = new Emitter(file, request.sealed)
      const outcomes = request.calls.map((call) => apply(file, emitter, call))
      if (!emitter.complete) {
        file.exec('ROLLBACK')
        return { id, kind: 'drafts', drafts: emitter.drafts, text: draftText(emitter.drafts) }
      }
      committing = true
      file.exec('COMMIT')
      return { id, kind: 'done', outcomes }
    } catch (error) {
      try {
        file.exec('ROLLBACK')
      } catch {
        // The engine has rolled back already.
      }
      return { id, kind: 'failed', failure: failureOf(error, committing ? 'unknown' : 'none') }
    }
  }

  close(): void {
    this.#db?.close()
    this.#db = null
  }

  #current(): Database {
    const identity = identityOf(this.#path)
    // A file that vanished is a store that is away, not an empty one.
    if (identity === null && this.#opened) throw new FileFault('unavailable', 'the file is gone')
    if (identity !== this.#db?.identity) this.close()
    this.#db ??= new Database(this.#path)
    this.#opened = true
    return this.#db
  }
}

function read(file: Database, { method, args }: Call): unknown {
  // One snapshot for all statements of a call: a session and its targets must be of one moment.
  file.exec('BEGIN')
  try {
    return READS[method]?.(file, ...args)
  } finally {
    file.exec('COMMIT')
  }
}

// Each call stands alone: one that fails or is refused takes back its own changes and no others.
function apply(file: Database, emitter: Emitter, { method, args }: Call): Outcome {
  const drafted = emitter.drafts.length
  file.exec('SAVEPOINT call')
  const outcome = run(() => (STEPS[method] ? STEPS[method](file, emitter, ...args) : WRITES[method]?.(file, ...args)))
  if ('failure' in outcome || isRefused(outcome.value)) {
    file.exec('ROLLBACK TO call')
    emitter.truncate(drafted)
  }
  file.exec('RELEASE call')
  return outcome
}

function run(operation: () => unknown): Outcome {
  try {
    return { value: operation() }
  } catch (error) {
    return { failure: failureOf(error, 'none') }
  }
}

function isRefused(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'refused' in value
}

const CODES = {
  engine_unsafe: 'SESSION_STORE_ENGINE_UNSAFE',
  schema_unknown: 'SESSION_STORE_SCHEMA_UNKNOWN',
  unavailable: 'SESSION_STORE_UNAVAILABLE',
} as const

// The engine's message can quote values; only its kind leaves the thread.
function failureOf(error: unknown, outcome: Failure['outcome']): Failure {
  if (error instanceof FileFault) return { code: CODES[error.kind], outcome, reason: error.message }
  const code = error instanceof Error && 'errcode' in error ? `SQLite error ${String(error.errcode)}` : 'internal error'
  return { code: 'SESSION_STORE_UNAVAILABLE', outcome, reason: code }
}
