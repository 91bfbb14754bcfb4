/** What exposure is measured on: Kafka of its own unless given, identity with a notary and its store on Redis, and consumers. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { provisionKafka } from '@countersign/event-log/kafka'
import { exampleCatalogue } from '@countersign/schemas'
import { down, up } from '../../../infra/stack/index.ts'
import type { Service } from '../../day/processes.ts'
import { IdentitySite } from '../../identity/site.ts'
import { WorkerProcess } from '../worker-process.ts'
import {
  CONSUMERS,
  exposureCatalogue,
  LIVE,
  type Order,
  type Place,
  type ProducerOrder,
  type Reported,
} from './contract.ts'

const WINDOW_MS = 86_400_000
const ENVELOPE_KEY = 'bench'

export class ExposureSite {
  readonly folder: string
  readonly place: Place
  readonly logId: string
  readonly identity: Service
  readonly consumers: readonly WorkerProcess[]
  readonly producer: WorkerProcess
  readonly #end: () => Promise<void>
  #joined = false

  private constructor(
    parts: Pick<ExposureSite, 'folder' | 'place' | 'logId' | 'identity' | 'consumers' | 'producer'>,
    end: () => Promise<void>,
  ) {
    this.folder = parts.folder
    this.place = parts.place
    this.logId = parts.logId
    this.identity = parts.identity
    this.consumers = parts.consumers
    this.producer = parts.producer
    this.#end = end
  }

  /** Everything is there, and every consumer's view proven. */
  static async start(say: (line: string) => void): Promise<ExposureSite> {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-exposure-'))
    const ends: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
    const end = async (): Promise<void> => {
      for (const one of ends.splice(0).reverse()) await one()
    }
    try {
      const kafka = await kafkaIn(folder, ends, say)
      for (const catalogue of [exampleCatalogue, exposureCatalogue]) {
        await provisionKafka({ ...kafka, clientId: 'exposure', catalogue, windowMs: WINDOW_MS, replicationFactor: 1 })
      }
      say('exposure: identity, its notary and its store')
      const site = await IdentitySite.start({
        store: 'redis',
        people: 0,
        clients: [],
        env: { LOG: 'kafka', KAFKA_BROKERS: kafka.brokers.join(','), REGISTRY_URL: kafka.registryUrl },
        orders: [{ name: ENVELOPE_KEY, use: 'envelope', tenants: ['*'], topics: ['*'] }],
      })
      ends.push(() => site.stop())
      const identity = await site.identity('identity')
      const place: Place = {
        ...kafka,
        rootKey: Buffer.from(readFileSync(join(site.keys, 'root.pub'), 'utf8'), 'base64'),
        envelopeKeyPem: readFileSync(join(site.keys, `${ENVELOPE_KEY}.key.pem`), 'utf8'),
        envelopeKeyId: ENVELOPE_KEY,
      }
      say(`exposure: ${CONSUMERS} consumers`)
      const consumers = Array.from({ length: CONSUMERS }, () => {
        return new WorkerProcess(
          './exposure/consumer.ts',
          (process.env.BENCH_NODE_OPTIONS ?? '').split(' ').filter(Boolean),
        )
      })
      const producer = new WorkerProcess('./exposure/producer.ts')
      ends.push(() => Promise.all([...consumers, producer].map((one) => one.stop())))
      const begun = await Promise.all(
        consumers.map((one, i) =>
          one.ask<{ logId: string }>({ type: 'begin', name: `exposure-${i + 1}`, place } satisfies Order),
        ),
      )
      const logId = begun[0]?.logId ?? ''
      await producer.ask({ type: 'begin', place, logId } satisfies ProducerOrder)
      return new ExposureSite({ folder, place, logId, identity, consumers, producer }, end)
    } catch (error) {
      await end()
      throw error
    }
  }

  /** Jobs come at this rate from now on; the consumers take them. @returns how many were sent so far. */
  async flow(perSecond: number): Promise<number> {
    if (perSecond > 0 && !this.#joined) {
      this.#joined = true
      await Promise.all(this.consumers.map((one) => one.ask({ type: 'join', topic: LIVE } satisfies Order)))
    }
    return this.producer.ask({ type: 'stream', perSecond } satisfies ProducerOrder)
  }

  async fill(topic: string, count: number): Promise<void> {
    await this.producer.ask({ type: 'fill', topic, count } satisfies ProducerOrder)
  }

  /** The first consumer joins the topic and finds what waits there. */
  async fallBehind(topic: string): Promise<void> {
    await this.#first.ask({ type: 'join', topic } satisfies Order)
  }

  /** Makes sessions that every consumer has work of, allowed as yet. @returns their names. */
  async expect(count: number, file: string): Promise<string[]> {
    const sessions = await this.producer.ask<string[]>({ type: 'prepare', count, file } satisfies ProducerOrder)
    await Promise.all(this.consumers.map((one) => one.ask({ type: 'expect', file } satisfies Order)))
    return sessions
  }

  report(): Promise<Reported[]> {
    return Promise.all(this.consumers.map((one) => one.ask<Reported>({ type: 'report' } satisfies Order)))
  }

  /** Jobs of a topic that the first consumer has handled. */
  async handledByFirst(topic: string): Promise<number> {
    return this.#first.ask<number>({ type: 'handled', topic } satisfies Order)
  }

  /** Waits until as many jobs of a topic were handled, by all. @returns how many were. */
  async drained(topic: string, jobs: number): Promise<number> {
    for (let i = 0; ; i++) {
      const counts = await Promise.all(
        this.consumers.map((one) => one.ask<number>({ type: 'handled', topic } satisfies Order)),
      )
      const handled = counts.reduce((sum, count) => sum + count, 0)
      if (handled >= jobs || i === 60) return handled
      await sleep(500)
    }
  }

  get #first(): WorkerProcess {
    return this.consumers[0] as WorkerProcess
  }

  stop(): Promise<void> {
    return this.#end()
  }
}

/** The signals log has one name in a cluster, so a stack that others use would not do. */
async function kafkaIn(
  folder: string,
  ends: (() => unknown)[],
  say: (line: string) => void,
): Promise<{ brokers: string[]; registryUrl: string }> {
  const given = process.env.KAFKA_BROKERS
  if (given) return { brokers: given.split(','), registryUrl: process.env.SCHEMA_REGISTRY_URL ?? '' }
  say('exposure: starting a broker and a schema registry as local processes')
  const dir = join(folder, 'stack')
  const { brokers, registryUrl } = await up({ dir, brokers: 1 })
  ends.push(() => down({ dir }))
  return { brokers: [...brokers], registryUrl }
}
