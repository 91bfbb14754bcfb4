/**
 * The way out to one topic. Jobs that meet, in one tick, while an append is under way, or within `gatherMs` of the
 * batch before, form one batch: one Merkle tree, one signature, one append. Order is the order in which they came.
 * Invariant: batches begin at least `gatherMs` apart, so that what consumers pay for signatures is bounded whatever
 * the rate, and a job that comes alone goes out at once.
 */
import { packEvidence, type SigningKey, seal } from '@countersign/envelope'
import { type Appended, type EventLog, EventLogError, type NewRecord } from '@countersign/event-log'
import { CORRELATION_HEADER, ENVELOPE_HEADER, type EnvelopeClaims, RELIES_ON_HEADER } from '@countersign/schemas'
import { activeTrace, type Metrics, type Span, sendSpan, type TraceContext, traceHeaders } from '@countersign/telemetry'
import { type ClaimsOptions, claimsOf, type PreparedJob } from './claims.ts'
import { BoundaryError, type Denial, failure } from './denial.ts'

/** What every job that went out has. */
export interface Outgoing {
  readonly eventId: Buffer
  /**
   * The envelope sealed, and what it relies on, for a later step to rely on: keep it with the record of the workflow. It
   * opens nothing by itself, but says who asked: treat it as the payload.
   */
  readonly evidence: () => Buffer
}

/** Where a job stands. */
export interface Sent extends Appended, Outgoing {}

export interface OutletOptions extends ClaimsOptions {
  readonly log: EventLog
  readonly key: SigningKey
  readonly maxQueued: number
  readonly gatherMs: number
  readonly metrics: Metrics | undefined
}

interface Waiting extends PreparedJob {
  /** What the consumer's work has for a parent. */
  readonly trace: TraceContext
  reject(error: unknown): void
}

interface Pending<Place> extends Waiting {
  resolve(sent: Place & Outgoing): void
}

const MAX_BATCH = 1024
const RETRIABLE: readonly string[] = ['view_not_fresh', 'key_not_in_force', 'sessions_unavailable']

/** One destination: a queue, and at most one append under way. */
export class Outlet<Place extends object> {
  readonly #options: OutletOptions
  readonly #topic: string
  readonly #append: (records: readonly NewRecord[]) => Promise<readonly Place[]>
  #queue: Pending<Place>[] = []
  #running = false
  #begun = Number.NEGATIVE_INFINITY

  /** @param append takes what is sealed. @returns in it where each stands, in order. */
  constructor(
    options: OutletOptions,
    topic: string,
    append: (records: readonly NewRecord[]) => Promise<readonly Place[]>,
  ) {
    this.#options = options
    this.#topic = topic
    this.#append = append
  }

  requireRoom(count: number): void {
    if (this.#queue.length + count > this.#options.maxQueued) {
      throw failure('BOUNDARY_QUEUE_FULL', true, 'more jobs are sent than the log takes')
    }
  }

  add(job: PreparedJob): Promise<Place & Outgoing> {
    // Asked here, where the request is: what is sent is sent for many.
    const around = activeTrace() ?? job.identity.trace
    const { tenant, txn, correlationId } = job.identity
    const span = sendSpan({ topic: this.#topic, eventId: job.eventId, tenant, txn, correlationId }, around)
    const sent = this.#queued({ ...job, trace: span?.trace ?? around })
    return span === null ? sent : ended(span, sent)
  }

  #queued(pending: Omit<Pending<Place>, 'resolve' | 'reject'>): Promise<Place & Outgoing> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...pending, resolve, reject })
      if (this.#running) return
      this.#running = true
      // Not at once: sends of this tick are to meet.
      queueMicrotask(() => void this.#drain())
    })
  }

  async #drain(): Promise<void> {
    const { clock, gatherMs } = this.#options
    while (this.#queue.length > 0) {
      const left = this.#begun + gatherMs - clock.monotonic()
      if (left > 0 && this.#queue.length < MAX_BATCH) await clock.sleep(left)
      this.#begun = clock.monotonic()
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

  async #sendBatch(batch: readonly Pending<Place>[]): Promise<void> {
    const { metrics, key } = this.#options
    const good: { pending: Pending<Place>; claims: EnvelopeClaims }[] = []
    for (const pending of batch) {
      const claims = claimsOf(pending, this.#options)
      if (claims.ok) good.push({ pending, claims: claims.claims })
      else this.#deny(pending, claims)
    }
    const sealed = sealEach(good, key)
    const records = sealed.map(({ pending, header }) => recordOf(pending, header))
    if (records.length === 0) return
    metrics?.observe('countersign_seal_batch_size', {}, records.length)
    let appended: readonly Place[]
    try {
      appended = await this.#append(records)
    } catch (error) {
      throw appendFailed(error)
    }
    metrics?.counter('countersign_jobs_sent_total', { topic: this.#topic }).add(records.length)
    sealed.forEach(({ pending, header }, i) => {
      const at = appended[i]
      const evidence = (): Buffer => packEvidence([header, ...pending.relied])
      if (at) pending.resolve({ ...at, eventId: pending.eventId, evidence })
      else
        pending.reject(failure('BOUNDARY_APPEND_FAILED', true, 'the log did not say where the job stands', 'unknown'))
    })
  }

  #deny(pending: Waiting, denial: Denial): void {
    this.#options.metrics?.counter('countersign_jobs_unsent_total', { topic: this.#topic, code: denial.code }).add()
    const publicMessage = 'the identity is refused now, so the job was not sent'
    const parts = { code: 'BOUNDARY_JOB_DENIED', retriable: RETRIABLE.includes(denial.code), publicMessage } as const
    pending.reject(new BoundaryError({ ...parts, denial: denial.code, detail: { denial: denial.code } }))
  }
}

/** Seals together; when that fails because of one, seals each alone, so that only that one fails. */
function sealEach<Job extends Waiting>(
  good: readonly { pending: Job; claims: EnvelopeClaims }[],
  key: SigningKey,
): { pending: Job; header: Buffer }[] {
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

function ended<Place>(span: Span, sent: Promise<Place & Partial<Appended>>): Promise<Place> {
  sent.then(
    ({ partition, offset }) => {
      if (partition !== undefined && offset !== undefined)
        span.set({ 'messaging.destination.partition.id': String(partition), 'messaging.kafka.offset': offset })
      span.end()
    },
    (error: unknown) => span.end(error instanceof BoundaryError ? (error.denial ?? error.code) : 'unknown'),
  )
  return sent
}

function recordOf({ identity, key, value, relied, trace }: Waiting, header: Buffer): NewRecord {
  const evidence = relied.length === 0 ? [] : [[RELIES_ON_HEADER, packEvidence(relied)] as const]
  return {
    key,
    value,
    headers: [
      [ENVELOPE_HEADER, header],
      ...evidence,
      ...traceHeaders(trace).map(([name, text]) => [name, Buffer.from(text)] as const),
      [CORRELATION_HEADER, Buffer.from(identity.correlationId)],
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
