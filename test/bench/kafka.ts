/** The Kafka a bench runs on: an address given, the local stack that is up, or a stack of its own. Topics have names of their own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { down, status, up } from '../../infra/stack/index.ts'

export interface BenchKafka {
  readonly brokers: string[]
  /** Base URL of the Confluent-compatible API, with its path. */
  readonly registryUrl: string
  /** Deletes topics and groups whose names begin with `prefix`, and ends what this started. */
  stop(prefix: string): Promise<void>
}

/** @throws when there is none and none can be started. */
export async function benchKafka(say: (line: string) => void): Promise<BenchKafka> {
  const given = process.env.KAFKA_BROKERS
  if (given) {
    const brokers = given.split(',').map((address) => address.trim())
    return { brokers, registryUrl: process.env.SCHEMA_REGISTRY_URL ?? '', stop: (prefix) => clear(brokers, prefix) }
  }
  const running = status()
  if (running?.members.every(({ alive }) => alive)) {
    const brokers = [...running.brokers]
    say(`Kafka: the local stack in ${running.dir}`)
    return { brokers, registryUrl: running.registryUrl, stop: (prefix) => clear(brokers, prefix) }
  }
  const dir = mkdtempSync(join(tmpdir(), 'countersign-bench-stack-'))
  say('Kafka: starting a broker and a schema registry as local processes')
  const own = await up({ dir })
  const stop = async (): Promise<void> => {
    await down({ dir })
    rmSync(dir, { recursive: true, force: true })
  }
  return { brokers: [...own.brokers], registryUrl: own.registryUrl, stop }
}

async function clear(brokers: string[], prefix: string): Promise<void> {
  const admin = new Kafka({ brokers, clientId: 'bench', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const { groups } = await admin.listGroups()
    const mine = groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(prefix))
    // A group of which a member is still leaving cannot be deleted; the broker forgets it by itself.
    await admin.deleteGroups(mine).catch(() => {})
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix))
    if (topics.length > 0) await admin.deleteTopics({ topics })
  } finally {
    await admin.disconnect()
  }
}
