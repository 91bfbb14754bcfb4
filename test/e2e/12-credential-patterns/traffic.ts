/**
 * People who go on working while authority is taken away or identity dies. A client that is refused asks for a fresh
 * credential and tries again; one that is told to try again does. Whatever else happens is `other`, and named.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Site } from '../site.ts'
import type { Held } from './patterns.ts'

/** What became of one request, clients' own repetitions included. */
export interface Tally {
  /** Accepted at the first try. */
  accepted: number
  /** Accepted with a fresh credential. */
  renewed: number
  /** Refused for good: 401, and no fresh credential either. */
  denied: number
  /** Told to try again: 503 with `Retry-After`, or no fresh credential while identity was away. */
  later: number
  other: string[]
}

const MOST_RENEWALS = 3

export class Person {
  readonly name: string
  readonly held: Held
  readonly tally: Tally = { accepted: 0, renewed: 0, denied: 0, later: 0, other: [] }
  /** Requests accepted since somebody last set it to 0. */
  acceptedSince = 0

  constructor(name: string, held: Held) {
    this.name = name
    this.held = held
  }

  /** Works until told to stop or refused for good. */
  async work(site: Site, signal: AbortSignal, pauseMs: number): Promise<void> {
    while (!signal.aborted && this.tally.denied === 0) {
      await this.#ask(site).catch((error: Error) => this.tally.other.push(`${this.name}: ${error.message}`))
      await sleep(pauseMs)
    }
  }

  async #ask(site: Site): Promise<void> {
    // A fresh credential can end or run out before it is shown, if only just.
    for (let renewals = 0; renewals <= MOST_RENEWALS; renewals++) {
      const answer = await this.#once(site)
      if (answer === 'accepted') return this.#accept(renewals === 0 ? 'accepted' : 'renewed')
      if (answer === 'later') return this.#count('later')
      const renewal = await this.held.renew()
      if (renewal === 'away') return this.#count('later')
      if (renewal !== 'renewed') return this.#count('denied')
    }
    throw new Error('refused with one fresh credential after the other')
  }

  async #once(site: Site): Promise<'accepted' | 'refused' | 'later'> {
    const headers = { 'content-type': 'application/json', ...shownAs(this.held) }
    const body = JSON.stringify({ period: '2026-11', work_ms: 0 })
    const response = await fetch(`${site.api.address}/reports`, { method: 'POST', headers, body })
    const { code = '' } = (await response.json()) as { code?: string }
    if (response.status === 202) return 'accepted'
    if (response.status === 401 && code === 'credential_refused') return 'refused'
    if (response.status === 503 && code === 'not_available' && response.headers.has('retry-after')) return 'later'
    throw new Error(`${response.status} ${code}`)
  }

  #accept(as: 'accepted' | 'renewed'): void {
    this.acceptedSince++
    this.#count(as)
  }

  #count(as: 'accepted' | 'renewed' | 'denied' | 'later'): void {
    this.tally[as]++
  }
}

export function total(people: readonly Person[]): Tally {
  const sum: Tally = { accepted: 0, renewed: 0, denied: 0, later: 0, other: [] }
  for (const { tally } of people) {
    for (const name of ['accepted', 'renewed', 'denied', 'later'] as const) sum[name] += tally[name]
    sum.other.push(...tally.other)
  }
  return sum
}

function shownAs(held: Held): Record<string, string> {
  const shown = held.shown()
  return typeof shown === 'string' ? { cookie: shown } : { ...shown }
}
