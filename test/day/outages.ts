/** What goes wrong during the day, on purpose, and that it did. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Site } from './site.ts'

/** Longer than the smallest staleness budget of any job class. */
const IDENTITY_AWAY_MS = 6_500
const FROZEN_MS = 6_000
const DOWN_MS = 2_000

export class Outages {
  readonly happened: string[] = []
  readonly #site: Site
  readonly #say: (line: string) => void

  constructor(site: Site, say: (line: string) => void) {
    this.#site = site
    this.#say = say
  }

  /** A worker dies at work and comes back. */
  async worker(): Promise<void> {
    const worker = this.#site.workers[1]
    if (!worker) return
    this.#tell('worker-2 is killed')
    await worker.kill()
    await sleep(DOWN_MS)
    worker.start()
    await worker.ready()
    this.#tell('worker-2 is back')
  }

  /** The only door is gone: nobody gets in, and nothing that was taken is lost. */
  async gateway(): Promise<void> {
    const { gateway } = this.#site
    this.#tell('the gateway is killed')
    await gateway.kill()
    await sleep(DOWN_MS)
    gateway.start()
    await gateway.ready()
    this.#tell('the gateway is back')
  }

  /** The notaries freeze one after the other: whichever holds the epoch, the other takes over. */
  async notary(): Promise<void> {
    for (const notary of this.#site.notaries) {
      this.#tell(`${notary.spec.name} is frozen`)
      notary.freeze()
      await sleep(FROZEN_MS)
      notary.thaw()
      this.#tell(`${notary.spec.name} goes on`)
      await sleep(DOWN_MS)
    }
  }

  /** Identity and its notaries are gone for longer than the smallest staleness budget. */
  async identity(): Promise<void> {
    const { identity, notaries } = this.#site
    this.#tell('identity and both notaries are stopped')
    await Promise.all([identity, ...notaries].map((service) => service.stop()))
    await sleep(IDENTITY_AWAY_MS)
    for (const service of [identity, ...notaries]) service.start()
    await identity.ready()
    this.#tell('identity and both notaries are back')
  }

  #tell(what: string): void {
    this.happened.push(what)
    this.#say(what)
  }
}
