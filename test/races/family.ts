/** One family in the races: a burst of clients with the same token, what they must get, and what a thief must not. */
import { systemClock } from '@countersign/kernel'
import type { Tally } from './tally.ts'
import { handleOf, type World } from './world.ts'

const PAUSE_MS = 40

export class RacedFamily {
  readonly handle: string
  /** Used up, oldest first. */
  readonly used: string[] = []
  live: string
  readonly #world: World
  readonly #tally: Tally
  readonly #graceMs: number

  constructor(first: string, world: World, tally: Tally, graceMs: number) {
    this.live = first
    this.handle = handleOf(first)
    this.#world = world
    this.#tally = tally
    this.#graceMs = graceMs
  }

  /**
   * `clients` present the live token at once, each again and again until it has an answer, for half of the grace: what
   * is sent then has surely arrived within it. All must come to have the same successor.
   */
  async burst(clients: number): Promise<void> {
    const sent = this.live
    const until = systemClock.monotonic() + this.#graceMs / 2
    const tally = this.#tally
    const one = async (): Promise<string | null> => {
      while (systemClock.monotonic() < until) {
        tally.count('refreshes')
        const outcome = await this.#world.refresh(sent)
        tally.count(`refreshes, ${outcome.kind}`)
        if (outcome.kind === 'tokens') return outcome.refreshToken
        if (outcome.kind === 'wrong') tally.broken(`${this.handle}: answered ${outcome.what}`)
        if (outcome.kind === 'refused') {
          tally.broken(`${this.handle}: a refresh within the grace was taken for theft`)
          return null
        }
        await systemClock.sleep(PAUSE_MS)
      }
      return null
    }
    const answers = await Promise.all(Array.from({ length: clients }, one))
    const children = new Set(answers.filter((answer) => answer !== null))
    tally.count('clients', clients)
    tally.count('clients that got no answer in time', answers.filter((answer) => answer === null).length)
    if (children.size > 1) tally.broken(`${this.handle}: ${children.size} live children of one token`)
    const [child] = children
    if (child === undefined) {
      // Every answer was lost: the token stays good for a retry however long it takes.
      tally.count('families where all answers were lost')
      return
    }
    if (handleOf(child) !== this.handle) tally.broken(`${this.handle}: a child of another family`)
    this.used.push(sent)
    this.live = child
  }

  /** The live token goes on, whatever happened before. */
  async goesOn(): Promise<void> {
    const outcome = await this.#persist(this.live)
    if (outcome.kind !== 'tokens') {
      this.#tally.broken(`${this.handle}: its live token got ${outcome.kind}: the family is lost`)
      return
    }
    this.used.push(this.live)
    this.live = outcome.refreshToken
    this.#tally.count('uses of a live token that went on')
  }

  /** Several at once present a token used up before the grace: each is refused, and so is the live one from then on. */
  async stolen(token: string, thieves: number): Promise<void> {
    const outcomes = await Promise.all(Array.from({ length: thieves }, () => this.#persist(token)))
    for (const { kind } of outcomes) {
      if (kind !== 'refused') this.#tally.broken(`${this.handle}: a token replayed after the grace got ${kind}`)
    }
    const { kind } = await this.#persist(this.live)
    if (kind !== 'refused')
      this.#tally.broken(`${this.handle}: reuse did not end the family; its live token got ${kind}`)
    this.#tally.count('families with reuse')
  }

  /** Every token that was ever used up is refused. */
  async replayAll(): Promise<void> {
    for (const token of this.used) {
      const { kind } = await this.#persist(token)
      this.#tally.count('old tokens replayed')
      if (kind !== 'refused') this.#tally.broken(`${this.handle}: an old token replayed got ${kind}`)
    }
  }

  /** Asks until there is an answer that is one. */
  async #persist(token: string): Promise<Awaited<ReturnType<World['refresh']>>> {
    for (let i = 0; ; i++) {
      const outcome = await this.#world.refresh(token)
      if ((outcome.kind !== 'lost' && outcome.kind !== 'again') || i > 500) return outcome
      await systemClock.sleep(PAUSE_MS)
    }
  }
}
