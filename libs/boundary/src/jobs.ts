/**
 * Seals jobs and appends them. Sends that meet, in one tick or while an append is under way, form one
 * batch per destination: one Merkle tree, one signature, one append. Order per topic is the order of sends.
 */
import { bindEvent, type SigningKey, seal } from '@countersign/envelope'
import { type Appended, type EventLog, EventLogError, maxRecordBytes, type NewRecord } from '@countersign/event-log'
import { type Clock, newId, type Random } from '@countersign/kernel'
import {
  type Catalogue,
  CORRELATION_HEADER,
  ENVELOPE_HEADER,
  type EnvelopeClaims,
  frame,
  type JobTopicNames,
  TRACEPARENT_HEADER,
} from '@countersign/schemas'
import { formatTraceparent, type Metrics } from '@countersign/telemetry'
import type { Authority, Judged, Presented } from './authority.ts'
import { BoundaryError, type BoundaryErrorCode, type Denial, denied } from './denial.ts'
import { type BoundaryIdentity, normalScopes } from './identity.ts'

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
}

/** Where a job stands. */
export interface Sent extends Appended {
  readonly eventId: Buffer
}

export interface Jobs {
  /**
   * Seals one job and appends it; resolves when durable.
   * @throws {BOUNDARY_JOB_DENIED} the identity is refused now; `denial` says why.
   * @throws {BOUNDARY_JOB_INVALID} the value does not fit the topic's schema, or the event id is not 16 bytes.
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
}

export interface JobsOptions {
  readonly log: EventLog
  readonly catalogue: Catalogue
  readonly key: SigningKey
  readonly workload: string
  readonly clock: Clock
  readonly random: Random
  readonly authority: Authority
  readonly presentedOf: (identity: BoundaryIdentity) => Presented | undefined
  readonly maxEnvelopeLifeMs: number
  readonly maxQueued: number
  readonly metrics: Metrics | undefined
}

interface Pending {
  readonly job: Job
  readonly presented: Presented
  readonly names: JobTopicNames
  readonly key: Buffer | null
  readonly value: Buffer
  readonly eventId: Buffer
  readonly scope: readonly string[] | null
  resolve(sent: Sent): void
  reject(error: unknown): void
}

const MAX_BATCH = 1024
// Room in a record for an envelope of 16 KiB and the other headers.
const MAX_EVENT_BYTES = maxRecordBytes - 20_000
const RETRIABLE: readonly string[] = ['view_not_fresh', 'key_not_in_force', 'sessions_unavailable']

export function createJobs(options: JobsOptions): Jobs {
  const outlets = new Map<string, Outlet>()
  const prepare = (job: Job): { outlet: Outlet; pending: Omit<Pending, 'resolve' | 'reject'> } => {
    const pending = prepareJob(job, options)
    const { name } = pending.names
    const outlet = outlets.get(name) ?? new Outlet(options, name)
    outlets.set(name, outlet)
    return { outlet, pending }
  }
  return {
    async send(job) {
      const { outlet, pending } = prepare(job)
      outlet.requireRoom(1)
      return outlet.add(pending)
    },
    async sendMany(jobs) {
      const prepared = jobs.map(prepare)
      for (const [outlet, group] of Map.groupBy(prepared, (p) => p.outlet)) outlet.requireRoom(group.length)
      return Promise.all(prepared.map(({ outlet, pending }) => outlet.add(pending)))
    },
  }
}

/** One destination: a queue, and at most one append under way. */
class Outlet {
  readonly #options: JobsOptions
  readonly #topic: string
  #queue: Pending[] = []
  #running = false

  constructor(options: JobsOptions, topic: string) {
    this.#options = options
    this.#topic = topic
  }

  requireRoom(count: number): void {
    if (this.#queue.length + count > this.#options.maxQueued) {
      throw failure('BOUNDARY_QUEUE_FULL', true, 'more jobs are sent than the log takes')
    }
  }

