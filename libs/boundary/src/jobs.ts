/** Sends jobs for identities this boundary made. */
import { EnvelopeError, joinEvidence } from '@countersign/envelope'
import { type Appended, type CarriedJob, EventLogError, maxRecordBytes, type NewRecord } from '@countersign/event-log'
import { newId, type Random } from '@countersign/kernel'
import { type Catalogue, frame } from '@countersign/schemas'
import type { PreparedJob } from './claims.ts'
import { failure } from './denial.ts'
import { type BoundaryIdentity, normalScopes } from './identity.ts'
import { type Outgoing, Outlet, type OutletOptions, type Sent } from './outlet.ts'
import type { Presented } from './presented.ts'

/** A job to send. */
export interface Job {
  /** Logical topic. */
  readonly topic: string
  /** Jobs of one key stay in order. Default none. */
  readonly key?: string | Uint8Array | null
  /** As the topic's payload schema says. */
  readonly value: unknown
  /** From this boundary's hook, webhook or schedule. */
  readonly identity: BoundaryIdentity
  /** What the job may do; default everything the identity may. */
  readonly scope?: readonly string[]
  /** Shorter than the longest envelope life, milliseconds. */
  readonly expiresInMs?: number
  /** 16 bytes; default fresh. Give the same again to repeat a send whose outcome is unknown. */
  readonly eventId?: Uint8Array
  /**
   * Evidence of earlier steps this one depends on, as their sends or handlers gave it: at most eight envelopes. Consumers
   * judge each again. The job goes on with the transaction of those steps, and ends with it. Default none.
   */
  readonly reliesOn?: readonly Uint8Array[]
}

export interface Jobs {
  /**
   * Seals one job and appends it; resolves when durable.
   * @throws {BOUNDARY_JOB_DENIED} the identity is refused now; `denial` says why.
   * @throws {BOUNDARY_JOB_INVALID} the value does not fit the topic's schema, the event id is not 16 bytes, or what it relies
   * on is no evidence or too much.
   * @throws {BOUNDARY_JOB_OVERSIZE} the envelope exceeds 16 KiB, or key and value what a record may hold.
   * @throws {BOUNDARY_SCOPE_WIDENED} a scope the identity does not have.
   * @throws {BOUNDARY_IDENTITY_UNKNOWN} an identity this boundary did not make.
   * @throws {BOUNDARY_TOPIC_UNKNOWN} no such job topic in the catalogue.
   * @throws {BOUNDARY_QUEUE_FULL} retriable: the log takes jobs slower than they are sent.
   * @throws {BOUNDARY_APPEND_FAILED} `outcome` says whether the job may appear.
   */
  send(job: Job): Promise<Sent>
  /**
   * Sends many, in order. Nothing is sent unless every job is well-formed; see `send`.
   * @throws the first failure. Jobs of other topics may have been appended: repeat with the same event ids.
   */
  sendMany(jobs: readonly Job[]): Promise<readonly Sent[]>
  /**
   * Seals a job for another queue than the log: what it resolves with goes there whole, and to `enforcer.run` from there.
   * Jobs sealed in one tick share a signature. @throws as `send`, but for the log.
   */
  seal(job: Job): Promise<SealedJob>
}

/** A job that is sealed and goes its own way. For a queue that carries JSON, `jobToJson` of `@countersign/event-log`. */
export interface SealedJob extends CarriedJob, Outgoing {}

export interface JobsOptions extends OutletOptions {
  readonly catalogue: Catalogue
  readonly random: Random
  /** @returns how an identity was presented, undefined for one this boundary did not make. */
  readonly presentedOf: (identity: BoundaryIdentity) => Presented | undefined
}

// Room in a record for an envelope of 16 KiB and the other headers.
const MAX_EVENT_BYTES = maxRecordBytes - 20_000

