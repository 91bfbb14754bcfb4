/**
 * The producer, replaced when it is beyond repair: kafkajs keeps asking for the metadata of every topic it
 * ever sent to, so one deleted topic fails all of them (tulios/kafkajs#1146).
 *
 * Not idempotent: kafkajs' idempotent producer dies for good of one out-of-order sequence (#598), and its
 * producer ids leave empty batches on compacted topics. A retry may therefore append twice; every reader
 * of these topics is built for that.
 */
import kafkajs, { type Kafka, type Producer, type RecordMetadata } from 'kafkajs'
import type { JobMessage } from '../port.ts'
import { REQUEST_TIMEOUT_MS } from './client.ts'

export interface OutgoingMessage {
  key: Buffer | null
  value: Buffer | null
  headers: NonNullable<JobMessage['headers']>
  partition: number
  timestamp: string
}

export class RebuildingProducer {
  readonly #kafka: Kafka
  #current: Promise<Producer> | null = null

  constructor(kafka: Kafka) {
    this.#kafka = kafka
  }

  /** One attempt, all in-sync replicas. Rejects with the kafkajs error. */
  async send(topic: string, messages: OutgoingMessage[]): Promise<RecordMetadata | undefined> {
    this.#current ??= this.#connect()
    const current = this.#current
    try {
      const producer = await current
      const answers = await producer.send({
        topic,
        acks: -1,
        timeout: REQUEST_TIMEOUT_MS - 3_000,
        compression: kafkajs.CompressionTypes.None,
        messages: messages as Parameters<Producer['send']>[0]['messages'],
      })
      return answers[0]
    } catch (error) {
      // A connect that failed must not be kept; anything else is decided by the caller.
      await current.catch(() => this.#forget(current))
      throw error
    }
  }

  /** The next send gets a new producer. */
  rebuild(): void {
    const current = this.#current
    this.#current = null
    current?.then((producer) => producer.disconnect()).catch(() => {})
  }

  async close(): Promise<void> {
    const current = this.#current
    this.#current = null
    await current?.then((producer) => producer.disconnect()).catch(() => {})
  }

  #forget(failed: Promise<Producer>): void {
    if (this.#current === failed) this.#current = null
  }

  async #connect(): Promise<Producer> {
    const producer = this.#kafka.producer({
      allowAutoTopicCreation: false,
      idempotent: false,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      // None of its own: it reports only the last failure, and an earlier one may have left the batch on the log.
      retry: { retries: 0 },
    })
    await producer.connect()
    return producer
  }
}
