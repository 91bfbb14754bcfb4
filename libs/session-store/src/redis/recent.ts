/**
 * What this process has read or written a moment ago. A step that writes may begin with it and save a round trip: the
 * commit compares everything, so what has changed meanwhile costs another run, and never a wrong write.
 */
import type { Clock } from '@countersign/kernel'
import type { Read } from './records.ts'

/** Older, it has likely changed. */
const FRESH_MS = 250
const MOST = 4096

export class Recent {
  readonly #clock: Clock
  readonly #kept = new Map<string, { readonly read: Read; readonly at: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  note(reads: readonly Read[]): void {
    if (this.#kept.size > MOST) this.#kept.clear()
    const at = this.#clock.monotonic()
    for (const read of reads) this.#kept.set(read.key, { read, at })
  }

  forget(keys: Iterable<string>): void {
    for (const key of keys) this.#kept.delete(key)
  }

  /**
   * @param levels of references to follow.
   * @returns what a fetch of these keys would have given, null unless all of it is known.
   */
  recall(keys: readonly string[], levels: number): readonly Read[] | null {
    const since = this.#clock.monotonic() - FRESH_MS
    const found = new Map<string, Read>()
    let level: readonly string[] = keys
    for (let depth = 0; depth <= levels && level.length > 0; depth++) {
      const below: string[] = []
      for (const key of level) {
        if (found.has(key)) continue
        const known = this.#kept.get(key)
        if (known === undefined || known.at < since) return null
        found.set(key, known.read)
        if (known.read.refs !== '') below.push(...known.read.refs.split('\n'))
      }
      level = below
    }
    return [...found.values()]
  }
}
