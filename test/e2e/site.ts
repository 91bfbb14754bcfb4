/** Identity, api and worker in this process, on one embedded log, with people who log in; for end-to-end tests. */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type Api, config as apiConfig, startApi } from '@countersign/api'
import { type Gateway, config as gatewayConfig, startGateway } from '@countersign/gateway'
import { type Identity, identityConfig, initKeys, startIdentity } from '@countersign/identity'
import { loadConfig, systemClock, systemRandom } from '@countersign/kernel'
import { createLogger, type Logger } from '@countersign/telemetry'
import { startWorker, type Worker, config as workerConfig } from '@countersign/worker'
import { expect } from 'vitest'
import { freePort, Service } from '../day/processes.ts'
import { routesTo } from '../day/routes.ts'
import {
  CLIENT_SECRET,
  ISSUER,
  OPERATOR_SECRET,
  PASSWORD,
  PROBE_SECRET,
  SCHEDULE_SECRET,
  SERVICE_SECRET,
  seedOf,
  TRUST_DOMAIN,
  WEBHOOK_SECRET,
} from './seed.ts'

export * from './seed.ts'

export interface Answer {
  readonly status: number
  readonly code?: string
  readonly jobs: { readonly eventId: string }[]
}

/** Waits until something holds; what throws does not hold. @throws {Error} naming it after 20 s. */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = systemClock.monotonic() + 20_000
  const held = async (): Promise<boolean> => holds()
  while (!(await held().catch(() => false))) {
    if (systemClock.monotonic() > deadline) throw new Error(`${what}: not within 20 s`)
    await systemClock.sleep(50)
  }
}

/** A session cookie, or the headers of another credential. */
export type Shown = string | Readonly<Record<string, string>>

/** Where something answers. */
export interface Listening {
  readonly address: string
}

export interface SiteOptions {
  /** A Kafka on which no other signals are, and the catalogue provisioned. Default: the embedded log. */
  readonly kafka?: { readonly brokers: readonly string[]; readonly registryUrl: string }
  /** Whether its own worker takes jobs; default true. */
  readonly worker?: boolean
  /** Address of a Redis for identity's store. Default: SQLite. */
  readonly redisUrl?: string
  /** Identity as a process of its own, which can be killed. */
  readonly identityProcess?: boolean
  /** How many apis there are, each with a view of its own; default 1. */
  readonly apis?: number
  /** Accountants `person-0` and so on in `acme`, beside those there always are; default 0. */
  readonly people?: number
  /** Behind how many gateways the apis stand, which then take nothing but Txn-Tokens; default 0. */
  readonly gateways?: number
  /** What apis take behind the gateways instead: access tokens for this audience. */
  readonly upstreamAudience?: string
  /** Routes instead of those there always are. @param api its address. */
  readonly routes?: (api: string) => readonly object[]
  /** More of identity's configuration, without its prefix. */
  readonly identity?: Readonly<Record<string, string>>
  /** More of what identity makes at its first start. */
  readonly seed?: Readonly<Partial<Record<'accounts' | 'clients' | 'secrets', readonly object[]>>>
  /** More of everybody's. */
  readonly everywhere?: Readonly<Record<string, string>>
}

/** Folder, keys and services. */
export class Site {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-e2e-'))
  /** Everything any service logged. */
  readonly lines: string[] = []
  /** Answers people and services. */
  identity!: Pick<Identity, 'address' | 'close'>
  /** Of `startIdentityProcess`; null before. */
  identityService: Service | null = null
  /** Writes checkpoints, on the same store. */
  notary!: Identity
  api!: Api
  /** All apis, `api` first. */
  readonly apis: Api[] = []
  /** In front of the first api. */
  readonly gateways: Gateway[] = []
  #worker: Worker | null = null
  readonly #options: SiteOptions

