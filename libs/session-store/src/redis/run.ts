/** One run of one or more steps: asks for them, and keeps what was read, to be compared when they are written. */
import { isExact } from '../steps/layout.ts'
import { type Answer, type Ask, type Changes, type Scores, type Step, Tx } from '../steps/tx.ts'
import type { Recent } from './recent.ts'
import type { Names, Read, ReadSet } from './records.ts'

// More keys would keep everyone else waiting for one script.
export const KEYS_PER_SCRIPT = 256

export type RangeAsk = Extract<Ask, { ask: 'range' }>

/** Who is asked. Deadlines are monotonic time. */
export interface Source {
  readonly names: Names
  /** @param follows whether what the records refer to is wanted too. */
  fetch(keys: readonly string[], follows: boolean, deadline: number): Promise<readonly Read[]>
  range(ask: RangeAsk, deadline: number): Promise<{ etag: string; scores: Scores }>
  count(index: string, from: number, deadline: number): Promise<number>
  /** @returns false when something read has changed since, and nothing was written. */
  commit(read: ReadSet, changes: Changes, deadline: number): Promise<boolean>
}

/** One run of one or more steps. */
export class Run {
  readonly tx: Tx = new Tx()
  readonly read: ReadSet = new Map()
  readonly #source: Source
  readonly #deadline: number
  readonly #recent: Recent | null
  #asks = 0
  #recalled = false

  /** @param recent what may be used instead of asking; null to ask always. */
  constructor(source: Source, deadline: number, recent: Recent | null = null) {
    this.#source = source
    this.#deadline = deadline
    this.#recent = recent
  }

  /** True when answers of different moments, or of earlier ones, were put together. */
  get isPatched(): boolean {
    return this.#asks > 1 || this.#recalled
  }

  get isRecalled(): boolean {
    return this.#recalled
  }

  async drive<T>(step: Step<T>): Promise<T> {
    let result = step.next()
    while (!result.done) result = step.next(await this.#answer(result.value))
    return result.value
  }

  /** @returns false when something read has changed since, and nothing was written. */
  async commit(changes: Changes): Promise<boolean> {
    return this.#source.commit(this.read, changes, this.#deadline)
  }

  async #answer(ask: Ask): Promise<Answer> {
    if (ask.ask === 'range') {
      this.#asks++
      const { etag, scores } = await this.#source.range(ask, this.#deadline)
      if (isExact(ask.index)) this.#note(this.#source.names.etag(ask.index), etag)
      return scores
    }
    if (ask.ask === 'count') {
      this.#asks++
      return this.#source.count(ask.index, ask.from, this.#deadline)
    }
    const texts: [string, string | null][] = []
    const follows = ask.ask === 'follow'
    const recalled = this.#recent?.recall(ask.keys, follows)
    if (recalled) {
      this.#recalled = true
      for (const { key, etag, text } of recalled) {
        this.#note(this.#source.names.record(key), etag)
        texts.push([key, text])
      }
      return texts
    }
    for (let from = 0; from < ask.keys.length; from += KEYS_PER_SCRIPT) {
      this.#asks++
      const keys = ask.keys.slice(from, from + KEYS_PER_SCRIPT)
      for (const { key, etag, text } of await this.#source.fetch(keys, follows, this.#deadline)) {
        this.#note(this.#source.names.record(key), etag)
        texts.push([key, text])
      }
    }
    return texts
  }

  #note(key: string, etag: string): void {
    if (!this.read.has(key)) this.read.set(key, etag)
  }
}
