/**
 * One deterministic scheduler for every process of a simulated run. Nothing here or above it reads
 * a real clock: time moves only from one event to the next, ties are broken by the seed, and all
 * promises settle between two events. The same seed gives the same run, event for event.
 */
import { SeededRandom } from '@countersign/kernel/testing'

/** Whose event it is: events of the dead are dropped, events of the frozen wait. */
export interface Owner {
  readonly alive: boolean
  readonly frozen: boolean
  readonly backlog: (() => void)[]
}

interface Event {
  readonly at: number
  readonly tie: number
  readonly owner: Owner | null
  readonly fn: () => void
  cancelled: boolean
}

/** One microsecond, in milliseconds. */
const TICK = 0.001

export class Scheduler {
  readonly random: SeededRandom
  /** True time of the run, milliseconds since its start. */
  now = 0
  /** Events run so far. */
  steps = 0
  readonly #heap: Event[] = []

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
  }

  /** Runs `fn` after `delay`, unless its owner dies or it is cancelled first. */
  schedule(delay: number, owner: Owner | null, fn: () => void): () => void {
    // Time is in whole microseconds, and a wait takes at least one: a rest too small for a float to add would
    // never pass.
    const at = delay > 0 ? Math.max(this.now + TICK, Math.round((this.now + delay) * 1000) / 1000) : this.now
    const event: Event = { at, tie: this.random.uint32(), owner, fn, cancelled: false }
    this.#push(event)
    return () => {
      event.cancelled = true
    }
  }

  /** Lets everything that waited on a frozen owner run now, in order. */
  thaw(owner: Owner): void {
    for (const fn of owner.backlog.splice(0)) this.schedule(0, owner, fn)
  }

  /** Runs events in time order until `until`. */
  async run(until: number): Promise<void> {
    for (;;) {
      const event = this.#heap[0]
      if (!event || event.at > until) break
      this.#pop()
      if (event.cancelled || (event.owner && !event.owner.alive)) continue
      this.now = event.at
      if (event.owner?.frozen) {
        event.owner.backlog.push(() => {
          if (!event.cancelled) event.fn()
        })
        continue
      }
      this.steps++
      event.fn()
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    this.now = until
  }

  #before(a: Event, b: Event): boolean {
    return a.at < b.at || (a.at === b.at && a.tie < b.tie)
  }

  #push(event: Event): void {
    const heap = this.#heap
    let i = heap.push(event) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = heap[parent] as Event
      if (!this.#before(event, above)) break
      heap[i] = above
      i = parent
    }
    heap[i] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.#before(heap[child + 1] as Event, heap[child] as Event)) child++
      if (!this.#before(heap[child] as Event, last)) break
      heap[i] = heap[child] as Event
      i = child
    }
    heap[i] = last
  }
}
