/**
 * What this process has read or written a moment ago. A step that writes may begin with it and save a round trip: the
 * commit compares everything, so what has changed meanwhile costs another run, and never a wrong write.
 */
import type { Clock } from '@countersign/kernel'
import { pick, type Read } from './records.ts'

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

  /** @returns what a fetch of these keys would have given, null unless all of it is known. */
  recall(keys: readonly string[], follows: boolean): readonly Read[] | null {
    const since = this.#clock.monotonic() - FRESH_MS
    return pick(keys, follows, (key) => {
      const known = this.#kept.get(key)
      return known && known.at >= since ? known.read : undefined
    })
  }
}
