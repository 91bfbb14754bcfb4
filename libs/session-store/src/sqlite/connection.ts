/** The owner's end of the engine: batches writes, signs what they draft, maps failures. */
import { Worker } from 'node:worker_threads'
import type { Sealer } from '../port.ts'
import type { Method } from '../steps/index.ts'
import { Engine } from './engine.ts'
import { errorOf, type Failure } from './failure.ts'
import { type Call, type Outcome, type Reply, type Request, rebuffer, type SealedDrafts } from './protocol.ts'

interface Waiting {
  readonly call: Call
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

type Body<T> = T extends unknown ? Omit<T, 'id'> : never

// Writes asked for while a transaction is being synced share the next one: one sync for all of them.
const BATCH = 128
// Each lost race costs one round; another process must win every one of them for a step to fail.
const ROUNDS = 50

/** Asks the engine, wherever it runs. */
interface Link {
  /** @throws {SESSION_STORE_CLOSED} @throws {SESSION_STORE_UNAVAILABLE} */
  ask(body: Body<Request>): Promise<Reply>
  close(): Promise<void>
}

/** The engine in a worker thread. */
export class ThreadLink implements Link {
  readonly #worker: Worker
  readonly #asked = new Map<number, { resolve: (reply: Reply) => void; reject: (error: unknown) => void }>()
  #next = 0
  #ended: Failure['code'] | null = null

  constructor(path: string) {
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js'
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData: { path } })
    this.#worker.on('message', (reply: Reply) => {
      this.#asked.get(reply.id)?.resolve(reply)
      this.#asked.delete(reply.id)
      if (this.#asked.size === 0) this.#worker.unref()
    })
    this.#worker.on('error', () => this.#end('SESSION_STORE_UNAVAILABLE'))
    this.#worker.on('exit', () => this.#end('SESSION_STORE_UNAVAILABLE'))
    this.#worker.unref()
  }

  ask(body: Body<Request>): Promise<Reply> {
    if (this.#ended)
      return Promise.reject(errorOf({ code: this.#ended, outcome: 'none', reason: 'the store is closed' }))
    return new Promise((resolve, reject) => {
      const id = this.#next++
      this.#asked.set(id, { resolve, reject })
      this.#worker.ref()
      this.#worker.postMessage({ ...body, id })
    })
  }

  async close(): Promise<void> {
    const ended = this.#ended
    this.#ended = 'SESSION_STORE_CLOSED'
    if (ended !== null) return
    this.#worker.ref()
    const exited = new Promise((resolve) => this.#worker.once('exit', resolve))
    this.#worker.postMessage('close')
    await exited
  }

  #end(code: Failure['code']): void {
    this.#ended ??= code
    // What was under way may have been committed before the thread went.
    for (const { reject } of this.#asked.values())
      reject(errorOf({ code, outcome: 'unknown', reason: 'the thread ended' }))
    this.#asked.clear()
  }
}

/** The engine on the caller's own thread: for tools with nothing else to do, and for deterministic runs. */
export class InlineLink implements Link {
  readonly #engine: Engine
  #closed = false

  constructor(path: string) {
    this.#engine = new Engine(path)
  }

  async ask(body: Body<Request>): Promise<Reply> {
    if (this.#closed) throw errorOf({ code: 'SESSION_STORE_CLOSED', outcome: 'none', reason: 'the store is closed' })
    return this.#engine.answer({ ...body, id: 0 })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#engine.close()
  }
}

export class Connection {
  readonly #link: Link
  readonly #seal: Sealer | undefined
  #queue: Waiting[] = []
  #writing: Promise<void> | null = null

  constructor(link: Link, seal: Sealer | undefined) {
    this.#link = link
    this.#seal = seal
  }

  async read(method: Method, args: readonly unknown[]): Promise<unknown> {
    const reply = await this.#link.ask({ kind: 'read', call: { method, args } })
    if (reply.kind !== 'done') throw errorOf(reply.kind === 'failed' ? reply.failure : LOST_RACES)
    return unwrap(reply.outcomes[0] as Outcome)
  }

  write(method: Method, args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ call: { method, args }, resolve, reject })
      this.#writing ??= this.#drain()
    })
  }

  /** Finishes what was asked for, then closes. Idempotent. */
  async close(): Promise<void> {
    while (this.#writing) await this.#writing
    await this.#link.close()
  }

  async #drain(): Promise<void> {
    // Lets calls of the same moment join the first batch.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH)
      try {
        const outcomes = await this.#commit(batch.map((waiting) => waiting.call))
        for (const [i, { resolve, reject }] of batch.entries()) {
          const outcome = outcomes[i] as Outcome
          if ('failure' in outcome) reject(errorOf(outcome.failure))
          else resolve(rebuffer(outcome.value))
        }
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#writing = null
  }

  async #commit(calls: readonly Call[]): Promise<readonly Outcome[]> {
    let sealed: SealedDrafts | null = null
    for (let round = 0; round < ROUNDS; round++) {
      const reply: Reply = await this.#link.ask({ kind: 'write', calls, sealed })
      if (reply.kind === 'done') return reply.outcomes
      if (reply.kind === 'failed') throw errorOf(reply.failure)
      const seal = this.#seal
      if (!seal) throw errorOf(NO_SEALER)
      sealed = { drafts: reply.text, seals: reply.drafts.map((draft) => seal({ ...draft, id: Buffer.from(draft.id) })) }
    }
    throw errorOf(LOST_RACES)
  }
}

const NO_SEALER: Failure = { code: 'SESSION_STORE_SEALER_MISSING', outcome: 'none', reason: 'opened without `seal`' }
const LOST_RACES: Failure = { code: 'SESSION_STORE_UNAVAILABLE', outcome: 'none', reason: 'other writers were faster' }

function unwrap(outcome: Outcome): unknown {
  if ('failure' in outcome) throw errorOf(outcome.failure)
  return rebuffer(outcome.value)
}
