/** `topics plan | apply | drift`: the catalogue against what is there. */
import { existsSync } from 'node:fs'
import { topicSpecs } from '@countersign/event-log'
import { type KafkaTopicState, planKafka, provisionKafka } from '@countersign/event-log/kafka'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { differences } from '@countersign/evidence'
import { systemClock } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import {
  catalogueOf,
  countOf,
  durationOf,
  kafkaOf,
  type LogOptions,
  openPlace,
  type Place,
  placeOf,
} from './connection.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { logSilent, withDeadline } from './patience.ts'
import { print, type Terminal } from './terminal.ts'

export interface TopicsOptions extends LogOptions {
  window: string
  replicationFactor?: string
  minInSync?: string
}

interface Missing {
  readonly topics: readonly string[]
  readonly subjects: readonly string[]
}

/** Shows what `apply` would create, and creates it only with `execute`. */
export async function applyTopics(
  options: TopicsOptions & { execute?: boolean },
  terminal: Terminal,
): Promise<ExitCode> {
  const place = placeOf(options)
  const catalogue = await catalogueOf(options)
  const act = options.execute ? create : plan
  const missing = await act(place, catalogue, options)
  const rows = [...missing.topics.map((name) => ['topic', name]), ...missing.subjects.map((name) => ['schema', name])]
  print(terminal, options.output, {
    json: { executed: options.execute ?? false, ...missing },
    head: ['create', 'name'],
    rows,
  })
  if (rows.length === 0) terminal.say('Nothing to create.')
  else if (options.execute) terminal.say(`Created ${rows.length}.`)
  else terminal.say(`${rows.length} to create. "topics apply --execute" creates them.`)
  return rows.length === 0 || options.execute ? EXIT.ok : EXIT.differs
}

/** Shows every difference, missing topics included. Changes nothing. */
export async function driftTopics(options: TopicsOptions, terminal: Terminal): Promise<ExitCode> {
  const place = placeOf(options)
  const catalogue = await catalogueOf(options)
  const log = await openPlace(place, catalogue)
  try {
    const specs = topicSpecs(catalogue, { windowMs: durationOf('--window', options.window) })
    const found = differences(specs, await (log.topics() as Promise<readonly KafkaTopicState[]>))
    print(terminal, options.output, {
      json: found,
      head: ['topic', 'property', 'wanted', 'found', 'breaks'],
      rows: found.map(({ topic, property, wanted, found, breaks }) => [
        topic,
        property,
        wanted,
        found,
        breaks ? 'yes' : 'no',
      ]),
    })
    if (found.length === 0) terminal.say('Every topic is as the catalogue asks.')
    return found.length === 0 ? EXIT.ok : EXIT.differs
  } finally {
    await log.close()
  }
}

async function plan(place: Place, catalogue: Catalogue, options: TopicsOptions): Promise<Missing> {
  if (place.kind === 'kafka') return answered(place, planKafka(provisionOf(place, catalogue, options)))
  const wanted = catalogue.entries.map(({ name }) => name).sort()
  if (!existsSync(place.path)) return { topics: wanted, subjects: [] }
  const log = await openPlace(place, catalogue)
  try {
    const existing = new Set((await log.topics()).map(({ name }) => name))
    return { topics: wanted.filter((name) => !existing.has(name)), subjects: [] }
  } finally {
    await log.close()
  }
}

async function create(place: Place, catalogue: Catalogue, options: TopicsOptions): Promise<Missing> {
  if (place.kind === 'kafka') return answered(place, provisionKafka(provisionOf(place, catalogue, options)))
  const { topics } = await plan(place, catalogue, options)
  const log = await openSqliteLog({ path: place.path, catalogue, windowMs: durationOf('--window', options.window) })
  await log.close()
  return { topics, subjects: [] }
}

function answered<T>({ waitMs }: Place, asked: Promise<T>): Promise<T> {
  return withDeadline(asked, systemClock, waitMs, () => logSilent(waitMs))
}

function provisionOf(
  place: Extract<Place, { kind: 'kafka' }>,
  catalogue: Catalogue,
  { window, replicationFactor, minInSync }: TopicsOptions,
): Parameters<typeof provisionKafka>[0] {
  return {
    ...kafkaOf(place),
    catalogue,
    windowMs: durationOf('--window', window),
    ...(replicationFactor !== undefined && { replicationFactor: countOf('--replication-factor', replicationFactor) }),
    ...(minInSync !== undefined && { minInSyncReplicas: countOf('--min-in-sync', minInSync) }),
  }
}
