/** The administrative connection: opened when first asked, bounded in time, replaced after a failure. */
import kafkajs, { type Admin, type Kafka } from 'kafkajs'
import type { Bounds, TopicSpec, TopicState } from '../port.ts'
import { isUnknownTopic, rootCause, topicUnknown } from './faults.ts'

/** What a topic needs on a cluster beyond what every log needs. */
export interface ReplicationOptions {
  /** Copies of each partition. Default: 3, or as many as there are brokers. */
  replicationFactor?: number
  /** In-sync copies an append waits for. Default: 2 of 3 or more copies, else 1. */
  minInSyncReplicas?: number
}

/** A topic's state with what only Kafka knows. */
export interface KafkaTopicState extends TopicState {
  readonly replicationFactor: number
  readonly minInSyncReplicas: number
  readonly compressionType: string
}

const ASK_AGAIN = 3

export class KafkaAdmin {
  readonly #kafka: Kafka
  #current: Promise<Admin> | null = null

  constructor(kafka: Kafka) {
    this.#kafka = kafka
  }

  /** Partitions of a topic, from the cluster. @returns null when there is no such topic. */
  async partitions(topic: string): Promise<number | null> {
    try {
      const { topics } = await this.#use((admin) => admin.fetchTopicMetadata({ topics: [topic] }))
      return topics[0]?.partitions.length ?? null
    } catch (error) {
      if (isUnknownTopic(error)) return null
      throw error
    }
  }

  async bounds(topic: string, partition: number): Promise<Bounds> {
    const offsets = await this.#use((admin) => admin.fetchTopicOffsets(topic)).catch((error: unknown) => {
      throw isUnknownTopic(error) ? topicUnknown(topic) : error
    })
    const found = offsets.find((one) => one.partition === partition)
    if (found === undefined) throw topicUnknown(topic, partition)
    return { start: Number(found.low), end: Number(found.high) }
  }

  async topics(): Promise<KafkaTopicState[]> {
    const { topics } = await this.#use((admin) => admin.fetchTopicMetadata())
    const shown = topics.filter(({ name }) => !name.startsWith('__'))
    if (shown.length === 0) return []
    const { resources } = await this.#use((admin) =>
      admin.describeConfigs({
        includeSynonyms: false,
        resources: shown.map(({ name }) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
      }),
    )
    return shown
      .map(({ name, partitions }) => {
        const entries = resources.find((one) => one.resourceName === name)?.configEntries ?? []
        const config = (key: string): string => entries.find((entry) => entry.configName === key)?.configValue ?? ''
        const retention = config('retention.ms')
        return {
          name,
          partitions: partitions.length,
          retentionMs: retention === '' || Number(retention) < 0 ? null : Number(retention),
          cleanupPolicy: config('cleanup.policy'),
          timestampType: config('message.timestamp.type'),
          replicationFactor: partitions[0]?.replicas.length ?? 0,
          minInSyncReplicas: Number(config('min.insync.replicas')),
          compressionType: config('compression.type'),
        }
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async createTopics(specs: readonly TopicSpec[], options: ReplicationOptions = {}): Promise<string[]> {
    const existing = new Set(await this.#use((admin) => admin.listTopics()))
    const missing = specs.filter(({ name }) => !existing.has(name))
    if (missing.length === 0) return []
    const { brokers } = await this.#use((admin) => admin.describeCluster())
    const replicas = options.replicationFactor ?? Math.min(3, brokers.length)
    const inSync = options.minInSyncReplicas ?? (replicas >= 3 ? 2 : 1)
    await this.#use((admin) =>
      admin.createTopics({
        waitForLeaders: true,
        timeout: 5_000,
        topics: missing.map((spec) => ({
          topic: spec.name,
          numPartitions: spec.partitions,
          replicationFactor: replicas,
          configEntries: [
            { name: 'cleanup.policy', value: 'delete' },
            { name: 'retention.ms', value: String(spec.retentionMs) },
            { name: 'message.timestamp.type', value: 'LogAppendTime' },
            { name: 'compression.type', value: 'uncompressed' },
            { name: 'min.insync.replicas', value: String(inSync) },
          ],
        })),
      }),
    )
    return missing.map(({ name }) => name).sort()
  }

  async deleteGroup(group: string): Promise<void> {
    await this.#use((admin) => admin.deleteGroups([group]))
  }

  async close(): Promise<void> {
    const current = this.#current
    this.#current = null
    await current?.then((admin) => admin.disconnect()).catch(() => {})
  }

  async #use<T>(call: (admin: Admin) => Promise<T>, again = ASK_AGAIN): Promise<T> {
    const used = this.#current !== null
    this.#current ??= this.#connect()
    const current = this.#current
    try {
      return await call(await current)
    } catch (error) {
      // Of several topics asked about at once kafkajs may take one for loaded that is not yet, and trips over it. The
      // connection is sound, and others wait for their answers on it.
      if (rootCause(error).name === 'TypeError' && again > 0) return this.#use(call, again - 1)
      // Other answers came over a sound connection. An unknown topic stays with it: kafkajs asks for the
      // metadata of every topic it was ever asked about, so a deleted one fails the questions about others.
      const unknownTopic = isUnknownTopic(error)
      if (unknownTopic || rootCause(error).type === undefined) this.#drop(current)
      if (unknownTopic && used) return this.#use(call)
      throw error
    }
  }

  #drop(failed: Promise<Admin>): void {
    if (this.#current === failed) this.#current = null
    failed.then((admin) => admin.disconnect()).catch(() => {})
  }

  async #connect(): Promise<Admin> {
    const admin = this.#kafka.admin()
    await admin.connect()
    return admin
  }
}
