/** What was ended is shown at the gateway once more, over and over, until it is refused. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Verdict } from '../checker/history.ts'
import { ask } from './people.ts'

/** Of any job class the smallest staleness budget; whoever cannot hear of an end for so long must refuse. */
const BUDGET_MS = 3_250
const GIVE_UP_MS = 10_000
const EVERY_MS = 5

/** One ended session. */
interface Refusal {
  readonly kind: string
  /** From the acknowledgement, milliseconds; null when it was never refused. */
  readonly afterMs: number | null
}

export class Door {
  readonly #check: string
  readonly #refusals: Refusal[] = []
  readonly #following: Promise<void>[] = []

  /** @param check where the gateway decides without handing on. */
  constructor(check: string) {
    this.#check = check
  }

  /** @param at when the end was acknowledged, epoch milliseconds. */
  follow(kind: string, cookie: string, at: number): void {
    this.#following.push(this.#follow(kind, cookie, at))
  }

  /** Resolves when everything followed is known. */
  async settled(): Promise<void> {
    await Promise.all(this.#following)
  }

  /** Sorted. */
  get refusedAfterMs(): readonly number[] {
    return this.#refusals.flatMap(({ afterMs }) => afterMs ?? []).sort((a, b) => a - b)
  }

  verdict(): Verdict {
    const late = this.#refusals.filter(({ afterMs }) => afterMs === null || afterMs > BUDGET_MS)
    const violations = late.map(({ kind, afterMs }) =>
      afterMs === null ? `${kind}: still let in after ${GIVE_UP_MS} ms` : `${kind}: let in for ${afterMs} ms`,
    )
    if (this.#refusals.length === 0) violations.push('nothing was ever shown')
    return {
      id: 'refused-at-the-gateway',
      promise: 'a session whose end was acknowledged is refused at the gateway within the smallest budget',
      held: violations.length === 0,
      checked: this.#refusals.length,
      violations,
    }
  }

  async #follow(kind: string, cookie: string, at: number): Promise<void> {
    for (;;) {
      const reply = await ask('POST', `${this.#check}/check/reports`, { cookie: `session=${cookie}` })
      // A gateway that is away, or must ask somebody who is, lets nobody in either.
      const refused = reply?.status !== 200
      const afterMs = Math.max(0, Date.now() - at)
      if (refused || afterMs > GIVE_UP_MS) {
        this.#refusals.push({ kind, afterMs: refused ? afterMs : null })
        return
      }
      await sleep(EVERY_MS)
    }
  }
}
