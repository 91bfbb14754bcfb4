/** The team's own application: an HTTP API, and a kafkajs consumer that runs its jobs. Its people log in elsewhere. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Boundary, createBoundary } from '@countersign/boundary'
import { fastifyHook } from '@countersign/boundary/fastify'
import { createEnforcer, type Enforcer } from '@countersign/enforcer'
import { ed25519Key } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog } from '@countersign/event-log/kafka'
import { Secret, systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { type Catalogue, catalogue as catalogueOf } from '@countersign/schemas'
import { createLogger } from '@countersign/telemetry'
import fastify, { type FastifyInstance } from 'fastify'
import { Kafka, logLevel } from 'kafkajs'
import { AUDIENCE } from './provider.ts'

/** The team's topic, with a payload of its own. */
export const catalogue: Catalogue = catalogueOf([
  {
    logical: 'shop.shipments',
    audience: 'shop-shipping',
    partitions: 1,
    payload: {
      id: 1000,
      version: 1,
      schema: {
        type: 'record',
        name: 'Shipment',
        namespace: 'shop',
        fields: [
          { name: 'order', type: 'string' },
          { name: 'work_ms', type: 'int' },
        ],
      },
    },
  },
])
const TOPIC = 'shop.shipments.v1'

const JOBS = {
  consumer: 'shop-1',
  classes: [
    defineJobClass({
      ...{ name: 'ship', topic: 'shop.shipments', action: 'ship', object: 'order', attempts: 1 },
      scopes: ['orders:ship'],
    }),
  ],
}

interface Shipment {
  readonly order: string
  readonly work_ms: number
}

export interface ShopOptions {
  readonly brokers: readonly string[]
  readonly registryUrl: string
  readonly rootKey: Buffer
  readonly keyPem: string
  readonly issuer: string
  /** The same as identity's. */
  readonly foreignIdKey: string
  /** Group of its consumer; null for a process that runs no jobs. */
  readonly group: string | null
  /** Everything it logs. */
  readonly lines: string[]
}

/** What became of an order: the states it has gone through, in order. */
export type States = Map<string, string[]>

export class Shop {
  readonly states: States = new Map()
  /** Who the consumer saw, by order. */
  readonly people: Map<string, string> = new Map()
  readonly log: EventLog
  readonly #app: FastifyInstance
  readonly #closers: (() => Promise<unknown>)[] = []
  #gate: Promise<void> = Promise.resolve()
  #open: () => void = () => {}

  private constructor(log: EventLog, app: FastifyInstance) {
    this.log = log
    this.#app = app
  }

  static async start(options: ShopOptions): Promise<Shop> {
    const { registryUrl, rootKey, issuer, lines } = options
    const brokers = [...options.brokers]
    const logger = createLogger({
      name: 'shop',
      level: 'debug',
      destination: { write: (line: string) => void lines.push(line) },
    })
    const clock = systemClock
    const random = systemRandom
    const log = await openKafkaLog({ brokers, registryUrl, catalogue, clientId: 'shop', registryDeadlineMs: 10_000 })
    const replica = new Replica({ log, rootKeys: [rootKey], clock, logger, consumer: 'shop-1' })
    await replica.start()
    const shared = { replica, log, catalogue, clock, random, logger }
    const boundary: Boundary = createBoundary({
      ...shared,
      key: ed25519Key('shop', options.keyPem),
      workload: 'shop',
      issuers: [
        {
          ...{ issuer, audience: AUDIENCE, keys: `${issuer}/jwks`, algorithms: ['ES256'], typ: 'at+jwt', maxAgeS: 600 },
          identifiers: { hashKey: new Secret(options.foreignIdKey) },
          tenant: { claim: 'tenant', allowed: ['acme'] },
          allowedScopes: ['orders:ship'],
        },
      ],
    })

    const app = fastify()
    const shop = new Shop(log, app)
    app.addHook('onRequest', fastifyHook(boundary))
    app.post<{ Params: { id: string }; Body: { work_ms?: number } }>('/orders/:id/ship', async (request, reply) => {
      const { identity, params, body } = request
      if (!identity.scopes.includes('orders:ship')) return reply.code(403).send()
      const value = { order: params.id, work_ms: body.work_ms ?? 0 }
      await boundary.jobs.send({ topic: 'shop.shipments', key: params.id, value, identity })
      return reply.code(202).send()
    })
    await app.listen({ host: '127.0.0.1', port: 0 })

    if (options.group !== null) await shop.#consume(createEnforcer({ ...shared, ...JOBS }), brokers, options.group)
    shop.#closers.push(
      () => replica.stop(),
      () => log.close(),
      () => app.close(),
    )
    await replica.waitUntil(() => boundary.notReady().length === 0, 30_000)
    return shop
  }

  /** What is queued from now on waits until `resume`. */
  pause(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  resume(): void {
    this.#open()
  }

  /** @returns the status. */
  async ship(order: string, token: string, body: object = {}): Promise<number> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    const address = this.#app.listeningOrigin
    return (await fetch(`${address}/orders/${order}/ship`, { method: 'POST', headers, body: JSON.stringify(body) }))
      .status
  }

  async close(): Promise<void> {
    this.resume()
    for (const close of this.#closers) await close()
  }

  /** As it was, but for the wrapped handler. */
  async #consume(enforcer: Enforcer, brokers: string[], groupId: string): Promise<void> {
    const consumer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).consumer({ groupId })
    await consumer.connect()
    await consumer.subscribe({ topics: [TOPIC], fromBeginning: true })
    const eachMessage = enforcer.eachMessage<Shipment>('ship', async ({ identity, value, signal }) => {
      this.people.set(value.order, identity.sub)
      this.#note(value.order, 'started')
      await sleep(value.work_ms, null, { signal }).catch((error: unknown) => {
        this.#note(value.order, 'aborted')
        throw error
      })
      this.#note(value.order, 'done')
    })
    await consumer.run({
      eachMessage: async (payload) => {
        await this.#gate
        await eachMessage(payload)
      },
    })
    this.#closers.push(() => Promise.all([enforcer.stop(100), consumer.disconnect()]))
  }

  #note(order: string, state: string): void {
    this.states.set(order, [...(this.states.get(order) ?? []), state])
  }
}