  private constructor(options: SiteOptions) {
    this.#options = options
    const envelope = { use: 'envelope', tenants: ['*'], topics: ['*'] } as const
    const orders = [
      { ...envelope, name: 'api' },
      { ...envelope, name: 'gateway', topics: ['txn-token'] },
      { ...envelope, name: 'doctor', tenants: ['doctor'] },
    ]
    initKeys({ dir: this.#keys, checkpoints: 1, orders, now: Date.now(), random: systemRandom })
  }

  /** Everything is ready. */
  static async start(options: SiteOptions = {}): Promise<Site> {
    const site = new Site(options)
    try {
      await site.startNotary()
      await (options.identityProcess ? site.startIdentityProcess() : site.startIdentity())
      for (let i = 0; i < (options.apis ?? 1); i++) await site.#startApi()
      for (let i = 0; i < (options.gateways ?? 0); i++) await site.startGateway()
      if (options.worker ?? true) await site.startWorker()
      await Promise.all([
        until('api ready', () => site.ready('api')),
        ...site.gateways.map((one) =>
          until('gateway ready', async () => (await fetch(`${one.checkAddress}/readyz`)).ok),
        ),
        ...(site.#worker ? [until('worker ready', () => site.ready('worker'))] : []),
      ])
    } catch (error) {
      await site.close()
      throw error
    }
    return site
  }

  /** @param more of its configuration, without its prefix. */
  async startNotary(more: Readonly<Record<string, string>> = {}): Promise<void> {
    this.notary = await this.#start({ ROLES: 'notary', HTTP_PORT: '0', ...more }, 'notary')
  }

  async startIdentity(): Promise<void> {
    this.identity = await this.#start({ ROLES: 'http', SEED: this.#seed }, 'identity')
  }

  get #seed(): string {
    const { people = 0, seed: more = {} } = this.#options
    const always = seedOf(people) as Record<string, readonly object[]>
    for (const [kind, added] of Object.entries(more)) always[kind] = [...(always[kind] ?? []), ...added]
    return JSON.stringify(always)
  }

  /** In a process of its own, which can be killed. */
  async startIdentityProcess(): Promise<Service> {
    const port = await freePort()
    const env = this.#identityEnvironment({ ROLES: 'http', HTTP_PORT: String(port), SEED: this.#seed })
    const service = new Service({ name: 'identity', service: 'identity', port, env }, this.folder)
    service.start()
    await service.ready()
    this.identityService = service
    this.identity = { address: service.url, close: () => service.stop() }
    return service
  }

  #start(role: Record<string, string>, name: string): Promise<Identity> {
    const config = loadConfig(identityConfig, this.#identityEnvironment(role))
    return startIdentity({ config, logger: this.#logger(name), journey: this.#logger('journey') })
  }

  #identityEnvironment(more: Record<string, string>): Record<string, string> {
    return environment({
      ...(this.#options.kafka && { LOG: 'kafka' }),
      ...this.#logEnvironment(),
      ...this.#storeEnvironment(),
      KEYS_DIR: this.#keys,
      PASSWORD_COST: '10',
      INSECURE_COOKIES: 'true',
      CHECKPOINT_INTERVAL: '300ms',
      ACK_DEADLINE: '500ms',
      ISSUER,
      ...(this.#options.gateways && { TRUST_DOMAIN }),
      ...this.#options.everywhere,
      ...this.#options.identity,
      ...more,
    })
  }

  #logEnvironment(): Record<string, string> {
    const { kafka } = this.#options
    if (!kafka) return { LOG_PATH: this.logPath }
    return { KAFKA_BROKERS: kafka.brokers.join(), REGISTRY_URL: kafka.registryUrl }
  }

  #storeEnvironment(): Record<string, string> {
    const { redisUrl } = this.#options
    if (redisUrl === undefined) return { STORE_PATH: join(this.folder, 'store.db') }
    return { STORE: 'redis', REDIS_URL: redisUrl, REDIS_PREFIX: basename(this.folder) }
  }

  async #startApi(): Promise<void> {
    const { upstreamAudience: audience } = this.#options
    const direct = {
      IDENTITY_SECRET: SERVICE_SECRET,
      INSECURE_COOKIES: 'true',
      ISSUER,
      INTROSPECTION_CLIENT: 'api',
      INTROSPECTION_SECRET: CLIENT_SECRET,
    }
    const config = loadConfig(
      apiConfig,
      environment({
        ...this.#logEnvironment(),
        ROOT_KEY: this.rootKey,
        ENVELOPE_KEY_FILE: this.keyFile('api'),
        IDENTITY_URL: this.identity.address ?? '',
        ...(this.#options.gateways && audience === undefined ? { CREDENTIALS: 'gateway', TRUST_DOMAIN } : direct),
        ...(audience !== undefined && { AUDIENCE: audience }),
        ...this.#options.everywhere,
        SCHEDULE_SECRET,
        SCHEDULE_TENANTS: 'acme,globex',
        WEBHOOKS: JSON.stringify({
          ledger: { tenant: 'acme', secrets: [WEBHOOK_SECRET] },
          till: { tenant: 'acme', scheme: 'stripe', secrets: [WEBHOOK_SECRET] },
          forge: { tenant: 'acme', scheme: 'github', secrets: [WEBHOOK_SECRET] },
        }),
      }),
    )
    const api = await startApi(config, this.#logger('api'))
    this.api ??= api
    this.apis.push(api)
  }

  /** Everything but the files. */
  async stop(): Promise<void> {
    for (const service of [
      ...this.gateways.splice(0),
      this.#worker,
      ...this.apis.splice(0),
      this.identity,
      this.notary,
    ])
      await service?.close()
    this.#worker = null
  }

  /** What `stop` stopped, but gateways. */
  async startAgain(): Promise<void> {
    await this.startNotary()
    await this.startIdentity()
    await this.#startApi()
    this.api = this.apis[0] as Api
    await this.startWorker()
    await Promise.all([until('api ready', () => this.ready('api')), until('worker ready', () => this.ready('worker'))])
  }

  /** In front of the first api. @param key that it seals with. */
  async startGateway(key = 'gateway'): Promise<Gateway> {
    const config = loadConfig(
      gatewayConfig,
      environment({
        ...this.#logEnvironment(),
        ROOT_KEY: this.rootKey,
        ENVELOPE_KEY_ID: key,
        ENVELOPE_KEY_FILE: this.keyFile(key),
        ROUTES: JSON.stringify(this.#routes()),
        IDENTITY_URL: this.identity.address ?? '',
        IDENTITY_SECRET: SERVICE_SECRET,
        INSECURE_COOKIES: 'true',
        ISSUER,
        TRUST_DOMAIN,
        INTROSPECTION_CLIENT: 'gateway',
        INTROSPECTION_SECRET: CLIENT_SECRET,
        ...this.#options.everywhere,
      }),
    )
    const gateway = await startGateway(config, this.#logger('gateway'))
    this.gateways.push(gateway)
    return gateway
  }

  #routes(): readonly object[] {
    const { routes = routesTo, upstreamAudience } = this.#options
    const all: readonly object[] = routes(this.api.address)
    if (upstreamAudience === undefined) return all
    return all.map((one) => ('audience' in one ? { ...one, forward: 'access-token', upstreamAudience } : one))
  }

  get gateway(): Gateway {
    const [first] = this.gateways
    if (!first) throw new Error('this site has no gateway')
    return first
  }

  /** Where people log in and clients get their tokens. */
  get door(): string {
    return this.gateways[0]?.address ?? this.identity.address ?? ''
  }

  /** What is queued waits. */
  async stopWorker(): Promise<void> {
    await this.#worker?.close()
    this.#worker = null
  }

  /** @param more of its configuration, without its prefix. */
  async startWorker(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const own = { CONSUMER: 'worker-1', ROOT_KEY: this.rootKey, CHECKPOINT_INTERVAL: '300ms', PROBE_SECRET }
    const config = loadConfig(
      workerConfig,
      environment({
        ...this.#logEnvironment(),
        ...own,
        HISTORY_PATH: this.historyPath,
        ...this.#options.everywhere,
        ...more,
      }),
    )
    this.#worker = await startWorker(config, this.#logger('worker'))
  }

  get worker(): Worker {
    if (!this.#worker) throw new Error('the worker is stopped')
    return this.#worker
  }

  get rootKey(): string {
    return readFileSync(join(this.#keys, 'root.pub'), 'utf8')
  }

  get historyPath(): string {
    return join(this.folder, 'worker-1.history.jsonl')
  }

  /** File of the embedded log. */
  get logPath(): string {
    return join(this.folder, 'log.db')
  }

  /** Of the private key of that name. */
  keyFile(name: string): string {
    return join(this.#keys, `${name}.key.pem`)
  }

  get #keys(): string {
    return this.keysFolder
  }

  get keysFolder(): string {
    return join(this.folder, 'keys')
  }

  /** Nobody can read or write the embedded log, or identity's store, any more. */
  takeAway(what: 'log' | 'store'): void {
    for (const file of this.#files(what)) if (existsSync(file)) renameSync(file, `${file}.away`)
  }

  bringBack(what: 'log' | 'store'): void {
    for (const file of this.#files(what)) if (existsSync(`${file}.away`)) renameSync(`${file}.away`, file)
  }

  async ready(name: 'api' | 'worker'): Promise<boolean> {
    return (await fetch(`${this[name].address}/readyz`)).ok
  }

  /** @returns the cookie of a new session. */
  async login(name: string): Promise<string> {
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ email: `${name}@example.com`, password: PASSWORD })
    const response = await fetch(`${this.door}/login`, { method: 'POST', headers, body })
    expect(response.status).toBe(200)
    return (response.headers.getSetCookie().find((line) => line.startsWith('session=')) ?? '').split(';')[0] ?? ''
  }

  async logout(cookie: string): Promise<{ readonly state: string; readonly id: string }> {
    const headers = { cookie, 'content-type': 'application/json' }
    const response = await fetch(`${this.door}/logout`, { method: 'POST', headers, body: '{}' })
    return (await response.json()) as { state: string; id: string }
  }

  /** As the operator, at identity. */
  async operate(method: string, path: string, body?: object): Promise<Record<string, unknown> & { status: number }> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${OPERATOR_SECRET}` }
    const sent = { method, headers, ...(body && { body: JSON.stringify(body) }) }
    const response = await fetch(`${this.identity.address}${path}`, sent)
    return { ...((await response.json()) as object), status: response.status }
  }

  /** As a program with a credential, at the api or in front of it. */
  async post(path: string, shown: Shown, body: object = {}, at: Listening = this.api): Promise<Answer> {
    const headers = { 'content-type': 'application/json', ...headersOf(shown) }
    const response = await fetch(`${at.address}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: response.status, jobs: [], ...((await response.json()) as object) } as Answer
  }

  /** Queues through the form, as the page does. @returns where the outcome can be watched. */
  async watched(path: string, shown: Shown, fields: Record<string, string>, at: Listening = this.api): Promise<string> {
    const body = new URLSearchParams(fields)
    const request = { method: 'POST', headers: headersOf(shown), body, redirect: 'manual' } as const
    const response = await fetch(`${at.address}${path}`, request)
    expect(response.status).toBe(303)
    return `${at.address}${response.headers.get('location')}`
  }

  /** Fires the schedule: work with nobody logged in. @returns ids of its jobs. */
  async fire(name: string, secret: string, body: object = {}): Promise<Answer & { readonly refused?: unknown[] }> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${secret}` }
    const url = `${this.api.address}/internal/schedule/${name}`
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: response.status, jobs: [], ...((await response.json()) as object) } as Answer
  }

  /** The worker's history of one kind, in order. */
  history(type: string): Record<string, unknown>[] {
    const lines = readFileSync(this.historyPath, 'utf8').split('\n').filter(Boolean)
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((event) => event.type === type)
  }

  async close(): Promise<void> {
    await this.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #files(what: 'log' | 'store'): string[] {
    return ['', '-wal', '-shm'].map((suffix) => join(this.folder, `${what}.db${suffix}`))
  }

  #logger(name: string): Logger {
    return createLogger({ name, level: 'debug', destination: { write: (line: string) => void this.lines.push(line) } })
  }
}

/** Waits until what is told of a job has these members. */
export async function becomes(url: string, expected: object): Promise<void> {
  let last: unknown
  await until(`job to become ${JSON.stringify(expected)}`, async () => {
    last = await (await fetch(url)).json()
    return JSON.stringify({ ...(last as object), ...expected }) === JSON.stringify(last)
  }).catch((error: Error) => {
    throw new Error(`${error.message}; last ${JSON.stringify(last)}`)
  })
}

function headersOf(shown: Shown): Record<string, string> {
  return typeof shown === 'string' ? { cookie: shown } : { ...shown }
}

function environment(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`COUNTERSIGN_${name}`, value]))
}
