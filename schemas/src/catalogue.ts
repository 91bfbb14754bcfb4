/**
 * The topic catalogue: which topics exist, what they are for, and what may stand on them. Owns the
 * mapping from logical to physical names; retry, park and dead-letter topics are aliases of their
 * logical topic.
 */
import { type Codec, codec } from './codec.ts'
import * as records from './records.ts'
import {
  FIRST_USER_SCHEMA_ID,
  type SchemaEntry,
  type SchemaIdTable,
  schemaEntries,
  schemaIdTable,
} from './schema-ids.ts'
import { logByTenant, type MoreLog, type SignalsLog, signalsLogs } from './signals-logs.ts'

export type TopicRole = 'signals' | 'decisions' | 'progress' | 'journey' | 'jobs' | 'park' | 'dead'

/** A topic as it is to exist. */
export interface TopicEntry {
  /** Physical name. */
  readonly name: string
  readonly logical: string
  readonly role: TopicRole
  readonly partitions: number
  /** What the record key is, for people. */
  readonly key: string
  /** Milliseconds, or `window`: as long as the trust bundle's window asks. */
  readonly retention: 'window' | number
  /** Full Avro names that may stand on it. */
  readonly schemas: readonly string[]
  /** Audience of envelopes on it; null where none travel. */
  readonly audience: string | null
  /** Name of the signals log that stands on it; absent for topics of other roles. */
  readonly log?: string
}

/** A user's own payload schema. */
export interface PayloadSchema {
  /** Id on logs without a registry, from 1000; never given to anything else. */
  readonly id: number
  /** From 1, rising by one. */
  readonly version: number
  /** Vetted Avro record schema with a full name. */
  readonly schema: object
}

/** Asks for one kind of job: its topic and the park and dead-letter topics beside it. */
export interface JobTopic {
  readonly logical: string
  readonly audience: string
  /** Full name of a schema of this package, or the user's own. */
  readonly payload: string | PayloadSchema
  /** What the record key is, for people. Default: `any`. */
  readonly key?: string
  /** Default 6. */
  readonly partitions?: number
  /** Milliseconds. Default 7 days. */
  readonly retentionMs?: number
}

/** Where the jobs of one logical topic travel. */
export interface JobTopicNames {
  readonly name: string
  readonly park: string
  readonly dead: string
  readonly audience: string
  /** Full Avro name of the payload. */
  readonly schema: string
  readonly partitions: number
}

export interface Catalogue {
  /**
   * In the order signals (`main` first), decisions, progress, journey, then each job topic with its park and dead-letter
   * topic.
   */
  readonly entries: readonly TopicEntry[]
  /** `main`, then the others as asked for. */
  readonly signalsLogs: readonly SignalsLog[]
  /** The signals log that owns a tenant. */
  signalsLogOf(tenant: string): SignalsLog
  /** Every schema that may stand on these topics, with its id on logs without a registry. */
  readonly schemas: readonly SchemaEntry[]
  byName(physical: string): TopicEntry | undefined
  jobTopic(logical: string): JobTopicNames | undefined
  /** @returns the logical topic a physical topic stands for, aliases included. */
  logicalOf(physical: string): string | undefined
  schemaIds(): SchemaIdTable
  /** @returns the codec of a payload by its full Avro name. */
  payloadCodec(name: string): Codec<unknown> | undefined
}

const DAY = 24 * 60 * 60 * 1000
const NAME = /^[a-z0-9][a-z0-9.-]{0,199}$/
const PAYLOADS: readonly Codec<unknown>[] = [
  records.invoiceExportCodec,
  records.paymentRunCodec,
  records.emailSendCodec,
  records.reportBuildCodec,
]

/** @returns the codec of an example payload by its full Avro name. */
export function payloadCodec(name: string): Codec<unknown> | undefined {
  return PAYLOADS.find((c) => c.name === name)
}

const SIGNALS_RECORDS = [
  'countersign.Signal',
  'countersign.Checkpoint',
  'countersign.EpochClaim',
  'countersign.TrustBundle',
]

const OTHER_SYSTEM_TOPICS: readonly TopicEntry[] = [
  {
    name: 'countersign.decisions.v1',
    logical: 'decisions',
    role: 'decisions',
    partitions: 12,
    key: 'none',
    retention: 30 * DAY,
    schemas: ['countersign.DecisionBatch'],
    audience: null,
  },
  {
    name: 'countersign.progress.v1',
    logical: 'progress',
    role: 'progress',
    partitions: 1,
    key: 'consumer instance',
    retention: DAY,
    schemas: ['countersign.Progress', 'countersign.Registration'],
    audience: null,
  },
  {
    name: 'countersign.journey.v1',
    logical: 'journey',
    role: 'journey',
    partitions: 6,
    key: 'subject',
    retention: 'window',
    schemas: ['countersign.JourneyEvent'],
    audience: null,
  },
]

