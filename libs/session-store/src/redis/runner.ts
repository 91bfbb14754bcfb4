/**
 * Makes steps atomic on Redis, optimistically: what a step read is compared when it is written, by one script, and if any
 * of it has changed the step runs again. Steps that lose, and those that raise something, wait in one line and are
 * written together, so that those of this process neither fight over the next sequence nor starve each other.
 */
import type { Clock, Random } from '@countersign/kernel'
import { SessionStoreError } from '../errors.ts'
import type { Sealer } from '../port.ts'
import { StoreFault } from '../steps/layout.ts'
import type { Changes, Scores, Step, Tx } from '../steps/tx.ts'
import type { Connection } from './connection.ts'
import { errorOf, unavailable } from './failure.ts'
import { type Asked, Gathered } from './gathered.ts'
import { Recent } from './recent.ts'
import { commitOf, etags, type Names, type Read, type ReadSet, readOf, scoresOf } from './records.ts'
import { KEYS_PER_SCRIPT, type RangeAsk, Run, type Source } from './run.ts'
import { COMMIT, COUNT, RANGE, READ } from './scripts.ts'

/** Begins a step that leaves no change behind when it is refused or fails; called again for each run. */
export type Begin<T> = (tx: Tx) => Step<T>

export interface RunnerOptions {
  readonly connection: Connection
  readonly names: Names
  readonly seal: Sealer | undefined
  readonly timeoutMs: number
  readonly clock: Clock
  readonly random: Random
}

// Runs a step gets by itself before it waits in line.
const FREE_RUNS = 2
const BATCH = 64
// A reader that meets a change each time, or a line that loses to other processes each time, gives up.
const RUNS = 50
const LONGEST_PAUSE_MS = 20
interface Waiting {
  readonly begin: Begin<unknown>
  readonly deadline: number
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

type Result = { readonly value: unknown } | { readonly error: unknown }

const NOTHING: Changes = { puts: [], drops: [], entries: [] }

export class Runner implements Source {
  readonly names: Names
  readonly #connection: Connection
  readonly #seal: Sealer | undefined
  readonly #timeoutMs: number
  readonly #clock: Clock
  readonly #random: Random
  readonly #etag: () => string
  readonly #recent: Recent
  readonly #running = new Set<Promise<unknown>>()
  #gathered: Gathered | null = null
  #line: Waiting[] = []
  #moving: Promise<void> | null = null

  constructor({ connection, names, seal, timeoutMs, clock, random }: RunnerOptions) {
    this.names = names
    this.#connection = connection
    this.#seal = seal
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    this.#random = random
    this.#etag = etags(random)
    this.#recent = new Recent(clock)
  }

  /** Runs a step that changes nothing. What it answers stood at one moment. */
  read<T>(begin: Begin<T>): Promise<T> {
    return this.#track(this.#read(begin))
  }

  /** Runs a step and writes what it changed. */
  write<T>(begin: Begin<T>): Promise<T> {
    return this.#track(this.#write(begin))
  }

  /** Runs a step that raises something. */
  raise<T>(begin: Begin<T>): Promise<T> {
    return this.#track(this.#stand(begin, this.#clock.monotonic() + this.#timeoutMs))
  }

