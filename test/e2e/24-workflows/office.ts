/** A team's purchases: asked for by one person, approved by another hours later, paid by a third. One log, one clock. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Boundary, type BoundaryIdentity, createBoundary, httpSessions, type Sent } from '@countersign/boundary'
import {
  createEnforcer,
  type Enforcer,
  identitySuccessors,
  renewing,
  type Successors,
  type Work,
} from '@countersign/enforcer'
import { ed25519Key, type SigningKey } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { type Identity, identityConfig, initKeys, startIdentity } from '@countersign/identity'
import { type Clock, loadConfig, Secret, systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { type Catalogue, catalogue as catalogueOf, ORIGIN_HEADER, readDecisions } from '@countersign/schemas'
import { createLogger, silentLogger } from '@countersign/telemetry'
import { OPERATOR_SECRET, PASSWORD, SERVICE_SECRET, until } from '../site.ts'

const purchase = (logical: string, id: number): Parameters<typeof catalogueOf>[0][number] => ({
  ...{ logical, audience: logical, partitions: 1 },
  payload: {
    ...{ id, version: 1 },
    schema: { type: 'record', name: `Purchase${id}`, namespace: 'office', fields: [{ name: 'order', type: 'string' }] },
  },
})

/** Asked for, approved, paid, wired; and the mail that tells of it. */
const catalogue: Catalogue = catalogueOf(
  ['purchases.ask', 'purchases.approve', 'purchases.pay', 'purchases.wire', 'purchases.tell'].map((logical, i) =>
    purchase(logical, 1000 + i),
  ),
)

/** Paying lets finish what was asked for before somebody left; wiring lets nothing finish. */
const CLASSES = [
  { name: 'ask', topic: 'purchases.ask' },
  { name: 'approve', topic: 'purchases.approve' },
  { name: 'pay', topic: 'purchases.pay', scopes: ['payments:run'], preset: 'finish-accepted' },
  { name: 'wire', topic: 'purchases.wire', scopes: ['payments:run'] },
  { name: 'tell', topic: 'purchases.tell' },
].map((written) => defineJobClass({ action: written.name, attempts: 1, object: 'order', ...written }))

interface Purchase {
  readonly order: string
}

/** A clock whose wall can be moved on, for everybody at once; its timers are real, and who sleeps is woken by a move. */
class MovedClock implements Clock {
  monotonic = systemClock.monotonic
  after = systemClock.after
  #offset = 0
  #moved = new AbortController()

  now(): number {
    return systemClock.now() + this.#offset
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const moved = this.#moved.signal
    return systemClock.sleep(ms, signal ? AbortSignal.any([signal, moved]) : moved)
  }

  move(ms: number): void {
    this.#offset += ms
    this.#moved.abort()
    this.#moved = new AbortController()
  }
}

export class Office {
  readonly clock: MovedClock = new MovedClock()
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-office-'))
  /** What each kind of work does; a test puts its own in. */
  handlers: Readonly<Record<string, (work: Work<Purchase>) => Promise<void> | void>> = {}
  identity!: Identity
  log!: EventLog
  replica!: Replica
  boundary!: Boundary
  enforcer!: Enforcer
  successors!: Successors
  #consumer: { stop(): Promise<void> } | null = null

  static async start(): Promise<Office> {
    const office = new Office()
    try {
      await office.#begin()
    } catch (error) {
      await office.close()
      throw error
    }
    return office
  }