export function createJobs(options: JobsOptions): Jobs {
  const outlets = new Map<string, Outlet<Appended>>()
  const sealing = new Map<string, Outlet<CarriedJob>>()
  const prepare = (job: Job): { outlet: Outlet<Appended>; prepared: PreparedJob } => {
    const prepared = prepareJob(job, options)
    const { name } = prepared.names
    const outlet = outlets.get(name) ?? new Outlet(options, name, (records) => options.log.append(name, records))
    outlets.set(name, outlet)
    return { outlet, prepared }
  }
  return {
    async send(job) {
      const { outlet, prepared } = prepare(job)
      outlet.requireRoom(1)
      return outlet.add(prepared)
    },
    async sendMany(jobs) {
      const all = jobs.map(prepare)
      for (const [outlet, group] of Map.groupBy(all, (one) => one.outlet)) outlet.requireRoom(group.length)
      return Promise.all(all.map(({ outlet, prepared }) => outlet.add(prepared)))
    },
    async seal(job) {
      const prepared = prepareJob(job, options)
      const { name } = prepared.names
      const outlet = sealing.get(name) ?? new Outlet(options, name, async (records) => records.map(carried(name)))
      sealing.set(name, outlet)
      return outlet.add(prepared)
    },
  }
}

function carried(topic: string): (record: NewRecord) => CarriedJob {
  return ({ key, value, headers }) => ({ topic, key, value, headers: Object.fromEntries(headers) })
}

/** Everything that can be wrong with a job itself, before it is queued; the value is encoded here, so later changes to it do nothing. */
function prepareJob(job: Job, options: JobsOptions): PreparedJob {
  const { catalogue, log, random, presentedOf } = options
  const presented = presentedOf(job.identity)
  if (!presented) throw failure('BOUNDARY_IDENTITY_UNKNOWN', false, 'the identity was not made by this boundary')
  const names = catalogue.jobTopic(job.topic)
  const codec = names && catalogue.payloadCodec(names.schema)
  if (!names || !codec) throw failure('BOUNDARY_TOPIC_UNKNOWN', false, `no job topic ${job.topic} in the catalogue`)
  const scope = job.scope === undefined ? null : normalScopes(job.scope)
  if (scope?.some((one) => !job.identity.scopes.includes(one))) {
    throw failure('BOUNDARY_SCOPE_WIDENED', false, 'a job has no scope its identity does not have')
  }
  const eventId = job.eventId === undefined ? newId(random) : Buffer.from(job.eventId)
  if (eventId.length !== 16) throw failure('BOUNDARY_JOB_INVALID', false, 'an event id has 16 bytes')
  let value: Buffer
  try {
    value = frame(log.schemas.idOf(names.schema), codec.encode(job.value))
  } catch (cause) {
    if (cause instanceof EventLogError) throw cause
    // The codec names the place, never the value.
    const message = cause instanceof Error ? cause.message : 'the value does not fit'
    throw failure('BOUNDARY_JOB_INVALID', false, message)
  }
  const key = job.key === undefined || job.key === null ? null : Buffer.from(job.key as Uint8Array)
  const relied = reliedOf(job)
  const beside = relied.reduce((sum, { length }) => sum + length, 0)
  if (value.length + (key?.length ?? 0) + beside > MAX_EVENT_BYTES) {
    throw failure(
      'BOUNDARY_JOB_OVERSIZE',
      false,
      `key, value and evidence have at most ${MAX_EVENT_BYTES} bytes together`,
    )
  }
  const { topic, identity, expiresInMs } = job
  return { topic, identity, presented, names, key, value, eventId, scope, expiresInMs, relied }
}

const NONE: readonly Buffer[] = Object.freeze([])

function reliedOf({ reliesOn }: Job): readonly Buffer[] {
  if (reliesOn === undefined || reliesOn.length === 0) return NONE
  try {
    // Copied, as the value is: what the caller does with its bytes afterwards changes nothing.
    return joinEvidence(reliesOn.map((evidence) => Buffer.from(evidence)))
  } catch (error) {
    throw error instanceof EnvelopeError ? failure('BOUNDARY_JOB_INVALID', false, error.message) : error
  }
}
