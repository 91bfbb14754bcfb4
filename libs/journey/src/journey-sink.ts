/**
 * Brings journey events to their topic in the background. Requests never wait for it: events wait in a bounded
 * buffer, the oldest go when it is full, and each that is lost is counted. Delivery is at least once, by event id.
 */
import { type EventLog, EventLogError, type NewRecord } from '@countersign/event-log'
import { type Clock, type Millis, millis, newId, type Random, seconds } from '@countersign/kernel'
import { frame, type JourneyAction, journeyEventCodec } from '@countersign/schemas'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { JourneyEvent, JourneyTaker } from './journey.ts'

/** Physical name of the journey topic. */
export const JOURNEY_TOPIC = 'countersign.journey.v1'

export interface JourneySinkOptions {
  readonly log: Pick<EventLog, 'append' | 'schemas'>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  /** Events kept while the log is away, at least 1; default 10,000. */
  readonly most?: number
  /** How long events gather before they are appended together; default 100 ms. */
  readonly lingerMs?: Millis
  /** How long closing waits for what is left; default 2 s. */
  readonly closeMs?: Millis
}

interface Taken {
  readonly at: number
  readonly action: JourneyAction
  readonly event: Required<JourneyEvent>
}

// Encoding them holds up whatever else this process does, a millisecond or two.
const BATCH = 250
const FIRST_RETRY = millis(100)
const LAST_RETRY = seconds(5)

export class JourneySink implements JourneyTaker {
  readonly #options: JourneySinkOptions
  readonly #schemaId: number
  readonly #waiting = new Set<Taken>()
  /** Taken out of the buffer and not yet known to be on the log. */
  #sending: readonly NewRecord[] = []
  readonly #closing = new AbortController()
  #closed = false
  #wake: () => void = () => {}
  #loop: Promise<void> | null = null

  /** @throws {EVENT_LOG_SCHEMA_UNKNOWN} when the log does not know the record. */
  constructor(options: JourneySinkOptions) {
    this.#options = options
    this.#schemaId = options.log.schemas.idOf(journeyEventCodec.name)
    options.metrics.gaugeFrom('countersign_journey_pending', {}, () => this.pending)
    // An alarm sees the first only as a rise from nought.
    for (const reason of ['overflow', 'unfit', 'closed'] as const) this.#drop(reason, 0)
  }

  /** Events not yet known to be on the log. */
  get pending(): number {
    return this.#waiting.size + this.#sending.length
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  take(action: JourneyAction, event: Required<JourneyEvent>): void {
    if (this.#closed) {
      this.#drop('closed')
      return
    }
    if (this.#waiting.size >= (this.#options.most ?? 10_000)) {
      const [oldest] = this.#waiting
      if (oldest) this.#waiting.delete(oldest)
      this.#drop('overflow')
    }
    this.#waiting.add({ at: this.#options.clock.now(), action, event })
    this.#wake()
  }

  /** Appends what is left, for as long as it may take. What is still left then is counted as dropped. */
  async close(): Promise<void> {
    const { clock, logger, closeMs = seconds(2) } = this.#options
    this.#closing.abort()
    this.#wake()
    let cancel: () => void = () => {}
    const late = new Promise<void>((resolve) => {
      cancel = clock.after(closeMs, resolve)
    })
    await Promise.race([this.#loop, late])
    cancel()
    this.#closed = true
    const left = this.pending
    this.#waiting.clear()
    this.#sending = []
    if (left === 0) return
    this.#drop('closed', left)
    logger.warn({ left }, 'journey events were left when closing')
  }

  // Not when it happens: whoever waits for an answer does not wait for this.
  #recordOf({ at, action, event }: Taken): NewRecord | null {
    const { audience, scopes, ...given } = event
    const {
      latencyMs: latency_ms,
      requestId: request_id,
      traceId: trace_id,
      correlationId: correlation_id,
      ...same
    } = given
    const id = newId(this.#options.random)
    try {
      const body = journeyEventCodec.encode({
        id,
        at,
        action,
        audience,
        scopes,
        latency_ms,
        request_id,
        trace_id,
        correlation_id,
        ...same,
      })
      const key = event.sub === null ? null : Buffer.from(event.sub)
      return { key, value: frame(this.#schemaId, body), headers: [] }
    } catch {
      return null
    }
  }

  async #run(): Promise<void> {
    const { clock, lingerMs = millis(100) } = this.#options
    const { signal } = this.#closing
    let retry = FIRST_RETRY
    let failing = false
    while (!this.#closed) {
      if (this.pending === 0) {
        if (signal.aborted) return
        await this.#woken()
        await clock.sleep(lingerMs, signal)
        continue
      }
      try {
        await this.#append()
        if (failing) this.#options.logger.info({}, 'journey events reach their topic again')
        failing = false
        retry = FIRST_RETRY
      } catch (error) {
        if (!failing) this.#options.logger.warn({ error }, 'journey events wait for their topic')
        failing = true
        await (signal.aborted ? clock.sleep(FIRST_RETRY) : clock.sleep(retry, signal))
        retry = Math.min(LAST_RETRY, retry * 2)
      }
    }
  }

  async #append(): Promise<void> {
    if (this.#sending.length === 0) this.#sending = this.#next()
    if (this.#sending.length === 0) return
    try {
      await this.#options.log.append(JOURNEY_TOPIC, this.#sending)
    } catch (error) {
      // Would be refused for ever, and with it everything behind it.
      if (!(error instanceof EventLogError) || error.code !== 'EVENT_LOG_RECORD_TOO_LARGE') throw error
      this.#drop('unfit', this.#sending.length)
    }
    this.#sending = []
  }

  #next(): readonly NewRecord[] {
    const records: NewRecord[] = []
    for (const taken of this.#waiting) {
      if (records.length === BATCH) break
      this.#waiting.delete(taken)
      const record = this.#recordOf(taken)
      if (record === null) this.#drop('unfit')
      else records.push(record)
    }
    return records
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #drop(reason: 'overflow' | 'unfit' | 'closed', count = 1): void {
    this.#options.metrics.counter('countersign_journey_dropped_total', { reason }).add(count)
  }
}
