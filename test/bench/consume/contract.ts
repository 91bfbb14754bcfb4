/** What the bench and its processes tell each other. */
import { type Catalogue, catalogue as catalogueOf } from '@countersign/schemas'
import type { EachBatchPayload } from 'kafkajs'

/** Messages sealed together, produced as one record batch, and handed to the consumer in one call. */
export const SIZES = [1, 4, 16, 64, 256] as const
export const PARTITIONS = 6
export const AUDIENCE = 'billing-export'
export const ACTION = 'export'
export const SCOPE = 'invoices:export'

/** How the identity of a message travels, and so which topic it stands on. */
export type Kind = 'sealed' | 'plain' | 'claims' | 'opaque' | 'jwt-eddsa' | 'jwt-rs256'

/** Who consumes. */
export type SubjectName =
  | 'enforced'
  | 'bare'
  | 'redis'
  | 'redis-mget'
  | 'introspection'
  | 'introspection-in-flight'
  | 'jwt-eddsa'
  | 'jwt-rs256'

export type HandlerName = 'empty' | 'redis' | 'sqlite'

/** The payload, about 1 KB. */
export interface Export {
  readonly invoice_id: string
  readonly format: string
  readonly note: string
}

const EXPORT = {
  type: 'record',
  name: 'Export',
  namespace: 'bench',
  fields: ['invoice_id', 'format', 'note'].map((name) => ({ name, type: 'string' })),
}
export const EXPORT_SCHEMA = 'bench.Export'

/** The logical topic of messages of one kind and batch size. */
export function topicOf(run: string, kind: Kind, what: string): string {
  return `${run}.${kind}.${what}`
}

/** Topics of one run; the system topics are its own, too. @param logical job topics. */
export function benchCatalogue(run: string, logical: readonly string[]): Catalogue {
  const payload = { id: 1000, version: 1, schema: EXPORT }
  const made = catalogueOf(
    logical.map((name) => ({ logical: name, audience: AUDIENCE, partitions: PARTITIONS, payload })),
  )
  const entries = made.entries.map((entry) =>
    entry.role === 'jobs' || entry.role === 'park' || entry.role === 'dead'
      ? entry
      : { ...entry, name: `${run}.${entry.logical}` },
  )
  return { ...made, entries }
}

/** The job itself. */
export type Handle = (value: Export, offset: string) => Promise<void> | void

/** A way to consume. */
export interface Subject {
  eachBatch(logical: string, handle: Handle): (payload: EachBatchPayload) => Promise<void>
  stop(): Promise<void>
}

/** What a consumer process is started with. */
export interface Setup {
  readonly subject: SubjectName
  readonly run: string
  readonly brokers: string[]
  readonly registryUrl: string
  readonly redisUrl: string
  readonly introspectionUrl: string
  /** Job topics of the run. */
  readonly logical: readonly string[]
  readonly rootKey: Buffer
  /** Public keys of the issuers of the JWTs, SPKI PEM by algorithm. */
  readonly issuers: Readonly<Record<'EdDSA' | 'RS256', string>>
  /** Sessions that were ended, in a shared set. */
  readonly ended: readonly string[]
}

/** One run of a consumer over all messages of a topic, or over those that come. */
export interface Task {
  readonly logical: string
  readonly group: string
  readonly handler: HandlerName
  /** Messages to come. */
  readonly messages: number
  /** Of those, to warm up with, not counted. */
  readonly warm: number
  /** Longest fetch per partition: about one record batch. */
  readonly maxBytes: number
  /** Say when the group is joined, and when each handler started. */
  readonly timed: boolean
}

export interface Outcome {
  /** Messages counted. */
  readonly counted: number
  readonly cpuUs: number
  readonly wallMs: number
  /** Handlers called, over all messages. */
  readonly handled: number
  /** Median messages per call of `eachBatch`. */
  readonly batch: number
  /** Empty where not timed. */
  readonly started: readonly Started[]
}

/** When the handlers of one partition's messages started. */
export interface Started {
  readonly partition: number
  /** Offset of the first message. */
  readonly first: number
  /** From that offset on, nanoseconds of the machine's monotonic clock; 0 for a message not handled. */
  readonly at: BigInt64Array
}

/** A record batch as the producer process sent it. */
export interface Sent {
  readonly partition: number
  /** Offset of its first message. */
  readonly first: number
  /** When it was written, nanoseconds of the machine's monotonic clock. */
  readonly at: bigint
}

export interface Address {
  readonly host: string
  readonly port: number
}

/** To the producer process: a request to send later. */
export interface TakeOrder {
  readonly partition: number
  /** Complete, its place among those taken being its correlation id. */
  readonly bytes: Buffer
}

/** To the producer process: send all that was taken; answered with what was sent, once all of it is durable. */
export interface SendOrder {
  /** By partition. */
  readonly leaders: readonly Address[]
  readonly everyMs: number
}
