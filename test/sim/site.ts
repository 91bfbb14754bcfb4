/**
 * A whole site in one scheduler: identity, two notaries, two producers and three consumers, made of the
 * code that ships, on one broker and one store. Only time, randomness, network, log and password hashing
 * are the simulation's own.
 */
import { createBoundary, type SessionResolver } from '@countersign/boundary'
import { createEnforcer } from '@countersign/enforcer'
import { ed25519Key, generateEd25519, type SigningKey, signRecord } from '@countersign/envelope'
import { topicSpecs } from '@countersign/event-log'
import {
  Administration,
  Authority,
  type BundleTerms,
  bundleSource,
  Delivery,
  Logins,
  logClock,
  Notary,
  ownView,
  type Passwords,
  repairer,
  SESSION_KINDS,
  SessionEndings,
  Sessions,
} from '@countersign/identity'
import { journeyLog } from '@countersign/journey'
import { defineJobClass, type JobClassRules } from '@countersign/policy'
import { Replica, type ReplicaOptions } from '@countersign/replica'
import { catalogue, type KeyGrant, type KeyUse, signalCodec } from '@countersign/schemas'
import type { SessionStore } from '@countersign/session-store'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import type { ConsumerEvent } from '../checker/history.ts'
import { Broker } from './broker.ts'
import { SimLog } from './client.ts'
import { EPOCH, SimProcess } from './process.ts'
import { Scheduler } from './scheduler.ts'
import { SimStore } from './store.ts'

export const EPSILON_MS = 250
export const TERMS: BundleTerms = {
  windowMs: 15_000,
  maxStalenessMs: 5_250,
  checkpointIntervalMs: 1_000,
  renewMs: 4_000,
  lifeMs: 60_000,
}
const ENVELOPE_LIFE_MS = 8_000
const RPC_TIMEOUT_MS = 1_500

export const TOPICS = catalogue([
  { logical: 'invoices.export', audience: 'billing-export', payload: 'countersign.InvoiceExport', partitions: 2 },
  { logical: 'payments.run', audience: 'payments', payload: 'countersign.PaymentRun', partitions: 1 },
])

export const CLASSES: readonly JobClassRules[] = [
  defineJobClass({
    name: 'export',
    topic: 'invoices.export',
    action: 'export',
    preset: 'finish-accepted',
    scopes: ['invoices:export'],
    maxWaitMs: 6_000,
    attempts: 2,
  }),
  defineJobClass({
    name: 'payment',
    topic: 'payments.run',
    action: 'pay',
    preset: 'money',
    scopes: ['payments:run'],
    whenNotFresh: 'park',
    attempts: 2,
  }),
]

/** Hashing a password is real work on other threads; here everyone knows their own. */
const PASSWORDS: Passwords = {
  hash: async () => ({ salt: Buffer.alloc(16), hash: Buffer.alloc(32), n: 2, r: 8, p: 1 }),
  verify: async () => true,
  load: 0,
}

/** What runs in one life of a process. */
export interface Life<T> {
  readonly process: SimProcess
  readonly part: T
}

export interface IdentityPart {
  readonly store: SessionStore
  readonly replica: Replica
  readonly logins: Logins
  readonly sessions: Sessions
  readonly sessionEndings: SessionEndings
  readonly administration: Administration
}

export class Site {
  readonly scheduler: Scheduler
  readonly broker: Broker
  readonly store: SimStore
  readonly history: ConsumerEvent[] = []
  /** Grants of the next trust bundle; a fault may change them. */
  readonly grants: KeyGrant[] = []
  readonly lives = new Map<string, Life<unknown>>()
  readonly #keys = new Map<string, SigningKey>()
  readonly #root: SigningKey
  readonly #rootPublic: Buffer
  readonly #losses = { request: 4, answer: 4 }

  constructor(seed: number) {
    this.scheduler = new Scheduler(seed)
    this.broker = new Broker(this.scheduler)
    this.store = new SimStore(this.scheduler)
    this.broker.create(topicSpecs(TOPICS, { windowMs: TERMS.windowMs }))
    const root = generateEd25519(this.scheduler.random)
    this.#root = ed25519Key('root', root.privateKeyPem)
    this.#rootPublic = root.publicKey
    this.grant('signal', 'signal')
    this.grant('notary-a', 'checkpoint')
    this.grant('notary-b', 'checkpoint')
    this.grant('api-1', 'envelope')
    this.grant('api-2', 'envelope')
  }