  add(pending: Omit<Pending, 'resolve' | 'reject'>): Promise<Sent> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...pending, resolve, reject })
      if (this.#running) return
      this.#running = true
      // Not at once: sends of this tick are to meet.
      queueMicrotask(() => void this.#drain())
    })
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, MAX_BATCH)
      this.#queue = this.#queue.slice(MAX_BATCH)
      try {
        await this.#sendBatch(batch)
      } catch (error) {
        for (const pending of batch) pending.reject(error)
      }
    }
    this.#running = false
  }

  async #sendBatch(batch: readonly Pending[]): Promise<void> {
    const { log, metrics, key } = this.#options
    const good: { pending: Pending; claims: EnvelopeClaims }[] = []
    for (const pending of batch) {
      const claims = claimsOf(pending, this.#options)
      if (claims.ok) good.push({ pending, claims: claims.claims })
      else this.#deny(pending, claims)
    }
    const sealed = sealEach(good, key)
    const records = sealed.map(({ pending, header }) => recordOf(pending, header))
    if (records.length === 0) return
    metrics?.observe('countersign_seal_batch_size', {}, records.length)
    let appended: readonly Appended[]
    try {
      appended = await log.append(this.#topic, records)
    } catch (error) {
      throw appendFailed(error)
    }
    metrics?.counter('countersign_jobs_sent_total', { topic: this.#topic }).add(records.length)
    sealed.forEach(({ pending }, i) => {
      const at = appended[i]
      if (at) pending.resolve({ ...at, eventId: pending.eventId })
      else
        pending.reject(failure('BOUNDARY_APPEND_FAILED', true, 'the log did not say where the job stands', 'unknown'))
    })
  }

  #deny(pending: Pending, denial: Denial): void {
    this.#options.metrics?.counter('countersign_jobs_unsent_total', { topic: this.#topic, code: denial.code }).add()
    const publicMessage = 'the identity is refused now, so the job was not sent'
    const parts = { code: 'BOUNDARY_JOB_DENIED', retriable: RETRIABLE.includes(denial.code), publicMessage } as const
    pending.reject(new BoundaryError({ ...parts, denial: denial.code, detail: { denial: denial.code } }))
  }
}

/** Everything that can be wrong with a job itself, before it is queued; the value is encoded here, so later changes to it do nothing. */
function prepareJob(job: Job, options: JobsOptions): Omit<Pending, 'resolve' | 'reject'> {
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
  if (value.length + (key?.length ?? 0) > MAX_EVENT_BYTES) {
    throw failure('BOUNDARY_JOB_OVERSIZE', false, `key and value have at most ${MAX_EVENT_BYTES} bytes together`)
  }
  return { job, presented, names, key, value, eventId, scope }
}

function claimsOf(pending: Pending, options: JobsOptions): { ok: true; claims: EnvelopeClaims } | Denial {
  const { authority, clock, workload, maxEnvelopeLifeMs } = options
  const { job, names, key, value, eventId, presented } = pending
  const { identity } = job
  const judged = authority.judge(presented)
  if (!judged.ok) return judged
  if (!authority.keyGranted(identity.tenant, job.topic)) return denied('key_not_granted')
  const scope = pending.scope ?? judged.scopes
  if (scope.some((one) => !judged.scopes.includes(one))) return denied('scope_removed')
  const now = clock.now()
  const life = Math.max(1, Math.min(job.expiresInMs ?? maxEnvelopeLifeMs, maxEnvelopeLifeMs))
  return {
    ok: true,
    claims: {
      txn: identity.txn,
      sub: identity.sub,
      aud: names.audience,
      scope,
      req_wl: workload,
      iat: now,
      exp: Math.min(now + life, identity.expiresAt ?? Number.POSITIVE_INFINITY),
      tctx: transactionContext(identity, judged),
      rctx: {
        request_id: identity.requestId,
        auth_time: identity.authTime,
        acr: identity.acr,
        amr: identity.amr,
        ip: identity.ip,
        user_agent: identity.userAgent,
        posture: null,
        risk: null,
      },
      event: bindEvent({ topic: job.topic, key, id: eventId, value }),
      depth: 0,
      parent: null,
    },
  }
}

function transactionContext(identity: BoundaryIdentity, judged: Judged): EnvelopeClaims['tctx'] {
  const { tenant, principal, act, credential, session, client, device, scopeVersion } = identity
  const { targets, position } = judged
  return { tenant, principal, act, credential, session, client, device, targets, scope_version: scopeVersion, position }
}

/** Seals together; when that fails because of one, seals each alone, so that only that one fails. */
function sealEach(
  good: readonly { pending: Pending; claims: EnvelopeClaims }[],
  key: SigningKey,
): { pending: Pending; header: Buffer }[] {
  try {
    const headers = seal(
      good.map(({ claims }) => claims),
      key,
    )
    return good.map(({ pending }, i) => ({ pending, header: headers[i] as Buffer }))
  } catch (error) {
    const [only] = good
    if (only && good.length === 1) {
      only.pending.reject(sealFailed(error))
      return []
    }
    return good.flatMap((one) => sealEach([one], key))
  }
}

function recordOf({ job, key, value }: Pending, header: Buffer): NewRecord {
  return {
    key,
    value,
    headers: [
      [ENVELOPE_HEADER, header],
      [TRACEPARENT_HEADER, Buffer.from(formatTraceparent(job.identity.trace))],
      [CORRELATION_HEADER, Buffer.from(job.identity.correlationId)],
    ],
  }
}

function sealFailed(error: unknown): BoundaryError {
  const oversize = error instanceof Error && 'code' in error && error.code === 'ENVELOPE_SEAL_OVERSIZE'
  return oversize
    ? failure('BOUNDARY_JOB_OVERSIZE', false, 'the envelope exceeds 16 KiB')
    : failure('BOUNDARY_JOB_INVALID', false, 'the identity does not make a well-formed envelope')
}

function appendFailed(cause: unknown): BoundaryError {
  const known = cause instanceof EventLogError
  return new BoundaryError({
    code: 'BOUNDARY_APPEND_FAILED',
    retriable: known ? cause.retriable : true,
    publicMessage: 'the job could not be appended',
    outcome: known ? cause.outcome : 'unknown',
    cause,
  })
}

function failure(
  code: BoundaryErrorCode,
  retriable: boolean,
  publicMessage: string,
  outcome: 'none' | 'unknown' = 'none',
): BoundaryError {
  return new BoundaryError({ code, retriable, publicMessage, outcome })
}
