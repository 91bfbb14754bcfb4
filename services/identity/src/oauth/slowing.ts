/**
 * Slows guessing at client secrets, codes and tokens. Only failures are counted in the store, so that what succeeds
 * pays for nothing; who is to wait is remembered here, so that a guess made meanwhile is not even looked at.
 */
import { createHash } from 'node:crypto'
import { type Clock, type Millis, minutes, seconds } from '@countersign/kernel'
import type { AttemptRule, SessionStore } from '@countersign/session-store'

const FREE_PER_CLIENT = 10
// One office or one gateway shares an address.
const FREE_PER_SOURCE = 100
const RULE: Omit<AttemptRule, 'keys'> = { baseMs: seconds(1), maxMs: minutes(5), forgetMs: minutes(30) }
const MOST_RESTING = 10_000

export class Slowing {
  readonly #store: Pick<SessionStore, 'admitAttempt'>
  readonly #clock: Clock
  /** Until when, by monotonic time. */
  readonly #resting = new Map<string, number>()

  constructor({ store, clock }: { store: Pick<SessionStore, 'admitAttempt'>; clock: Clock }) {
    this.#store = store
    this.#clock = clock
  }

  /** How long this client at this source is still to wait, 0 to go on. Cost: one look-up. */
  wait(client: string, source: string): Millis | 0 {
    if (this.#resting.size === 0) return 0
    const key = keyOf(client, source)
    const until = this.#resting.get(key)
    if (until === undefined) return 0
    const left = until - this.#clock.monotonic()
    if (left > 0) return Math.ceil(left) as Millis
    this.#resting.delete(key)
    return 0
  }

  /** Counts one failure. A client is slowed only together with the source, so that nobody can lock another out. */
  async failed(client: string, source: string): Promise<void> {
    const key = keyOf(client, source)
    const keys = [
      { key, free: FREE_PER_CLIENT },
      { key: `oauth-source:${digest(source)}`, free: FREE_PER_SOURCE },
    ]
    const wait = await this.#store.admitAttempt({ ...RULE, keys, now: this.#clock.now() })
    if (wait === 0) return
    // Forgetting the oldest lets its owner guess again, and be counted again.
    if (this.#resting.size >= MOST_RESTING) this.#resting.delete(this.#resting.keys().next().value ?? key)
    this.#resting.set(key, this.#clock.monotonic() + wait)
  }
}

function keyOf(client: string, source: string): string {
  return `oauth-client:${digest(`${client.length}:${client}${source}`)}`
}

// What is sent as a client id may be anything, a secret too.
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