  get rootKeys(): readonly Buffer[] {
    return [this.#rootPublic]
  }

  /** Makes a key and grants it from the next bundle on. */
  grant(keyId: string, use: KeyUse): void {
    const { privateKeyPem, publicKey } = generateEd25519(this.scheduler.random)
    this.#keys.set(keyId, ed25519Key(keyId, privateKeyPem))
    const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: EPOCH * 2 }
    this.grants.push({ key_id: keyId, public_key: publicKey, use, ...always })
  }

  key(keyId: string): SigningKey {
    return this.#keys.get(keyId) as SigningKey
  }

  log(process: SimProcess): SimLog {
    const ids = TOPICS.schemaIds()
    return new SimLog(
      process,
      this.broker,
      { idOf: (name) => ids.idOf(name) ?? 0, schemaOf: (id) => ids.schemaOf(id) },
      this.#losses,
    )
  }

  /** True wall time. */
  now(): number {
    return Math.floor(EPOCH + this.scheduler.now)
  }

  async start(): Promise<void> {
    await this.startIdentity()
    await this.startNotary('notary-a')
    await this.startNotary('notary-b')
    for (const name of ['api-1', 'api-2']) await this.startProducer(name)
    for (const name of ['worker-1', 'worker-2', 'worker-3']) await this.startConsumer(name)
  }

  /** Starts a process of that name again, as it was started before. */
  restart(name: string): Promise<void> {
    if (name === 'identity') return this.startIdentity()
    if (name.startsWith('notary')) return this.startNotary(name)
    return name.startsWith('api') ? this.startProducer(name) : this.startConsumer(name)
  }

  async startIdentity(): Promise<void> {
    const { process, replica, log } = this.#follower('identity')
    const { random } = process
    const clock = logClock(process.clock, replica, EPSILON_MS)
    const signalKey = this.key('signal')
    const store = await this.store.connect(process, (signal) => {
      const body = signalCodec.encode(signal)
      return { body, signature: signRecord('Signal', body, signalKey) }
    })
    const view = ownView(replica, clock)
    const shared = {
      store,
      log,
      clock,
      random,
      logger: silentLogger,
      metrics: createMetrics(),
      journey: journeyLog(silentLogger),
    }
    const delivery = new Delivery({ ...shared, keyInForce: () => view.keyInForce, epsilonMs: EPSILON_MS })
    const repair = repairer({ ...shared, view, delivery })
    const authority: Authority = new Authority({ ...shared, view, delivery, repair, ackDeadlineMs: 1_000 })
    const kinds = { ...SESSION_KINDS, browser: { ...SESSION_KINDS.browser, idleMs: 3_600_000, absoluteMs: 3_600_000 } }
    const begun = { ...shared, view, authority, delivery, repair, kinds, grants: GRANTS }
    const sessions = new Sessions(begun)
    const sessionEndings = new SessionEndings({ ...shared, authority })
    const administration = new Administration({
      ...shared,
      authority,
      passwords: PASSWORDS,
      grants: GRANTS,
      resetCodeMs: 60_000,
    })
    const logins = new Logins({ ...begun, sessions, passwords: PASSWORDS })
    await replica.start()
    delivery.start()
    const part: IdentityPart = { store, replica, logins, sessions, sessionEndings, administration }
    this.lives.set('identity', { process, part })
    // As the service does: a store found behind the log is repaired before anyone asks.
    void replica
      .waitUntil(() => view.started, 60_000)
      .then(async (started) => {
        if (started) await repair().catch(() => {})
      })
  }

