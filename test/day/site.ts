/** The processes of the day: identity, two notaries, a gateway, the api behind it and three workers, on one log. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { initKeys } from '@countersign/identity'
import { systemRandom } from '@countersign/kernel'
import { exampleCatalogue } from '@countersign/schemas'
import { type Cast, TENANTS } from './cast.ts'
import { freePort, Service } from './processes.ts'
import { routesTo } from './routes.ts'

const MARKER = 'countersign-day'
const WINDOW_MS = 86_400_000
const WORKERS = 3
/** Of the Txn-Tokens between the gateway and the api. */
const TRUST_DOMAIN = 'day.example'

/** Where the log is. */
export type LogAddress = { readonly brokers: readonly string[]; readonly registryUrl: string } | null

export class Site {
  readonly folder: string
  readonly identity: Service
  readonly notaries: readonly Service[]
  readonly gateway: Service
  readonly api: Service
  readonly workers: readonly Service[]
  /** Of whoever follows the log. */
  readonly logSettings: Readonly<Record<string, string>>
  readonly #address: LogAddress

  private constructor(folder: string, address: LogAddress, cast: Cast, ports: readonly number[]) {
    this.folder = folder
    this.#address = address
    const port = (i: number): number => ports[i] as number
    const keysDir = join(folder, 'keys')
    const log: Record<string, string> =
      address === null
        ? { COUNTERSIGN_LOG_PATH: this.#logPath }
        : { COUNTERSIGN_KAFKA_BROKERS: address.brokers.join(','), COUNTERSIGN_REGISTRY_URL: address.registryUrl }
    this.logSettings = { ...log, COUNTERSIGN_ROOT_KEY_FILE: join(keysDir, 'root.pub') }
    const rootKey = { COUNTERSIGN_ROOT_KEY_FILE: join(keysDir, 'root.pub') }
    const service = (
      name: string,
      kind: string,
      at: number,
      env: Record<string, string>,
      health?: { readonly healthPort: number },
    ): Service =>
      new Service(
        { name, service: kind, port: at, env: { COUNTERSIGN_HTTP_PORT: String(at), ...log, ...env }, ...health },
        this.logsFolder,
      )
    const identity = {
      COUNTERSIGN_LOG: address === null ? 'sqlite' : 'kafka',
      COUNTERSIGN_STORE_PATH: join(folder, 'identity.db'),
      COUNTERSIGN_KEYS_DIR: keysDir,
      COUNTERSIGN_MAX_STALENESS: '15s',
      COUNTERSIGN_PASSWORD_COST: '13',
      COUNTERSIGN_INSECURE_COOKIES: 'true',
    }
    this.identity = service('identity', 'identity', port(0), {
      ...identity,
      COUNTERSIGN_ROLES: 'http',
      COUNTERSIGN_SEED_FILE: join(folder, 'seed.json'),
    })
    this.notaries = [1, 2].map((n) =>
      service(`notary-${n}`, 'identity', port(n), {
        ...identity,
        COUNTERSIGN_ROLES: 'notary',
        COUNTERSIGN_CHECKPOINT_KEY: `checkpoint-${n}`,
        COUNTERSIGN_NOTARY_ID: `notary-${n}`,
      }),
    )
    this.api = service('api', 'api', port(3), {
      ...rootKey,
      COUNTERSIGN_ENVELOPE_KEY_FILE: join(keysDir, 'api.key.pem'),
      COUNTERSIGN_IDENTITY_URL: this.identity.url,
      COUNTERSIGN_CREDENTIALS: 'gateway',
      COUNTERSIGN_TRUST_DOMAIN: TRUST_DOMAIN,
      COUNTERSIGN_SCHEDULE_SECRET: cast.scheduleSecret,
      COUNTERSIGN_SCHEDULE_TENANTS: TENANTS.join(','),
      COUNTERSIGN_WEBHOOKS: JSON.stringify({ ledger: { tenant: TENANTS[0], secrets: [cast.webhookSecret] } }),
    })
    const front = {
      ...rootKey,
      COUNTERSIGN_CHECK_PORT: String(port(4 + WORKERS)),
      COUNTERSIGN_ROUTES: JSON.stringify(routesTo(this.api.url)),
      COUNTERSIGN_ENVELOPE_KEY_FILE: join(keysDir, 'gateway.key.pem'),
      COUNTERSIGN_IDENTITY_URL: this.identity.url,
      COUNTERSIGN_IDENTITY_SECRET: cast.serviceSecret,
      COUNTERSIGN_TRUST_DOMAIN: TRUST_DOMAIN,
      COUNTERSIGN_INSECURE_COOKIES: 'true',
    }
    this.gateway = service('gateway', 'gateway', port(5 + WORKERS), front, { healthPort: port(4 + WORKERS) })
    this.workers = Array.from({ length: WORKERS }, (_, i) =>
      service(`worker-${i + 1}`, 'worker', port(4 + i), {
        ...rootKey,
        COUNTERSIGN_CONSUMER: `worker-${i + 1}`,
        COUNTERSIGN_CONSUMER_KEY_FILE: join(keysDir, 'consumer.key.pem'),
        COUNTERSIGN_HISTORY_PATH: join(folder, `worker-${i + 1}.history.jsonl`),
        COUNTERSIGN_SNAPSHOT_PATH: join(folder, `worker-${i + 1}.snapshot`),
      }),
    )
  }

  /**
   * Empties the folder, makes keys, accounts and topics, and starts everything.
   * @param replication copies of each topic on Kafka.
   * @throws when the folder holds something that is not an earlier day.
   */
  static async start(folder: string, address: LogAddress, cast: Cast, replication: number): Promise<Site> {
    if (existsSync(folder) && readdirSync(folder).length > 0 && !existsSync(join(folder, MARKER)))
      throw new Error(`${folder} holds something else; give an empty folder with --data`)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(join(folder, 'logs'), { recursive: true, mode: 0o700 })
    writeFileSync(join(folder, MARKER), 'Made by npm start, which empties this folder each time.\n')
    writeFileSync(join(folder, 'seed.json'), JSON.stringify(cast.seed()), { mode: 0o600 })
    initKeys({
      dir: join(folder, 'keys'),
      checkpoints: 2,
      orders: [
        { name: 'api', use: 'envelope', tenants: [...TENANTS], topics: ['*'] },
        { name: 'gateway', use: 'envelope', tenants: [...TENANTS], topics: ['txn-token'] },
      ],
      now: Date.now(),
      random: systemRandom,
    })
    const ports: number[] = []
    while (ports.length < 6 + WORKERS) ports.push(await freePort())
    const site = new Site(folder, address, cast, ports)
    if (address !== null)
      await provisionKafka({
        ...address,
        clientId: 'day',
        brokers: [...address.brokers],
        catalogue: exampleCatalogue,
        windowMs: WINDOW_MS,
        replicationFactor: replication,
      })
    for (const service of site.services) service.start()
    try {
      await Promise.all([site.identity, site.gateway, site.api, ...site.workers].map((service) => service.ready()))
    } catch (error) {
      await site.stop()
      throw error
    }
    return site
  }

  get services(): readonly Service[] {
    return [this.identity, ...this.notaries, this.gateway, this.api, ...this.workers]
  }

  /** The log as a reader of its own. */
  openLog(): Promise<EventLog> {
    if (this.#address === null) return openSqliteLog({ path: this.#logPath, catalogue: exampleCatalogue })
    const { brokers, registryUrl } = this.#address
    return openKafkaLog({
      brokers: [...brokers],
      registryUrl,
      catalogue: exampleCatalogue,
      clientId: 'day',
      registryDeadlineMs: 10_000,
    })
  }

  async stop(): Promise<void> {
    // Consumers first: what they are doing is recorded while the log and the notaries are there.
    await Promise.all(this.workers.map((worker) => worker.stop()))
    await Promise.all([this.gateway, this.api, this.identity, ...this.notaries].map((service) => service.stop()))
  }

  get logsFolder(): string {
    return join(this.folder, 'logs')
  }

  get #logPath(): string {
    return join(this.folder, 'log.db')
  }
}