  async #begin(): Promise<void> {
    const { clock } = this
    const keysDir = join(this.folder, 'keys')
    const all = { tenants: ['*'], topics: ['*'] }
    const orders = [
      { ...all, name: 'office', use: 'envelope' as const },
      { ...all, name: 'successor', use: 'envelope' as const },
      { ...all, name: 'payer', use: 'derive' as const },
    ]
    initKeys({ dir: keysDir, checkpoints: 1, orders, now: clock.now() - 1_000, random: systemRandom })
    const path = join(this.folder, 'log.db')
    this.log = await openSqliteLog({ path, catalogue, clock })
    const environment = {
      LOG_PATH: path,
      STORE_PATH: join(this.folder, 'store.db'),
      KEYS_DIR: keysDir,
      SUCCESSOR_KEY: 'successor',
      SUCCESSOR_LIFE: '10m',
      SESSION_IDLE: '12h',
      SWEEP_INTERVAL: '200ms',
      PASSWORD_COST: '10',
      INSECURE_COOKIES: 'true',
      CHECKPOINT_INTERVAL: '200ms',
      MAX_STALENESS: '10s',
      HTTP_PORT: '0',
      SEED: JSON.stringify({
        accounts: ['ann', 'bob', 'eve', 'fay', 'gus'].map((name) => ({
          sub: name,
          ...{ email: `${name}@example.com`, password: PASSWORD },
          affiliations: [{ tenant: 'acme', roles: ['accountant'] }],
        })),
        secrets: [
          { name: 'office', use: 'service', secret: SERVICE_SECRET },
          { name: 'op', use: 'operator', secret: OPERATOR_SECRET },
        ],
      }),
    }
    const prefixed = Object.fromEntries(Object.entries(environment).map(([key, text]) => [`COUNTERSIGN_${key}`, text]))
    const logger = createLogger({ name: 'identity', level: 'silent', destination: { write: () => {} } })
    const config = loadConfig(identityConfig, prefixed)
    this.identity = await startIdentity({ config, logger, journey: logger, clock, log: this.log })
    const rootKey = Buffer.from(readFileSync(join(keysDir, 'root.pub'), 'utf8'), 'base64')
    const shared = { log: this.log, clock, logger: silentLogger, consumer: 'office-1' }
    this.replica = new Replica({ ...shared, rootKeys: [rootKey] })
    await this.replica.start()
    const key = (name: string): SigningKey => ed25519Key(name, readFileSync(join(keysDir, `${name}.key.pem`), 'utf8'))
    const url = this.identity.address ?? ''
    const secret = new Secret(SERVICE_SECRET)
    const parts = { ...shared, replica: this.replica, catalogue, random: systemRandom }
    const sessions = httpSessions({ url, secret, clock })
    this.boundary = createBoundary({
      ...parts,
      key: key('office'),
      workload: 'office',
      sessions,
      cookieName: 'session',
    })
    const successors = identitySuccessors({ url, secret, clock })
    this.successors = successors
    const deriving = { key: key('payer'), workload: 'payer', successors }
    this.enforcer = createEnforcer({ ...parts, classes: CLASSES, deriving })
    await until('the office to be ready', () => this.boundary.notReady().length === 0)
  }

  /** Somebody in a session of their own. */
  async login(name: string): Promise<{ readonly cookie: string; identity(): Promise<BoundaryIdentity> }> {
    const response = await fetch(`${this.identity.address}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: `${name}@example.com`, password: PASSWORD }),
    })
    const line = response.headers.getSetCookie().find((one) => one.startsWith('session=')) ?? ''
    const cookie = line.split(';')[0]?.slice('session='.length) ?? ''
    return {
      cookie,
      identity: async () => {
        const admission = await this.boundary.present({ cookie })
        if (!admission.ok) throw new Error(`${name}: ${admission.code}`)
        return admission.identity
      },
    }
  }

  async logout(cookie: string): Promise<void> {
    const headers = { cookie: `session=${cookie}`, 'content-type': 'application/json' }
    await this.#acknowledged(fetch(`${this.identity.address}/logout`, { method: 'POST', headers, body: '{}' }))
  }

  async operate(path: string, body: object = {}): Promise<void> {
    const headers = { authorization: `Bearer ${OPERATOR_SECRET}`, 'content-type': 'application/json' }
    const sent = { method: 'POST', headers, body: JSON.stringify(body) }
    await this.#acknowledged(fetch(`${this.identity.address}${path}`, sent))
  }

  async #acknowledged(asked: Promise<Response>): Promise<void> {
    const { state, position } = (await (await asked).json()) as { state: string; position: { offset: number } }
    if (state !== 'acknowledged') throw new Error(`the answer is ${state}`)
    await until('the view to have it', () => this.replica.position().offset >= position.offset)
  }

  /** A step by somebody, relying on earlier ones. */
  async step(
    kind: 'ask' | 'approve' | 'pay' | 'wire',
    order: string,
    identity: BoundaryIdentity,
    reliesOn: readonly Uint8Array[] = [],
  ): Promise<Sent> {
    return this.boundary.jobs.send({ topic: `purchases.${kind}`, value: { order }, identity, reliesOn })
  }

  /** Hours pass, for everybody; the notary goes on. */
  async later(hours: number): Promise<void> {
    this.clock.move(hours * 3_600_000)
    await until('a view of now', () => this.boundary.notReady().length === 0)
  }

  /** Runs what waits and what comes. */
  async work(): Promise<void> {
    const topics = CLASSES.map(({ topic }) => `${topic}.v1`)
    const consumer = this.log.jobs({ group: 'office', topics })
    const handle = Object.fromEntries(
      CLASSES.map(({ name, topic }) => [
        `${topic}.v1`,
        this.enforcer.eachMessage<Purchase>(name, (work) => this.handlers[name]?.(work)),
      ]),
    )
    await consumer.run({ eachMessage: async (payload) => handle[payload.topic]?.(payload) })
    this.#consumer = consumer
  }

  /** Everything that waits to be paid is parked, as it stands. */
  async park(): Promise<void> {
    const { start: from, end: to } = await this.log.bounds('purchases.pay.v1')
    for await (const records of this.log.read({ topic: 'purchases.pay.v1', from, to })) {
      const copies = records.map(({ key, value, headers, offset }) => {
        const origin = [ORIGIN_HEADER, Buffer.from(`purchases.pay.v1/0/${offset}`)] as const
        return { key, value, headers: [...headers, origin] }
      })
      await this.log.append('purchases.pay.park.v1', copies)
    }
  }

  /** Runs what was parked, and what comes round. */
  async redrive(): Promise<void> {
    const { log, replica, successors, clock } = this
    const consumer = log.jobs({ group: 'office-redrive', topics: ['purchases.pay.park.v1'] })
    const pay = this.enforcer.eachMessage<Purchase>('pay', (work) => this.handlers.pay?.(work))
    await consumer.run({ eachMessage: renewing({ log, replica, successors, clock }, pay) })
    this.#consumer = consumer
  }

  async rest(): Promise<void> {
    await this.#consumer?.stop()
    this.#consumer = null
  }

  /** What became of an order at one kind of work: outcome and reason, once it is known. */
  async state(kind: string, order: string): Promise<string> {
    let found: string | null = null
    await until(`${kind} ${order} to have a state`, async () => {
      found = await this.#stateOf(kind, order)
      return found !== null
    })
    return found as unknown as string
  }

  async #stateOf(kind: string, order: string): Promise<string | null> {
    const topic = catalogue.entries.find(({ role }) => role === 'decisions')
    for (let partition = 0; topic && partition < topic.partitions; partition++) {
      const { start: from, end: to } = await this.log.bounds(topic.name, partition)
      for await (const records of this.log.read({ topic: topic.name, partition, from, to })) {
        for (const { value } of records) {
          const batch = readDecisions(value, this.log.schemas)
          if (batch?.phase !== 'final' || batch.job_class !== kind) continue
          if (batch.objects.includes(order)) return 'executed'
          const exception = batch.exceptions.find(({ object }) => object === order)
          if (exception) return `${exception.outcome} ${exception.reason}`
        }
      }
    }
    return null
  }

  async close(): Promise<void> {
    await this.rest()
    await this.enforcer?.stop(100)
    await this.replica?.stop()
    await this.identity?.close()
    await this.log?.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
