/** Reads asked for in the same moment, sent as one: each asker gets what it asked for, all of it as it stood then. */
import { pick, type Read } from './records.ts'

/** Keys to read, each once. */
export interface Asked {
  /** With what they refer to. */
  readonly followed: readonly string[]
  readonly plain: readonly string[]
}

export class Gathered {
  readonly #fetch: (asked: Asked, deadline: number) => Promise<readonly Read[]>
  /** Whether to follow. */
  readonly #keys = new Map<string, boolean>()
  readonly #answer: Promise<ReadonlyMap<string, Read>>
  #begin: () => void = () => {}
  #deadline = 0

  constructor(fetch: (asked: Asked, deadline: number) => Promise<readonly Read[]>) {
    this.#fetch = fetch
    this.#answer = new Promise<void>((resolve) => {
      this.#begin = resolve
    }).then(() => this.#ask())
  }

  get size(): number {
    return this.#keys.size
  }

  /** @returns null when the answer lacks something that one of its own records refers to: it is an answer to something else. */
  async join(keys: readonly string[], follows: boolean, deadline: number): Promise<readonly Read[] | null> {
    // Who has little time left must not take it from the others.
    this.#deadline = Math.max(this.#deadline, deadline)
    for (const key of keys) this.#keys.set(key, follows || this.#keys.get(key) === true)
    const known = await this.#answer
    return pick(keys, follows, (key) => known.get(key))
  }

  send(): void {
    this.#begin()
  }

  async #ask(): Promise<ReadonlyMap<string, Read>> {
    const keys = [...this.#keys]
    const followed = keys.filter(([, follows]) => follows).map(([key]) => key)
    const plain = keys.filter(([, follows]) => !follows).map(([key]) => key)
    return new Map((await this.#fetch({ followed, plain }, this.#deadline)).map((read) => [read.key, read]))
  }
}
