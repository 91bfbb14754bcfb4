/** What consumers decided lately: how much of what, and the latest that was not simply done. Bounded. */
import type { DecisionEvidence } from '@countersign/evidence'
import type { Outcome } from '@countersign/schemas'

/** One event that was refused, parked or set aside. */
export interface Refusal {
  readonly at: number
  /** Hex; null when the envelope could not be read. */
  readonly event: string | null
  readonly jobClass: string
  readonly consumer: string
  readonly outcome: Outcome
  readonly reason: string
  readonly rule: string
  readonly sub: string | null
  readonly object: string | null
  readonly observed: boolean
  /** `topic/partition/offset` of the job. */
  readonly place: string
}

/** Finals of one minute. */
export type Rate = { readonly minute: number } & Readonly<Record<Outcome, number>>

const MOST = 500
const MINUTE = 60_000
const MOST_MINUTES = 180
const NOTHING = { executed: 0, denied: 0, parked: 0, dead_lettered: 0 } as const

export class Refusals {
  readonly #latest: Refusal[] = []
  readonly #rates = new Map<number, Record<Outcome, number>>()

  take({ batch }: DecisionEvidence): void {
    if (batch.phase !== 'final') return
    const rate = this.#rate(minuteOf(batch.recorded_at))
    for (const { first, last } of batch.allowed) rate.executed += last - first + 1
    for (const one of batch.exceptions) {
      rate[one.observed ? 'executed' : one.outcome]++
      if (one.outcome === 'executed') continue
      this.#latest.push({
        at: batch.recorded_at,
        event: one.event_id && Buffer.from(one.event_id).toString('hex'),
        jobClass: batch.job_class,
        consumer: batch.consumer,
        outcome: one.outcome,
        reason: one.reason,
        rule: one.rule,
        sub: one.sub,
        object: one.object,
        observed: one.observed,
        place: `${batch.topic}/${batch.partition}/${one.offset}`,
      })
    }
    if (this.#latest.length > 2 * MOST) this.#latest.splice(0, this.#latest.length - MOST)
  }

  /** @returns the latest first, at most `most`. */
  latest(most: number): readonly Refusal[] {
    return [...this.#latest].sort((a, b) => b.at - a.at).slice(0, most)
  }

  /** @returns every minute from `since` on, or from the first in which something was decided; oldest first. */
  rates(since: number, now: number): readonly Rate[] {
    const first = Math.min(...this.#rates.keys())
    const rates: Rate[] = []
    for (let minute = Math.max(first, minuteOf(since)); minute <= now; minute += MINUTE)
      rates.push({ minute, ...(this.#rates.get(minute) ?? NOTHING) })
    return rates
  }

  #rate(minute: number): Record<Outcome, number> {
    const found = this.#rates.get(minute)
    if (found) return found
    const made = { ...NOTHING }
    this.#rates.set(minute, made)
    while (this.#rates.size > MOST_MINUTES) this.#rates.delete(Math.min(...this.#rates.keys()))
    return made
  }
}

function minuteOf(at: number): number {
  return Math.floor(at / MINUTE) * MINUTE
}
