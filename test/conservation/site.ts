/** What all runs of a command share: topics of their own on a real Kafka, identity, a watcher and a crew of workers. */
import type { EventLog } from '@countersign/event-log'
import { topicSpecs } from '@countersign/event-log'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { systemRandom } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import kafkajs, { type Admin, Kafka, logLevel } from 'kafkajs'
import { Crew } from './crew.ts'
import { Identity } from './identity.ts'
import { ownTopics, type Place, topicsOf } from './topics.ts'
import { Watcher } from './watcher.ts'

/** Of a worker in its group, where the broker allows as little: the local stack does, one as it is shipped asks for six seconds. */
const SESSION_MS = 1_200
const WINDOW_MS = 3_600_000
const SPARES = 2

export interface SiteOptions {
  readonly brokers: readonly string[]
  readonly registryUrl: string
  /** More of the environment of every worker. */
  readonly workerEnv?: Readonly<Record<string, string>>
}

export class Site {
  readonly place: Place
  readonly catalogue: Catalogue
  readonly log: EventLog
  readonly identity: Identity
  readonly watcher: Watcher
  readonly crew: Crew
  readonly sessionTimeoutMs: number
  readonly #client: Kafka
  readonly #admin: Admin
  #runs = 0

  private constructor(
    parts: Pick<Site, 'place' | 'catalogue' | 'log' | 'identity' | 'watcher' | 'crew' | 'sessionTimeoutMs'>,
    client: Kafka,
    admin: Admin,
  ) {
    this.place = parts.place
    this.catalogue = parts.catalogue
    this.log = parts.log
    this.identity = parts.identity
    this.watcher = parts.watcher
    this.crew = parts.crew
    this.sessionTimeoutMs = parts.sessionTimeoutMs
    this.#client = client
    this.#admin = admin
  }

  static async start({ brokers, registryUrl, workerEnv = {} }: SiteOptions): Promise<Site> {
    const site = `conservation-${systemRandom.bytes(4).toString('hex')}`
    const place = { brokers, registryUrl, site }
    const catalogue = topicsOf(site)
    const connection = { brokers, registryUrl, catalogue, clientId: site, registryDeadlineMs: 20_000 }
    await provisionKafka({ ...connection, windowMs: WINDOW_MS })
    const log = ownTopics(await openKafkaLog(connection), site)
    await log.createTopics(topicSpecs(catalogue, { windowMs: WINDOW_MS }))
    const identity = await Identity.start(log)
    const crew = new Crew({ ...place, rootKey: identity.rootPublic.toString('base64') }, workerEnv, SPARES)
    const watcher = await Watcher.start(place, catalogue, log.schemas, identity.rootPublic)
    const client = new Kafka({ brokers: [...brokers], clientId: site, logLevel: logLevel.NOTHING })
    const admin = client.admin()
    await admin.connect()
    const sessionTimeoutMs = Math.max(SESSION_MS, await leastSession(admin))
    return new Site({ place, catalogue, log, identity, watcher, crew, sessionTimeoutMs }, client, admin)
  }

  /** Where each watched partition ends now, by `topic/partition`. */
  async ends(topics: readonly string[] = this.watcher.topics): Promise<Map<string, number>> {
    const all = await Promise.all(
      topics.map(async (topic) =>
        (await this.#admin.fetchTopicOffsets(topic)).map(
          ({ partition, high }) => [`${topic}/${partition}`, Number(high)] as const,
        ),
      ),
    )
    return new Map(all.flat())
  }

  /** Tells runs of one site apart, also of one seed. */
  nextRun(): number {
    return this.#runs++
  }

  get jobTopics(): string[] {
    return this.catalogue.entries.filter(({ role }) => role === 'jobs').map(({ name }) => name)
  }

  /** A new group, which begins where the job topics end now. */
  async groupFromHere(group: string): Promise<void> {
    const ends = await this.ends(this.jobTopics)
    // The admin client of kafkajs could set offsets, and takes five seconds a topic.
    const consumer = this.#client.consumer({ groupId: group, maxWaitTimeInMs: 50, allowAutoTopicCreation: false })
    const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve))
    await consumer.connect()
    await consumer.subscribe({ topics: this.jobTopics })
    await consumer.run({ autoCommit: false, eachBatch: async () => {} })
    await joined
    await consumer.commitOffsets(
      [...ends].map(([place, offset]) => {
        const at = place.lastIndexOf('/')
        return { topic: place.slice(0, at), partition: Number(place.slice(at + 1)), offset: String(offset) }
      }),
    )
    await consumer.disconnect()
  }

  /** What a group has committed, by `topic/partition`. */
  async committed(group: string): Promise<Map<string, number>> {
    const found = await this.#admin.fetchOffsets({ groupId: group, topics: this.jobTopics })
    return new Map(
      found.flatMap(({ topic, partitions }) =>
        partitions.map(({ partition, offset }) => [`${topic}/${partition}`, Number(offset)] as const),
      ),
    )
  }

  async stop(): Promise<void> {
    await this.crew.end()
    await this.watcher.stop()
    await this.identity.stop()
    await this.log.close()
    await this.#deleteOwn()
    await this.#admin.disconnect()
  }

  async #deleteOwn(): Promise<void> {
    const { groups } = await this.#admin.listGroups()
    const mine = groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(this.place.site))
    // A group of which a killed member is still counted cannot be deleted; the broker forgets it by itself.
    await this.#admin.deleteGroups(mine).catch(() => {})
    const topics = (await this.#admin.listTopics()).filter((topic) => topic.startsWith(this.place.site))
    await this.#admin.deleteTopics({ topics })
  }
}

/** The shortest session that the broker allows, milliseconds. */
async function leastSession(admin: Admin): Promise<number> {
  const { brokers } = await admin.describeCluster()
  const name = String(brokers[0]?.nodeId)
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: kafkajs.ConfigResourceTypes.BROKER, name, configNames: ['group.min.session.timeout.ms'] }],
  })
  return Number(resources[0]?.configEntries[0]?.configValue ?? 0)
}
