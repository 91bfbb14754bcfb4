/** Two identities on one store behind proxies that cut, one client, and a family of refresh tokens for each race. */
import { openSqliteLog } from '@countersign/event-log/sqlite'
import type { SeededRandom } from '@countersign/kernel/testing'
import { readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { exampleCatalogue, type Signal, signalCodec } from '@countersign/schemas'
import type { Service } from '../day/processes.ts'
import { begin, login, personEmail, REDIRECT_URI } from '../identity/people.ts'
import { IdentitySite, type StoreKind } from '../identity/site.ts'
import { CuttingProxy } from './cutting-proxy.ts'
import { CLIENT, type Outcome, Refresher } from './refresher.ts'

export interface WorldOptions {
  readonly store: StoreKind
  readonly random: SeededRandom
  readonly families: number
  readonly graceMs: number
  /** Environment of the identities as it is. */
  readonly plain?: Readonly<Record<string, string>>
}

/** Fewer than the most families a person may have. */
const FAMILIES_EACH = 8
const SCOPE = 'reports:read'

export interface Instance {
  readonly service: Service
  readonly refresher: Refresher
  readonly before: CuttingProxy
  /** Between it and Redis; null on SQLite. */
  readonly behind: CuttingProxy | null
}

export class World {
  readonly site: IdentitySite
  readonly instances: readonly Instance[]
  readonly #random: SeededRandom

  private constructor(site: IdentitySite, instances: readonly Instance[], random: SeededRandom) {
    this.site = site
    this.instances = instances
    this.#random = random
  }

  static async start({ store, random, families, graceMs, plain = {} }: WorldOptions): Promise<World> {
    const site = await IdentitySite.start({
      store,
      // Written before it is acknowledged, so that a kill loses nothing: with `everysec` a slow disk makes Redis put that
      // off, and what is lost then is another test's matter. A child that rewrites the file would hold the port.
      redis: { appendfsync: 'no', 'auto-aof-rewrite-percentage': '0' },
      people: Math.ceil(families / FAMILIES_EACH),
      clients: [
        {
          id: CLIENT,
          name: 'App',
          authMethod: 'none',
          redirectUris: [REDIRECT_URI],
          grants: ['authorization_code', 'refresh_token'],
          scopes: [SCOPE],
          audiences: ['https://resource.example'],
          tokenFormat: 'opaque',
        },
      ],
      env: { REFRESH_GRACE: `${graceMs}ms` },
    })
    const unit = (): number => random.unit()
    const instances: Instance[] = []
    try {
      for (const name of ['identity-1', 'identity-2']) {
        const { redis } = site
        const behind = redis && (await CuttingProxy.start({ target: redis.port, random: unit, cuts: 0 }))
        const service = await site.identity(name, { plain, ...(behind && { redisPort: behind.port }) })
        const before = await CuttingProxy.start({ target: service.spec.port, random: unit, cuts: 0 })
        instances.push({ service, before, behind, refresher: new Refresher(before.port) })
      }
    } catch (error) {
      await site.stop()
      throw error
    }
    return new World(site, instances, random)
  }

  /** Probability that a chunk is cut: before the identities, and between them and Redis. */
  cutting(before: number, behind: number): void {
    for (const instance of this.instances) {
      instance.before.cuts = before
      if (instance.behind) instance.behind.cuts = behind
    }
  }

  /** Begins families; nothing is cut meanwhile. @returns their first refresh tokens. */
  async begin(count: number): Promise<string[]> {
    const base = this.#any().service.url
    const tokens: string[] = []
    let cookie = ''
    for (let i = 0; i < count; i++) {
      if (i % FAMILIES_EACH === 0) cookie = await login(base, personEmail(i / FAMILIES_EACH))
      tokens.push((await begin(base, cookie, { id: CLIENT, secret: null }, SCOPE)).refresh_token)
    }
    return tokens
  }

  /** One attempt at an identity chosen at random. */
  refresh(token: string): Promise<Outcome> {
    return this.#any().refresher.refresh(token)
  }

  /** Signals on the log, each once, that ended something by reuse: handle of the family of each. */
  async reuseSignals(): Promise<string[]> {
    return (await this.signals()).filter(({ effect }) => effect === 'reason:token_reuse').map(({ target }) => target.id)
  }

  async signals(): Promise<readonly Signal[]> {
    const log = await openSqliteLog({ path: this.site.logPath, catalogue: exampleCatalogue })
    try {
      const { start, end } = await log.bounds(SIGNALS_TOPIC)
      const found = new Map<string, Signal>()
      for await (const records of log.read({ topic: SIGNALS_TOPIC, from: start, to: end })) {
        for (const record of records) {
          const read = readRecord(record, log.schemas)
          if (read?.kind !== 'Signal') continue
          const signal = signalCodec.decode(read.body)
          found.set(Buffer.from(signal.id).toString('hex'), signal)
        }
      }
      return [...found.values()]
    } finally {
      await log.close()
    }
  }

  async stop(): Promise<void> {
    for (const { refresher, before, behind } of this.instances) {
      await refresher.close()
      await before.stop()
      await behind?.stop()
    }
    await this.site.stop()
  }

  #any(): Instance {
    return this.instances[this.#random.below(this.instances.length)] as Instance
  }
}

/** @returns the handle of the family that a refresh token of identity names. */
export function handleOf(refreshToken: string): string {
  return /^rt_(.+)\.\d+\.[^.]+$/.exec(refreshToken)?.[1] ?? ''
}