export interface CatalogueOptions {
  /** Signals logs beside `main`, each with the tenants it owns. @defaultValue none */
  readonly logs?: readonly MoreLog[]
}

/**
 * The system topics with the given job topics.
 * @throws {RangeError} for a malformed or repeated logical name, no partition, an unknown payload, a user schema id
 *   below 1000, or logs that do not say of each tenant whose it is.
 */
export function catalogue(jobTopics: readonly JobTopic[], options: CatalogueOptions = {}): Catalogue {
  const logs = signalsLogs(options.logs ?? [])
  const system = [...logs.map((log) => signalsTopic(log)), ...OTHER_SYSTEM_TOPICS]
  const own = new Map<number, SchemaEntry>()
  const codecs = new Map<string, Codec<unknown>>(PAYLOADS.map((c) => [c.name, c]))
  const jobs = new Map<string, JobTopicNames>()
  const entries = [...system]
  for (const topic of jobTopics) {
    const { logical, audience, partitions = 6 } = topic
    if (!NAME.test(logical) || system.some((t) => t.logical === logical))
      throw new RangeError(`not a name for a job topic: ${logical}`)
    if (!Number.isInteger(partitions) || partitions < 1) throw new RangeError(`${logical} has at least one partition`)
    if (jobs.has(logical)) throw new RangeError(`job topic ${logical} is given twice`)
    const schema = typeof topic.payload === 'string' ? topic.payload : addOwn(topic.payload)
    if (!codecs.has(schema))
      throw new RangeError(`no payload schema ${schema}: name one of this package or give your own`)
    const names = {
      name: `${logical}.v1`,
      park: `${logical}.park.v1`,
      dead: `${logical}.dead.v1`,
      audience,
      schema,
      partitions,
    }
    jobs.set(logical, Object.freeze(names))
    const same = { logical, key: topic.key ?? 'any', schemas: [schema], audience }
    entries.push(
      { ...same, name: names.name, role: 'jobs', partitions, retention: topic.retentionMs ?? 7 * DAY },
      { ...same, name: names.park, role: 'park', partitions: 1, retention: 30 * DAY },
      { ...same, name: names.dead, role: 'dead', partitions: 1, retention: 30 * DAY },
    )
  }
  const byName = new Map(entries.map((e) => [e.name, Object.freeze(e)]))
  if (byName.size !== entries.length) throw new RangeError('two topics share a physical name')
  const schemas = [...schemaEntries, ...own.values()]
  const ids = schemaIdTable(schemas)

  function addOwn({ id, version, schema }: PayloadSchema): string {
    if (!Number.isInteger(id) || id < FIRST_USER_SCHEMA_ID)
      throw new RangeError(`a payload schema id is a whole number from ${FIRST_USER_SCHEMA_ID}: ${id}`)
    const made = codec<unknown>(schema)
    const before = own.get(id)
    if (before && (before.name !== made.name || before.version !== version))
      throw new RangeError(`schema id ${id} is given twice`)
    own.set(id, { id, name: made.name, version, schema, subject: made.name })
    codecs.set(made.name, made)
    return made.name
  }

  return {
    entries,
    schemas,
    signalsLogs: logs,
    signalsLogOf: logByTenant(logs),
    byName: (physical) => byName.get(physical),
    jobTopic: (logical) => jobs.get(logical),
    logicalOf: (physical) => byName.get(physical)?.logical,
    schemaIds: () => ids,
    payloadCodec: (name) => codecs.get(name),
  }
}

function signalsTopic({ name: log, topic, tenants }: SignalsLog): TopicEntry {
  return {
    name: topic,
    logical: tenants === null ? 'signals' : `signals.${log}`,
    role: 'signals',
    partitions: 1,
    key: 'none',
    retention: 'window',
    schemas: SIGNALS_RECORDS,
    audience: null,
    log,
  }
}

/** Job topics of the reference services. */
export const exampleJobTopics: readonly JobTopic[] = [
  {
    logical: 'invoices.export',
    audience: 'billing-export',
    payload: records.invoiceExportCodec.name,
    key: 'invoice id',
  },
  { logical: 'payments.run', audience: 'payments', payload: records.paymentRunCodec.name, key: 'invoice id' },
  { logical: 'emails.send', audience: 'mail', payload: records.emailSendCodec.name, key: 'invoice id' },
  { logical: 'reports.build', audience: 'reporting', payload: records.reportBuildCodec.name, key: 'period' },
]

/** The catalogue of the reference services. */
export const exampleCatalogue: Catalogue = catalogue(exampleJobTopics)
