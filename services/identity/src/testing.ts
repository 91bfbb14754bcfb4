/** A running identity in a folder of its own, with a log that can be taken away; for tests. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Appended, type EventLog, EventLogError, type NewRecord } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { type Clock, loadConfig, systemClock, systemRandom } from '@countersign/kernel'
import { readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { exampleCatalogue, type Signal, signalCodec } from '@countersign/schemas'
import { createLogger } from '@countersign/telemetry'
import { type Identity, startIdentity } from './app.ts'
import { identityConfig } from './config.ts'
import type { RaisesOf } from './endings.ts'
import { initKeys, type KeyOrder } from './key-files.ts'

export const OPERATOR_SECRET = 'canary-operator-secret-0123456789abcdef'
export const SERVICE_SECRET = 'canary-service-secret-0123456789abcdefg'
export const PASSWORD = 'canary password 0'

const SEED = {
  accounts: [
    person('ann', [{ tenant: 'acme', roles: ['admin'] }]),
    ...['bob', 'eve', 'fay', 'gus', 'hal', 'ida', 'joe'].map((name) =>
      person(name, [{ tenant: 'acme', roles: ['member'] }]),
    ),
    person('cid', [{ tenant: 'beta', roles: ['admin'] }]),
    person('dan', [
      { tenant: 'acme', roles: ['member'] },
      { tenant: 'beta', roles: ['member'] },
    ]),
  ],
  secrets: [
    { name: 'ops', use: 'operator', secret: OPERATOR_SECRET },
    { name: 'api', use: 'service', secret: SERVICE_SECRET },
  ],
}

/** What the log does with what it is given. */
export type LogMode = 'present' | 'away' | 'takes it and does not say so'

/** A clock whose wall can be moved; its timers are real. */
export class MovedClock implements Clock {
  offset = 0
  monotonic = systemClock.monotonic
  sleep = systemClock.sleep
  after = systemClock.after

  now(): number {
    return systemClock.now() + this.offset
  }
}

/** A log in front of a log. */
export class TestLog {
  mode: LogMode = 'present'
  /** Records that `read` leaves out, as retention would. */
  hidden: (signal: Signal) => boolean = () => false
  readonly #inner: EventLog

  constructor(inner: EventLog) {
    this.#inner = inner
  }

