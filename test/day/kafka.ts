/** Kafka for the day: the local stack that is up, one of its own, or brokers given by address. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { exampleCatalogue } from '@countersign/schemas'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import { down, killBroker, status, up } from '../../infra/stack/index.ts'
import type { DayOptions } from './options.ts'
import type { LogAddress } from './site.ts'

export interface DayKafka {
  readonly address: NonNullable<LogAddress>
  /** Copies of each topic. */
  readonly replication: number
  /** SIGKILL for one broker of the local stack; null where there are not three. */
  readonly killOne: (() => Promise<void>) | null
  /** Ends what this started, and nothing else. */
  stop(): Promise<void>
}

/** @throws {Error} when brokers given by address hold an earlier log: those are not ours to empty. */
export async function dayKafka(options: DayOptions, say: (line: string) => void): Promise<DayKafka> {
  if (options.brokers.length > 0) {
    const address = { brokers: options.brokers, registryUrl: options.registryUrl ?? '' }
    const held = await withAdmin(address.brokers, heldTopics)
    if (held.length > 0)
      throw new Error(`these brokers hold ${held.join(', ')}; delete them or use others, the day begins anew`)
    return { address, replication: Math.min(3, options.brokers.length), killOne: null, stop: async () => {} }
  }
  const running = status()
  const dir = running === null ? join(options.folder, '..', 'day-stack') : undefined
  if (running === null) say(`starting ${options.stackBrokers} Kafka broker(s) and a schema registry as local processes`)
  else say('using the local stack, emptied of an earlier day')
  // A stack that is there is brought up whole: a broker killed on an earlier day comes back.
  const { brokers, registryUrl } = await up({
    brokers: running?.brokers.length ?? options.stackBrokers,
    ...(dir && { dir }),
  })
  await withAdmin(brokers, empty)
  const stop = async (): Promise<void> => {
    if (dir) await down({ dir })
  }
  const killOne = brokers.length === 3 ? () => killBroker(2, { ...(dir && { dir }) }) : null
  return { address: { brokers, registryUrl }, replication: brokers.length, killOne, stop }
}

async function withAdmin<T>(brokers: readonly string[], act: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: [...brokers], clientId: 'day', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    return await act(admin)
  } finally {
    await admin.disconnect()
  }
}

/** @returns topics of the catalogue that exist, sorted. */
async function heldTopics(admin: Admin): Promise<string[]> {
  const names = new Set(exampleCatalogue.entries.map(({ name }) => name))
  return (await admin.listTopics()).filter((name) => names.has(name)).sort()
}

/** Deletes topics and groups of an earlier day: committed offsets would outlive the topics they count on. */
async function empty(admin: Admin): Promise<void> {
  const topics = await heldTopics(admin)
  if (topics.length === 0) return
  const { groups } = await admin.listGroups()
  await admin.deleteGroups(groups.map(({ groupId }) => groupId)).catch(() => {})
  await admin.deleteTopics({ topics })
  for (let left = topics; left.length > 0; left = await heldTopics(admin)) await sleep(200)
}
