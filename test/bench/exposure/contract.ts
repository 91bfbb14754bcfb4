/** What the exposure bench and its processes tell each other. Times are nanoseconds of the machine's monotonic clock. */
import { defineJobClass, type JobClassRules } from '@countersign/policy'
import { type Catalogue, catalogue } from '@countersign/schemas'
import { AUDIENCE, EXPORT_SCHEMA, SCOPE } from '../consume/contract.ts'

export const CONSUMERS = 8
/** Two for each consumer, so that every one has work under load. */
const PARTITIONS = 2 * CONSUMERS
/** Jobs that come while signals do, and those that one consumer finds waiting. */
export const LIVE = 'exposure.live'
export const BACKLOG = 'exposure.backlog'

const EXPORT = {
  type: 'record',
  name: 'Export',
  namespace: 'bench',
  fields: ['invoice_id', 'format', 'note'].map((name) => ({ name, type: 'string' })),
}

export const exposureCatalogue: Catalogue = catalogue([
  { logical: LIVE, audience: AUDIENCE, partitions: PARTITIONS, payload: { id: 1000, version: 1, schema: EXPORT } },
  { logical: BACKLOG, audience: AUDIENCE, partitions: 1, payload: { id: 1000, version: 1, schema: EXPORT } },
])

export const PAYLOAD_SCHEMA = EXPORT_SCHEMA

export const jobClasses: readonly JobClassRules[] = [LIVE, BACKLOG].map((topic) =>
  defineJobClass({ name: topic, topic, action: 'export', object: 'invoice_id', scopes: [SCOPE] }),
)

/** Where everything is. */
export interface Place {
  readonly brokers: string[]
  readonly registryUrl: string
  readonly rootKey: Uint8Array
  /** The key that seals. */
  readonly envelopeKeyPem: string
  readonly envelopeKeyId: string
}

/** To a consumer: begin, answered with the log's id once its view is proven. */
export interface Begin {
  readonly type: 'begin'
  readonly name: string
  readonly place: Place
}

/** Consume this topic as well; answered once the group is joined. */
export interface Join {
  readonly type: 'join'
  readonly topic: string
}

/** Be ready to judge these envelopes, a file of them; answered once each was judged and none refused. */
export interface Expect {
  readonly type: 'expect'
  readonly file: string
}

/** Tell what was seen since the last report. */
export interface Report {
  readonly type: 'report'
}

/** How many jobs of the topic were handled, since the start? */
export interface Handled {
  readonly type: 'handled'
  readonly topic: string
}

export type Order = Begin | Join | Expect | Report | Handled

/** A revocation as one consumer saw it. */
export interface Seen {
  readonly session: string
  /** When work of that session was refused, in this process. */
  readonly refusedAt: bigint
  /** Milliseconds from the record's append, by the wall clock of the machine. */
  readonly sinceAppendMs: number
}

export interface Reported {
  readonly seen: readonly Seen[]
  /** CPU time since the last report, microseconds. */
  readonly cpuUs: number
  /** Longest its event loop was blocked since the last report, milliseconds. */
  readonly blockedMs: number
  /** Since the start. */
  readonly tailRestarts: number
}

/** To the producer: begin. Answered when connected. */
export interface BeginProducing {
  readonly type: 'begin'
  readonly place: Place
  readonly logId: string
}

/** Write a file of `count` lines of `Expected`. Answered with their sessions. */
export interface Prepare {
  readonly type: 'prepare'
  readonly count: number
  readonly file: string
}

/** Append `count` jobs to a topic, as fast as it goes. Answered when they are there. */
export interface Fill {
  readonly type: 'fill'
  readonly topic: string
  readonly count: number
}

/** Send jobs at this rate until told to stop, 0: then answered with how many were sent since the start. */
export interface Stream {
  readonly type: 'stream'
  readonly perSecond: number
}

export type ProducerOrder = BeginProducing | Prepare | Fill | Stream

/** A line of the file of `Expect`: an envelope that is allowed until its session is revoked. */
export interface Expected {
  readonly session: string
  readonly envelope: string
  readonly key: string
  readonly value: string
}
