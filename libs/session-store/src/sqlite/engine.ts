/** The only place that touches the file. One request at a time, in order, synchronously. */
import { stepOf } from '../steps/index.ts'
import { type Step, Tx } from '../steps/tx.ts'
import { Database, FileFault, identityOf } from './database.ts'
import { failureOf } from './failure.ts'
import { type Call, draftText, type Outcome, type Reply, type Request } from './protocol.ts'

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
      const tx = new Tx()
      const outcomes = request.calls.map((call) => run(() => answered(file, stepOf(tx, call.method, call.args))))
      // Signing happens on the owner's thread, and no transaction stays open while the threads talk: the calls run once
      // to learn what must be signed, and again with the signatures. Only what was signed as drafted is written; another
      // process may have taken the sequence meanwhile.
      const text = draftText(tx.drafts)
      if (tx.drafts.length > 0 && request.sealed?.drafts !== text) {
        file.exec('ROLLBACK')
        return { id, kind: 'drafts', drafts: tx.drafts, text }
      }
      file.write(tx.changes(request.sealed?.seals))
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
  // One snapshot for all that a call asks: a session and its targets must be of one moment.
  file.exec('BEGIN')
  try {
    return answered(file, stepOf(new Tx(), method, args))
  } finally {
    file.exec('COMMIT')
  }
}

function answered<T>(file: Database, step: Step<T>): T {
  let next = step.next()
  while (!next.done) next = step.next(file.answer(next.value))
  return next.value
}

function run(operation: () => unknown): Outcome {
  try {
    return { value: operation() }
  } catch (error) {
    return { failure: failureOf(error, 'none') }
  }
}
