/** Load at an even rate that costs little: encoded before the clock starts, written by a process of its own. */
import { Kafka, logLevel } from 'kafkajs'
import { WorkerProcess } from '../worker-process.ts'
import { type Address, PARTITIONS, type SendOrder, type Sent, type TakeOrder } from './contract.ts'
import type { Message } from './messages.ts'
import { produceRequest } from './produce-request.ts'

export class Load {
  readonly #brokers: string[]
  readonly #process = new WorkerProcess('./consume/producer.ts')
  #leaders: readonly Address[] = []

  constructor(brokers: string[]) {
    this.#brokers = brokers
  }

  /** Hands over all messages, `size` in a record batch, partitions in turn. */
  async prepare(topic: string, messages: readonly Message[], size: number): Promise<void> {
    this.#leaders = await leaders(this.#brokers, topic)
    for (let first = 0, batch = 0; first < messages.length; first += size, batch++) {
      const partition = batch % PARTITIONS
      const bytes = await produceRequest(batch, topic, partition, messages.slice(first, first + size))
      const order: TakeOrder = { partition, bytes }
      await this.#process.ask(order)
    }
  }

  /** Sends what was prepared, a record batch every so often. @returns the batches in the order they were sent. */
  send(everyMs: number): Promise<readonly Sent[]> {
    const order: SendOrder = { leaders: this.#leaders, everyMs }
    return this.#process.ask(order)
  }

  stop(): Promise<void> {
    return this.#process.stop()
  }
}

/** @returns by partition. */
async function leaders(brokers: string[], topic: string): Promise<readonly Address[]> {
  const admin = new Kafka({ brokers, clientId: 'bench', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const cluster = await admin.describeCluster()
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return (topics[0]?.partitions ?? [])
      .toSorted((a, b) => a.partitionId - b.partitionId)
      .map(({ leader, partitionId }) => {
        const broker = cluster.brokers.find(({ nodeId }) => nodeId === leader)
        if (!broker) throw new Error(`${topic}/${partitionId} has no leader`)
        return { host: broker.host, port: broker.port }
      })
  } finally {
    await admin.disconnect()
  }
}