  async startNotary(name: string): Promise<void> {
    const process = new SimProcess(name, this.scheduler)
    const store = await this.store.connect(process)
    const { clock, random } = process
    const bundles = bundleSource({ store, rootKey: this.#root, grants: () => this.grants, terms: TERMS })
    const part = new Notary({
      log: this.log(process),
      clock,
      random,
      store,
      bundles,
      checkpointKey: this.key(name),
      rootKeys: this.rootKeys,
      notaryId: name,
      logger: silentLogger,
      intervalMs: TERMS.checkpointIntervalMs,
      epsilonMs: EPSILON_MS,
      renewMs: 4_000,
      replaceAfterMs: 4_000,
    })
    this.lives.set(name, { process, part })
    await part.start()
  }

  async startProducer(name: string): Promise<void> {
    const { process, replica, log } = this.#follower(name)
    const { clock, random } = process
    const part = createBoundary({
      replica,
      log,
      catalogue: TOPICS,
      key: this.key(name),
      workload: name,
      clock,
      random,
      sessions: { resolve: (cookie) => this.#resolve(process, cookie) },
      cookieName: 'session',
      maxEnvelopeLifeMs: ENVELOPE_LIFE_MS,
    })
    this.lives.set(name, { process, part })
    await replica.start()
  }

  async startConsumer(name: string): Promise<void> {
    const { process, replica, log } = this.#follower(name, { progress: { everyMs: 2_000, maxStalenessMs: 0 } })
    const { clock, random } = process
    const enforcer = createEnforcer({
      replica,
      log,
      catalogue: TOPICS,
      clock,
      random,
      consumer: name,
      classes: CLASSES,
      logger: silentLogger,
      epsilonMs: EPSILON_MS,
      recordWithinMs: 5_000,
      history: { record: (event) => void this.history.push({ ...event, at: this.now() }) },
    })
    this.lives.set(name, { process, part: enforcer })
    await replica.start()
    for (const rules of CLASSES) {
      const consumer = log.jobs({ group: `workers-${rules.name}`, topics: [TOPICS.jobTopic(rules.topic)?.name ?? ''] })
      const handler = enforcer.eachBatch<{ work_ms: number }>(
        rules.name,
        async ({ value, signal, event, commitIfAllowed }) => {
          await clock.sleep(value.work_ms, signal)
          if (signal.aborted) throw signal.reason
          // One in ten attempts fails, so that retries and dead letters are part of every run.
          if ((random.bytes(1)[0] as number) < 26) throw new Error('the work failed')
          if (rules.effect !== 'rechecked') return
          const told = { consumer: name, class: rules.name, eventId: event.id }
          commitIfAllowed(({ asOf }) => void this.history.push({ type: 'effect', ...told, at: this.now(), asOf }))
        },
        { concurrency: 4 },
      )
      await consumer.run({ eachBatch: handler })
    }
  }

  /** Calls a process over the network: `undefined` when it is dead, frozen or cut off for too long. */
  call<P, R>(from: SimProcess | null, name: string, act: (part: P) => Promise<R>): Promise<R | undefined> {
    const { scheduler, broker } = this
    return new Promise((resolve) => {
      const target = this.lives.get(name) as Life<P>
      scheduler.schedule(RPC_TIMEOUT_MS, from, () => resolve(undefined))
      scheduler.schedule(broker.latency(), target.process, () => {
        act(target.part).then(
          (value) => void scheduler.schedule(broker.latency(), from, () => resolve(value)),
          () => void scheduler.schedule(broker.latency(), from, () => resolve(undefined)),
        )
      })
    })
  }

  async #resolve(process: SimProcess, cookie: string): ReturnType<SessionResolver['resolve']> {
    const answer = await this.call(process, 'identity', async ({ sessions }: IdentityPart) => ({
      found: await sessions.resolve({ as: 'cookie', value: cookie }),
    }))
    if (answer === undefined) return { ok: false, code: 'sessions_unavailable' }
    if (answer.found === null) return { ok: false, code: 'credential_invalid' }
    const { found } = answer
    return {
      ok: true,
      identity: { ...found, client: found.client ?? null, device: found.device ?? null, acr: found.acr ?? null },
    }
  }

  #follower(
    name: string,
    more: Pick<ReplicaOptions, 'progress'> = {},
  ): { process: SimProcess; replica: Replica; log: SimLog } {
    const process = new SimProcess(name, this.scheduler)
    const log = this.log(process)
    const replica = new Replica({
      log,
      rootKeys: this.rootKeys,
      clock: process.clock,
      random: process.random,
      logger: silentLogger,
      consumer: name,
      epsilonMs: EPSILON_MS,
      expectedEntries: 64,
      ...more,
    })
    return { process, replica, log }
  }
}

const GRANTS = { member: ['invoices:export'], accountant: ['invoices:export', 'payments:run'] }
