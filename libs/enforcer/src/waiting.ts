/**
 * Work that cannot be judged yet and was given back: its partition is paused, so that nothing waits with it but what
 * stands behind it, and nothing of it is held here but one message. Invariant: what is given back is not resolved, so
 * whoever has the partition next is handed it again.
 */
import type { Clock } from '@countersign/kernel'
import type { Admission } from './admission.ts'
import type { ConsumerView } from './consumer-view.ts'
import type { Group } from './delivered.ts'
import { Item } from './item.ts'
import type { Meters } from './meters.ts'

/** Messages of one partition that were given back, `first` to `last`. */
export interface GivenBack {
  readonly first: number
  readonly last: number
  /** When the wait began, monotonic milliseconds. */
  readonly since: number
  /** Of the first, made already: they count on. */
  readonly attempts: number
  /** Those of them that have their final record: they ran beside the one that waits. */
  readonly recorded: ReadonlySet<number>
}

interface Place extends GivenBack {
  readonly fetch: Group['fetch']
}

/** Where a batch ended because a message has to wait. */
export interface Cut {
  readonly item: Item
  readonly since: number
  readonly recorded: ReadonlySet<number>
}

/** Parked work that is read before it can be judged is asked about as often, at least; milliseconds. */
const LEAST_WAIT_MS = 1_000

/** What waits of one job class. */
export class Waiting {
  readonly #clock: Clock
  readonly #replica: ConsumerView
  readonly #admission: Admission
  readonly #meters: Meters
  readonly #holdMs: number
  readonly #places = new Map<string, Place>()
  readonly #stopped = new AbortController()
  #paused = 0

  constructor(
    parts: { readonly clock: Clock; readonly replica: ConsumerView; readonly holdMs: number },
    admission: Admission,
    meters: Meters,
  ) {
    this.#clock = parts.clock
    this.#replica = parts.replica
    this.#holdMs = parts.holdMs
    this.#admission = admission
    this.#meters = meters
    meters.waitingFrom(() => this.#paused)
  }

  /** How long a batch may be held for this class, milliseconds: not at all while a partition of it waits already. */
  get holdMs(): number {
    return this.#paused === 0 ? this.#holdMs : 0
  }

  /** What was given back of this partition, once: it is delivered now. */
  take(topic: string, partition: number): GivenBack | null {
    const place = `${topic}/${partition}`
    const found = this.#places.get(place) ?? null
    this.#places.delete(place)
    return found
  }

  /**
   * kafkajs hands over message after message, and asks whether the partition is paused only once it has awaited a
   * heartbeat and a commit. If it was resumed by then, the next message comes in place of the one that was given back,
   * and whatever is resolved of it would resolve that one, too. What was fetched since begins where the group says: with
   * what was given back, or behind it, if that is no longer on the log or another member has done it meanwhile.
   *
   * @returns the offset to go back to, or null when this is no message that comes too early.
   */
  passedBy(topic: string, partition: number, fetch: object | null): number | null {
    const found = this.#places.get(`${topic}/${partition}`)
    return found === undefined || fetch === null || found.fetch !== fetch ? null : found.first
  }

  /**
   * Pauses the partition until the message can be judged, or has waited as long as its class says.
   * @param last offset of the delivery it was in.
   */
  giveBack({ item, since, recorded }: Cut, last: number, group: Pick<Group, 'fetch' | 'pause'>): void {
    const { topic, partition, offset, attempts } = item
    const { fetch } = group
    this.#places.set(`${topic}/${partition}`, { first: offset, last, since, attempts, recorded, fetch })
    const waiting = this.#alone(item)
    const left = this.#admission.rules.maxWaitMs - (this.#clock.monotonic() - since)
    const parked = topic === this.#admission.topic.park
    const resume = group.pause()
    this.#paused++
    const begun = this.#clock.monotonic()
    const judgeable = (): boolean => this.#admission.authorise(waiting)?.settlement.outcome !== 'parked'
    const end = (): void => {
      this.#paused--
      this.#meters.waited(this.#clock.monotonic() - begun)
      if (!this.#stopped.signal.aborted) resume()
    }
    // Never from within `pause`: the batch it stood in is still being handed over.
    void this.#replica
      .waitUntil(judgeable, Math.max(left, parked ? LEAST_WAIT_MS : 0), this.#stopped.signal)
      .then(end, end)
  }

  /** Nothing is resumed any more. */
  stop(): void {
    this.#stopped.abort('the consumer is stopping')
  }

  /** The message without what it was fetched with: its bytes are views on a whole answer of the broker. */
  #alone({ message, topic, partition }: Item): Item {
    const { key, value, headers, offset, timestamp } = message
    const own = <T>(part: T): T => (Buffer.isBuffer(part) ? (Buffer.from(part) as T) : part)
    const copied = Object.entries(headers ?? {}).map(([name, part]) => [
      name,
      Array.isArray(part) ? part.map(own) : own(part),
    ])
    const copy = { key: own(key), value: own(value), headers: Object.fromEntries(copied), offset, timestamp }
    return new Item(topic, partition, copy, topic === this.#admission.topic.name ? null : this.#admission.topic)
  }
}
