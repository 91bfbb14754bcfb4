/** Brings a Kafka cluster and its registry to what a catalogue asks. For operators and CI, not for services. */
import { type Clock, systemClock } from '@countersign/kernel'
import { topicSpecs } from '../topics.ts'
import { KafkaAdmin, type ReplicationOptions } from './admin.ts'
import { type KafkaConnection, kafkaClient } from './client.ts'
import { type KafkaCatalogue, Registry } from './registry.ts'

export interface ProvisionOptions extends KafkaConnection, ReplicationOptions {
  registryUrl: string
  catalogue: KafkaCatalogue
  /** What the retention rule `window` means, milliseconds. */
  windowMs: number
  /** How long the registry may take in all, milliseconds. Default 30 s. */
  registryDeadlineMs?: number
  clock?: Clock
}

/** What was missing. Subjects carry the version: `countersign.Signal@1`. */
export interface Provisioned {
  readonly topics: readonly string[]
  readonly subjects: readonly string[]
}

/** What `provisionKafka` would create. */
export async function planKafka(options: ProvisionOptions): Promise<Provisioned> {
  const admin = new KafkaAdmin(kafkaClient(options, 'provision'))
  try {
    const existing = new Set((await admin.topics()).map(({ name }) => name))
    const missing = await registryOf(options).missing(options.catalogue)
    return {
      topics: options.catalogue.entries
        .map(({ name }) => name)
        .filter((name) => !existing.has(name))
        .sort(),
      subjects: missing.map(({ subject, version }) => `${subject}@${version}`),
    }
  } finally {
    await admin.close()
  }
}

/**
 * Registers schemas (FULL_TRANSITIVE) and creates topics that are missing; alters nothing that exists.
 * @returns what was created.
 */
export async function provisionKafka(options: ProvisionOptions): Promise<Provisioned> {
  const registry = registryOf(options)
  const missing = await registry.missing(options.catalogue)
  // One after another: versions of a subject must come in order.
  for (const subject of missing) await registry.register(subject)
  const admin = new KafkaAdmin(kafkaClient(options, 'provision'))
  try {
    const topics = await admin.createTopics(topicSpecs(options.catalogue, options), options)
    return { topics, subjects: missing.map(({ subject, version }) => `${subject}@${version}`) }
  } finally {
    await admin.close()
  }
}

function registryOf({ registryUrl, clock, registryDeadlineMs }: ProvisionOptions): Registry {
  return new Registry(registryUrl, clock ?? systemClock, registryDeadlineMs ?? 30_000)
}
