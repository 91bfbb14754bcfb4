/** Identity, api and worker in this process, on one embedded log, with people who log in; for end-to-end tests. */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Api, config as apiConfig, startApi } from '@countersign/api'
import { type Identity, identityConfig, initKeys, startIdentity } from '@countersign/identity'
import { loadConfig, systemClock, systemRandom } from '@countersign/kernel'
import { createLogger, type Logger } from '@countersign/telemetry'
import { startWorker, type Worker, config as workerConfig } from '@countersign/worker'
import { expect } from 'vitest'
import { freePort, Service } from '../day/processes.ts'

export const SERVICE_SECRET = 'service-secret-service-secret-0123456789'
export const OPERATOR_SECRET = 'operator-secret-operator-secret-0123456'
export const SCHEDULE_SECRET = 'schedule-secret-schedule-secret-0123456'
export const WEBHOOK_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
export const PASSWORD = 'correct horse battery'

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

/** Folder, keys and services. */
export class Site {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-e2e-'))
  /** Everything any service logged. */
  readonly lines: string[] = []
  /** Answers people and services. */
  identity!: Pick<Identity, 'address' | 'close'>
  /** Writes checkpoints, on the same store. */
  notary!: Identity
  api!: Api
  worker!: Worker

  private constructor() {
    const orders = [{ name: 'api', use: 'envelope', tenants: ['*'], topics: ['*'] }] as const
    initKeys({ dir: this.#keys, checkpoints: 1, orders, now: Date.now(), random: systemRandom })
  }

  /** Everything is ready. */
  static async start(): Promise<Site> {
    const site = new Site()
    try {
      await site.startNotary()
      await site.startIdentity()
      await Promise.all([site.#startApi(), site.#startWorker()])
      await Promise.all([
        until('api ready', () => site.ready('api')),
        until('worker ready', () => site.ready('worker')),
      ])
    } catch (error) {
      await site.close()
      throw error
    }
    return site
  }

  async startNotary(): Promise<void> {
    this.notary = await this.#start({ ROLES: 'notary' }, 'notary')
  }

  async startIdentity(): Promise<void> {
    const seed = {
      accounts: [
        account('ann', 'acme', ['admin']),
        account('bob', 'acme', ['accountant']),
        account('eve', 'globex', ['viewer']),
      ],
      secrets: [
        { name: 'api', use: 'service', secret: SERVICE_SECRET },
        { name: 'op', use: 'operator', secret: OPERATOR_SECRET },
      ],
    }
    this.identity = await this.#start({ ROLES: 'http', SEED: JSON.stringify(seed) }, 'identity')
  }

  /** In a process of its own, which can be killed. */
  async startIdentityProcess(): Promise<Service> {
    const port = await freePort()
    const env = this.#identityEnvironment({ ROLES: 'http', HTTP_PORT: String(port) })
    const service = new Service({ name: 'identity', service: 'identity', port, env }, this.folder)
    service.start()
    await service.ready()
    this.identity = { address: service.url, close: () => service.stop() }
    return service
  }

  #start(role: Record<string, string>, name: string): Promise<Identity> {
    const config = loadConfig(identityConfig, this.#identityEnvironment(role))
    return startIdentity({ config, logger: this.#logger(name), journey: this.#logger('journey') })
  }

  #identityEnvironment(more: Record<string, string>): Record<string, string> {
    return environment({
      LOG_PATH: this.logPath,
      STORE_PATH: join(this.folder, 'store.db'),
      KEYS_DIR: this.#keys,
      PASSWORD_COST: '10',
      INSECURE_COOKIES: 'true',
      CHECKPOINT_INTERVAL: '300ms',
      ACK_DEADLINE: '500ms',
      ...more,
    })
  }

  async #startApi(): Promise<void> {
    const config = loadConfig(
      apiConfig,
      environment({
        LOG_PATH: this.logPath,
        ROOT_KEY: this.rootKey,
        ENVELOPE_KEY_FILE: join(this.#keys, 'api.key.pem'),
        IDENTITY_URL: this.identity.address ?? '',
        IDENTITY_SECRET: SERVICE_SECRET,
        INSECURE_COOKIES: 'true',
        SCHEDULE_SECRET,
        SCHEDULE_TENANTS: 'acme,globex',
        WEBHOOKS: JSON.stringify({ ledger: { tenant: 'acme', secrets: [WEBHOOK_SECRET] } }),
      }),
    )
    this.api = await startApi(config, this.#logger('api'))
  }

  async #startWorker(): Promise<void> {
    const own = { CONSUMER: 'worker-1', ROOT_KEY: this.rootKey, CHECKPOINT_INTERVAL: '300ms' }
    const config = loadConfig(
      workerConfig,
      environment({ LOG_PATH: this.logPath, ...own, HISTORY_PATH: this.historyPath }),
    )
    this.worker = await startWorker(config, this.#logger('worker'))
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

  get #keys(): string {
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
    const response = await fetch(`${this.identity.address}/login`, { method: 'POST', headers, body })
    expect(response.status).toBe(200)
    return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
  }

  async logout(cookie: string): Promise<{ readonly state: string; readonly id: string }> {
    const headers = { cookie, 'content-type': 'application/json' }
    const response = await fetch(`${this.identity.address}/logout`, { method: 'POST', headers, body: '{}' })
    return (await response.json()) as { state: string; id: string }
  }

  /** As the operator, at identity. */
  async operate(method: string, path: string, body?: object): Promise<Record<string, unknown> & { status: number }> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${OPERATOR_SECRET}` }
    const sent = { method, headers, ...(body && { body: JSON.stringify(body) }) }
    const response = await fetch(`${this.identity.address}${path}`, sent)
    return { ...((await response.json()) as object), status: response.status }
  }

  /** As a program with a session, at the api. */
  async post(path: string, cookie: string, body: object = {}): Promise<Answer> {
    const headers = { 'content-type': 'application/json', cookie }
    const response = await fetch(`${this.api.address}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: response.status, jobs: [], ...((await response.json()) as object) } as Answer
  }

  /** Queues through the form, as the page does. @returns where the outcome can be watched. */
  async watched(path: string, cookie: string, fields: Record<string, string>): Promise<string> {
    const body = new URLSearchParams(fields)
    const request = { method: 'POST', headers: { cookie }, body, redirect: 'manual' } as const
    const response = await fetch(`${this.api.address}${path}`, request)
    expect(response.status).toBe(303)
    return `${this.api.address}${response.headers.get('location')}`
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
    for (const service of [this.worker, this.api, this.identity, this.notary]) await service?.close()
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

function environment(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`COUNTERSIGN_${name}`, value]))
}

function account(name: string, tenant: string, roles: string[]): object {
  const email = `${name}@example.com`
  return { sub: `sub_${name}`, email, password: PASSWORD, affiliations: [{ tenant, roles }] }
}