  /** The log as the service gets it. */
  facade(): EventLog {
    const inner = this.#inner
    return new Proxy(inner, {
      get: (target, name) => {
        if (name === 'append') return (topic: string, records: readonly NewRecord[]) => this.#append(topic, records)
        if (name === 'read') return (options: Parameters<EventLog['read']>[0]) => this.#read(options)
        const value = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  async #append(topic: string, records: readonly NewRecord[]): Promise<readonly Appended[]> {
    const parts = { code: 'EVENT_LOG_UNAVAILABLE', retriable: true, publicMessage: 'the log is away' } as const
    if (this.mode === 'away') throw new EventLogError({ ...parts, outcome: 'none' })
    const appended = await this.#inner.append(topic, records)
    if (this.mode !== 'present') throw new EventLogError({ ...parts, outcome: 'unknown' })
    return appended
  }

  async *#read(options: Parameters<EventLog['read']>[0]): ReturnType<EventLog['read']> {
    for await (const records of this.#inner.read(options)) {
      yield records.filter((record) => {
        const read = readRecord(record, this.#inner.schemas)
        return read?.kind !== 'Signal' || !this.hidden(signalCodec.decode(read.body))
      })
    }
  }
}

/** A signal and where it stands. */
export interface Found {
  readonly signal: Signal
  readonly offset: number
}

/** Folder, keys, log and the processes in it. */
export class World {
  /** Address of a Redis for the stores of worlds made from now on; null for SQLite. */
  static redisUrl: string | null = null
  readonly #redis: Readonly<Record<string, string>> =
    World.redisUrl === null
      ? {}
      : {
          COUNTERSIGN_STORE: 'redis',
          COUNTERSIGN_REDIS_URL: World.redisUrl,
          COUNTERSIGN_REDIS_PREFIX: `world-${randomUUID()}`,
        }
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-identity-'))
  readonly lines: string[] = []
  readonly clock: MovedClock = new MovedClock()
  readonly #running = new Set<Identity>()
  #reader: { readonly file: number; readonly log: EventLog } | null = null
  /** Gives append times of logs opened from now on. */
  logClock: Clock = this.clock
  log: TestLog | null = null
  /** What identities started from now on raise; null for what the table says. */
  raisesOf: RaisesOf | null = null

  /** @param orders keys of boundaries. */
  constructor(orders: readonly KeyOrder[] = []) {
    initKeys({
      dir: join(this.folder, 'keys'),
      checkpoints: 2,
      orders,
      now: this.clock.now() - 1000,
      random: systemRandom,
    })
  }

  get storePath(): string {
    return join(this.folder, 'identity.db')
  }

  get logPath(): string {
    return join(this.folder, 'log.db')
  }

  environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      COUNTERSIGN_STORE_PATH: this.storePath,
      COUNTERSIGN_LOG_PATH: this.logPath,
      COUNTERSIGN_KEYS_DIR: join(this.folder, 'keys'),
      COUNTERSIGN_SEED: JSON.stringify(SEED),
      COUNTERSIGN_PASSWORD_COST: '10',
      COUNTERSIGN_CHECKPOINT_INTERVAL: '100ms',
      COUNTERSIGN_MAX_STALENESS: '1s',
      COUNTERSIGN_SWEEP_INTERVAL: '1h',
      COUNTERSIGN_LOG_LEVEL: 'debug',
      COUNTERSIGN_INSECURE_COOKIES: 'true',
      ...this.#redis,
      ...more,
    }
  }

  /** Starts an identity, with both roles unless told otherwise. */
  async start(
    more: Readonly<Record<string, string>> = {},
    prepare: (log: TestLog) => void = () => {},
  ): Promise<Client> {
    const inner = await openSqliteLog({ path: this.logPath, catalogue: exampleCatalogue, clock: this.logClock })
    this.log = new TestLog(inner)
    prepare(this.log)
    const destination = { write: (line: string): void => void this.lines.push(line) }
    const identity = await startIdentity({
      config: loadConfig(identityConfig, this.environment(more)),
      logger: createLogger({ name: 'identity', level: 'debug', destination }),
      journey: createLogger({ name: 'journey', level: 'info', destination }),
      clock: this.clock,
      log: this.log.facade(),
      ...(this.raisesOf && { raisesOf: this.raisesOf }),
    })
    this.#running.add(identity)
    const client = new Client(identity, () => this.#close(identity))
    await until(async () => (await client.get('/readyz')).status === 200)
    return client
  }

  /** Every signal on the log, in order, each once: delivery is at least once, by the same bytes. */
  async signals(): Promise<Found[]> {
    const first = new Map<string, Found>()
    for (const found of await this.records()) {
      const id = Buffer.from(found.signal.id).toString('hex')
      if (!first.has(id)) first.set(id, found)
    }
    return [...first.values()]
  }

  /** Every record of a signal on the log, in order. */
  async records(): Promise<Found[]> {
    const log = await this.#reading()
    const { start, end } = await log.bounds(SIGNALS_TOPIC)
    const found: Found[] = []
    for await (const records of log.read({ topic: SIGNALS_TOPIC, from: start, to: end })) {
      for (const record of records) {
        const read = readRecord(record, log.schemas)
        if (read?.kind === 'Signal') found.push({ signal: signalCodec.decode(read.body), offset: record.offset })
      }
    }
    return found
  }

  /** A handle beside those of identities, which tests ask over and over; another one once the file is another. */
  async #reading(): Promise<EventLog> {
    const { ino: file } = statSync(this.logPath)
    if (this.#reader?.file !== file) {
      await this.#reader?.log.close()
      this.#reader = { file, log: await openSqliteLog({ path: this.logPath, catalogue: exampleCatalogue }) }
    }
    return this.#reader.log
  }

  async destroy(): Promise<void> {
    for (const identity of this.#running) await this.#close(identity)
    await this.#reader?.log.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #close(identity: Identity): Promise<void> {
    if (this.#running.delete(identity)) await identity.close()
  }
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever was sent
  readonly json: any
}

/** Talks to one identity over HTTP, keeping one browser's cookies. */
export class Client {
  readonly identity: Identity
  readonly close: () => Promise<void>
  /** Values of the cookies by name. */
  readonly jar: Map<string, string> = new Map()

  constructor(identity: Identity, close: () => Promise<void>) {
    this.identity = identity
    this.close = close
  }

  /** The session cookie. */
  get cookie(): string | null {
    return this.jar.get('session') ?? null
  }

  set cookie(value: string | null) {
    if (value === null) this.jar.delete('session')
    else this.jar.set('session', value)
  }

  /** Another browser at the same identity. */
  browser(): Client {
    return new Client(this.identity, this.close)
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.send('GET', path, undefined, headers)
  }

  post(path: string, body: unknown = {}, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.send('POST', path, body, headers)
  }

  /** As the operator, without the browser's cookie. */
  operate(method: string, path: string, body: unknown = {}): Promise<Reply> {
    return new Client(this.identity, this.close).send(method, path, body, {
      authorization: `Bearer ${OPERATOR_SECRET}`,
    })
  }

  /** A new person of a tenant, logged in nowhere; the name serves `login`. */
  async person(roles: readonly string[] = ['member'], tenant = 'acme'): Promise<{ name: string; sub: string }> {
    const name = `p${randomUUID()}`
    const body = { email: `${name}@example.test`, password: PASSWORD, affiliations: [{ tenant, roles }] }
    const { json } = await this.operate('POST', '/v1/accounts', body)
    return { name, sub: json.sub }
  }

  async login(name: string, more: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.post('/login', { email: `${name}@example.test`, password: PASSWORD, ...more })
  }

  resolve(cookie: string | null = this.cookie, secret: string = SERVICE_SECRET): Promise<Reply> {
    return this.send('POST', '/v1/sessions/resolve', { cookie }, { authorization: `Bearer ${secret}` })
  }

  async send(
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    const sent: RequestInit = { method, redirect: 'manual', headers: { ...headers } }
    const all = sent.headers as Record<string, string>
    const kept = [...this.jar].map(([name, value]) => `${name}=${value}`).join('; ')
    if (kept !== '' && !all.cookie && !all.authorization) all.cookie = kept
    if (method !== 'GET' && typeof body === 'string') {
      all['content-type'] ??= 'application/x-www-form-urlencoded'
      sent.body = body
    } else if (method !== 'GET') {
      all['content-type'] ??= 'application/json'
      sent.body = JSON.stringify(body)
    }
    const response = await fetch(`${this.identity.address}${path}`, sent)
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^(?:__Host-)?([a-z]+)=([^;]*)/.exec(line) ?? []
      if (value === '') this.jar.delete(name)
      else this.jar.set(name, value)
    }
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json') ?? false
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
  }
}

/** Waits until something holds. @throws {Error} after 10 s. */
export async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('it never held')
}

function person(name: string, affiliations: { tenant: string; roles: string[] }[]) {
  return { sub: `sub_${name}`, email: `${name}@example.test`, password: PASSWORD, affiliations }
}