  /** Resolves when everything asked for so far has been answered. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running)
  }

  async fetch(keys: readonly string[], follows: boolean, deadline: number): Promise<readonly Read[]> {
    if (this.#gathered === null || this.#gathered.size + keys.length > KEYS_PER_SCRIPT) {
      const gathered = new Gathered((asked, latest) => this.#fetch(asked, latest))
      this.#gathered = gathered
      // What other requests ask in this turn of the event loop goes with it.
      setImmediate(() => {
        if (this.#gathered === gathered) this.#gathered = null
        gathered.send()
      })
    }
    return (await this.#gathered.join(keys, follows, deadline)) ?? this.#astray()
  }

  async #fetch({ followed, plain }: Asked, deadline: number): Promise<readonly Read[]> {
    const keys = [...followed, ...plain]
    const asked = keys.map((key) => this.names.record(key))
    const reply = await this.#connection.run(READ, asked, [this.names.records, followed.length], deadline)
    const found: Read[] = []
    for (const [i, value] of reply.entries()) {
      const read = readOf(value)
      if (read === null || (i < keys.length && read.key !== keys[i])) return this.#astray()
      found.push(read)
    }
    if (found.length < keys.length) return this.#astray()
    this.#recent.note(found)
    return found
  }

  async range(
    { index, from, to, limit, newestFirst }: RangeAsk,
    deadline: number,
  ): Promise<{ etag: string; scores: Scores }> {
    const keys = [this.names.index(index), this.names.etag(index)]
    const args = [from, to, limit, newestFirst ? 'newest' : 'oldest']
    const [etag, found] = await this.#connection.run(RANGE, keys, args, deadline)
    const scores = scoresOf(found)
    return typeof etag !== 'string' || scores === null ? this.#astray() : { etag, scores }
  }

  async count(index: string, from: number, deadline: number): Promise<number> {
    const [found] = await this.#connection.run(COUNT, [this.names.index(index)], [from], deadline)
    return typeof found === 'number' ? found : this.#astray()
  }

  async commit(read: ReadSet, changes: Changes, deadline: number): Promise<boolean> {
    const etag = this.#etag()
    const { keys, args } = commitOf(this.names, read, changes, etag)
    // Until it is known what became of it, nobody begins with what it changes.
    this.#recent.forget(changes.drops)
    this.#recent.forget(changes.puts.map(({ key }) => key))
    const [answer] = await this.#connection.run(COMMIT, keys, args, deadline)
    if (answer === etag) this.#recent.note(changes.puts.map((put) => ({ ...put, etag })))
    // Some of it has changed; which, nobody knows.
    if (answer === '') this.#recent.forget([...read.keys()].map((name) => this.names.keyOf(name)))
    if (answer === '' || answer === etag) return answer === etag
    this.#connection.drop('an answer to something else')
    throw unavailable('an answer to something else', 'unknown')
  }

  #astray(): never {
    this.#connection.drop('an answer to something else')
    throw unavailable('an answer to something else')
  }

  async #read<T>(begin: Begin<T>): Promise<T> {
    const deadline = this.#clock.monotonic() + this.#timeoutMs
    for (let count = 0; count < RUNS; count++) {
      if (count > 0) await this.#pause(count)
      const run = new Run(this, deadline)
      const value = resultOf<T>(await this.#one(run, begin))
      if (!run.isPatched || (await run.commit(NOTHING))) return value
    }
    throw unavailable('writers were faster')
  }

  async #write<T>(begin: Begin<T>): Promise<T> {
    const deadline = this.#clock.monotonic() + this.#timeoutMs
    for (let count = 0; count < FREE_RUNS; count++) {
      const run = new Run(this, deadline, count === 0 ? this.#recent : null)
      const result = await this.#one(run, begin)
      if (run.isRecalled && 'error' in result) continue
      const value = resultOf<T>(result)
      if (run.tx.drafts.length > 0) break
      const changes = run.tx.changes()
      if (isNothing(changes) && !run.isPatched) return value
      if (await run.commit(changes)) return value
    }
    return this.#stand(begin, deadline)
  }

  #stand<T>(begin: Begin<T>, deadline: number): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      this.#line.push({ begin, deadline, resolve, reject })
      this.#moving ??= this.#move()
    }) as Promise<T>
  }

  async #move(): Promise<void> {
    // Lets calls of the same moment join the first batch.
    await Promise.resolve()
    while (this.#line.length > 0) {
      const batch = this.#line.splice(0, BATCH)
      try {
        const results = await this.#together(batch)
        for (const [i, { resolve, reject }] of batch.entries()) {
          const result = results[i] as Result
          if ('error' in result) reject(result.error)
          else resolve(result.value)
        }
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#moving = null
  }

  async #together(batch: readonly Waiting[]): Promise<Result[]> {
    const deadline = Math.max(...batch.map((waiting) => waiting.deadline))
    for (let count = 0; count < RUNS; count++) {
      if (count > 0) await this.#pause(count)
      // All at once, to learn what they will read, so that the run itself need not ask one after the other.
      if (batch.length > 1) await Promise.all(batch.map(({ begin }) => this.#one(new Run(this, deadline), begin)))
      const run = new Run(this, deadline, this.#recent)
      const results: Result[] = []
      for (const { begin } of batch) results.push(await this.#one(run, begin))
      const { drafts } = run.tx
      const seal = this.#seal
      if (drafts.length > 0 && !seal) throw sealerMissing()
      const changes = run.tx.changes(seal ? drafts.map((draft) => seal(draft)) : [])
      if (await run.commit(changes)) return results
    }
    throw unavailable('other writers were faster')
  }

  /** A step that fails on what it read fails alone; without a connection all fail. */
  async #one(run: Run, begin: Begin<unknown>): Promise<Result> {
    try {
      return { value: await run.drive(begin(run.tx)) }
    } catch (error) {
      if (error instanceof SessionStoreError) throw error
      return { error: faultOf(error) }
    }
  }

  #pause(count: number): Promise<void> {
    const most = Math.min(2 ** (count - 1), LONGEST_PAUSE_MS)
    return this.#clock.sleep((most * (this.#random.bytes(1)[0] as number)) / 256)
  }

  #track<T>(running: Promise<T>): Promise<T> {
    this.#running.add(running)
    const done = (): void => {
      this.#running.delete(running)
    }
    running.then(done, done)
    return running
  }
}

function resultOf<T>(result: Result): T {
  if ('error' in result) throw result.error
  return result.value as T
}

function isNothing({ puts, drops, entries }: Changes): boolean {
  return puts.length === 0 && drops.length === 0 && entries.length === 0
}

function sealerMissing(): SessionStoreError {
  return errorOf('SESSION_STORE_SEALER_MISSING', 'opened without `seal`')
}

function faultOf(error: unknown): SessionStoreError {
  if (error instanceof StoreFault && error.kind === 'schema_unknown')
    return errorOf('SESSION_STORE_SCHEMA_UNKNOWN', error.message)
  return unavailable('a record that cannot be read')
}
