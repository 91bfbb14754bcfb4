/** One run's topics on Kafka: the signals with a notary that keeps them fresh, and the jobs. */
import { ed25519Key, generateEd25519, type SigningKey } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { systemClock } from '@countersign/kernel'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import { type Catalogue, decisionBatchCodec, unframe } from '@countersign/schemas'
import { CompressionTypes, Kafka, logLevel, type Producer } from 'kafkajs'
import type { BenchKafka } from '../kafka.ts'
import { signals } from '../view/facts.ts'
import { benchCatalogue, PARTITIONS } from './contract.ts'
import type { Message } from './messages.ts'

const WINDOW_MS = 3_600_000
const CHECKPOINT_MS = 1_000
/** Age of the oldest floor. */
const FLOORS_SINCE_MS = 1_800_000
const IN_FLIGHT = 8

export class Site {
  readonly log: EventLog
  readonly catalogue: Catalogue
  readonly key: SigningKey
  readonly rootKey: Buffer
  readonly #run: string
  readonly #producer: Producer
  readonly #scribe: Scribe
  readonly #signalsTopic: string
  #copied = 0
  #beat: NodeJS.Timeout | null = null
  #copying: Promise<unknown> = Promise.resolve()

  private constructor(run: string, log: EventLog, catalogue: Catalogue, producer: Producer) {
    this.#run = run
    this.log = log
    this.catalogue = catalogue
    this.#producer = producer
    this.#signalsTopic = `${run}.signals`
    this.#scribe = new Scribe(new MemoryLog(systemClock))
    this.rootKey = this.#scribe.keys.rootPublic
    const { publicKey, privateKeyPem } = generateEd25519()
    this.key = ed25519Key('bench-boundary', privateKeyPem)
    const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: 8e12 }
    const grant = { key_id: this.key.keyId, public_key: publicKey, use: 'envelope' as const, ...always }
    this.#scribe.bundle({ keys: [...this.#scribe.keys.grants, grant] })
    this.#scribe.begin()
  }

  static async open({ brokers, registryUrl }: BenchKafka, run: string, logical: readonly string[]): Promise<Site> {
    const catalogue = benchCatalogue(run, logical)
    const where = { brokers, registryUrl, catalogue, clientId: run, registryDeadlineMs: 30_000 }
    await provisionKafka({ ...where, windowMs: WINDOW_MS })
    const log = await openKafkaLog(where)
    const producer = new Kafka({ brokers, clientId: run, logLevel: logLevel.NOTHING }).producer()
    await producer.connect()
    return new Site(run, log, catalogue, producer)
  }

  /** Ends these sessions, among `entries` other signals, and checkpoints every second from then on. */
  async signal(ended: readonly string[], entries: number): Promise<void> {
    const scribe = this.#scribe
    const now = systemClock.now()
    let first: number | null = null
    for (const { target, effect, fallback, floor } of signals(entries)) {
      first ??= floor
      scribe.signal({ target, effect, fallback, floor: now - FLOORS_SINCE_MS + (floor - first) })
    }
    for (const id of ended) scribe.signal({ target: { kind: 'session', tenant: '', id }, floor: now })
    const beat = (): void => {
      scribe.checkpoint()
      this.#copying = this.#copying.then(() => this.#copy())
    }
    beat()
    beat()
    await this.#copying
    this.#beat = setInterval(beat, CHECKPOINT_MS)
  }

  async #copy(): Promise<void> {
    const { records } = this.#scribe.log.partition()
    const fresh = records.slice(this.#copied)
    this.#copied = records.length
    await this.log.append(this.#signalsTopic, fresh)
  }

  /** Appends all, `size` messages a record batch, partitions in turn. */
  async fill(logical: string, messages: readonly Message[], size: number): Promise<void> {
    const requests: { readonly partition: number; readonly message: Message }[][] = []
    for (let first = 0, batch = 0; first < messages.length; first += size, batch++) {
      if (batch % PARTITIONS === 0) requests.push([])
      const partition = batch % PARTITIONS
      requests.at(-1)?.push(...messages.slice(first, first + size).map((message) => ({ partition, message })))
    }
    let next = 0
    const worker = async (): Promise<void> => {
      for (let request = requests[next++]; request; request = requests[next++]) await this.#send(logical, request)
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  }

  async #send(logical: string, batch: readonly { partition: number; message: Message }[]): Promise<void> {
    await this.#producer.send({
      topic: `${logical}.v1`,
      acks: -1,
      compression: CompressionTypes.None,
      messages: batch.map(({ partition, message }) => ({ ...message, partition })),
    })
  }

  /** @returns final states recorded, by logical topic: executed and not. */
  async recorded(): Promise<ReadonlyMap<string, { executed: number; refused: number; admitted: number }>> {
    const topic = `${this.#run}.decisions`
    const found = new Map<string, { executed: number; refused: number; admitted: number }>()
    const { partitions } = this.catalogue.entries.find(({ name }) => name === topic) as { partitions: number }
    for (let partition = 0; partition < partitions; partition++) {
      const { start, end } = await this.log.bounds(topic, partition)
      for await (const chunk of this.log.read({ topic, partition, from: start, to: end })) {
        for (const { value } of chunk) {
          const batch = decisionBatchCodec.decode(unframe(value as Buffer)?.body ?? Buffer.alloc(0))
          const sums = found.get(batch.logical_topic) ?? { executed: 0, refused: 0, admitted: 0 }
          const ran = batch.allowed.reduce((sum, { first, last }) => sum + last - first + 1, 0)
          if (batch.phase === 'admitted') sums.admitted += ran
          else {
            sums.executed += ran
            sums.refused += batch.exceptions.length
          }
          found.set(batch.logical_topic, sums)
        }
      }
    }
    return found
  }

  async stop(): Promise<void> {
    if (this.#beat) clearInterval(this.#beat)
    await this.#copying
    await this.#producer.disconnect()
    await this.log.close()
  }
}
