/**
 * Delivers outbox rows to the signals log in sequence order, every time with the bytes they were signed
 * with. A row is acknowledged once the log has said where it stands; until then it is sent again, since a
 * duplicate takes nothing more away and a missing one would.
 */
import { type EventLog, EventLogError } from '@countersign/event-log'
import { type Clock, type Millis, millis, seconds } from '@countersign/kernel'
import { SIGNALS_TOPIC, writeRecord } from '@countersign/replica'
import type { OutboxPort, OutboxRow } from '@countersign/session-store'
import type { Logger } from '@countersign/telemetry'

export interface DeliveryOptions {
  readonly store: OutboxPort
  readonly log: EventLog
  /** Where the signals log stands. @defaultValue `countersign.signals.v1` */
  readonly topic?: string
  readonly clock: Clock
  readonly logger: Logger
  /** True when the bundle in force lets our key sign signals. Before, a signal on the log is none: nobody may believe it. */
  readonly keyInForce: () => boolean
  /** Skew tolerance, as everywhere. */
  readonly epsilonMs: Millis
  /** How often rows of other processes are looked for; default 1 s. */
  readonly pollMs?: Millis
}

/** Where delivery stands, for operators. */
export interface DeliveryStatus {
  /** Rows pending when last looked, at most one batch. */
  readonly pending: number
  /** When the oldest of them was written, epoch ms; null for none. */
  readonly oldestAt: number | null
  /** Code of the last failure, null since the last success. */
  readonly failure: string | null
}

const BATCH = 256
const FIRST_RETRY = millis(50)
const LAST_RETRY = seconds(2)

export class Delivery {
  readonly #options: DeliveryOptions
  readonly #stopping = new AbortController()
  readonly #waiting = new Map<number, Set<() => void>>()
  #wake: () => void = () => {}
  #kicked = false
  #loop: Promise<void> | null = null
  #status: DeliveryStatus = { pending: 0, oldestAt: null, failure: null }

  constructor(options: DeliveryOptions) {
    this.#options = options
  }

  /** Begins; rows left from before are delivered first. */
  start(): void {
    this.#loop ??= this.#run()
  }

  /** Ends after the append under way. Pending rows stay pending. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#wake()
    await this.#loop
  }

  get status(): DeliveryStatus {
    return this.#status
  }

  /** Looks for pending rows now. Call it once a row is committed. */
  kick(): void {
    this.#kicked = true
    this.#wake()
  }

  /**
   * Waits until rows are acknowledged, by whichever process.
   * @param seqs rows committed already.
   * @param deadlineMs longest wait.
   * @returns false when the deadline passed first: the rows are still delivered later.
   */
  async settled(seqs: readonly number[], deadlineMs: Millis): Promise<boolean> {
    const all = Promise.all(seqs.map((seq) => this.#settledOne(seq))).then(() => true)
    this.kick()
    let cancel: () => void = () => {}
    const late = new Promise<boolean>((resolve) => {
      cancel = this.#options.clock.after(deadlineMs, () => resolve(false))
    })
    const settled = await Promise.race([all, late])
    cancel()
    if (!settled) for (const seq of seqs) this.#waiting.delete(seq)
    return settled
  }

  /** @returns those of these rows that are for this log; none when the store cannot be asked: nobody waits for it then. */
  async own(seqs: readonly number[]): Promise<readonly number[]> {
    const first = Math.min(...seqs)
    const last = Math.max(...seqs)
    const kept = await this.#options.store.keptRows(first, last - first + 1).catch(() => [])
    return kept.map(({ seq }) => seq).filter((seq) => seqs.includes(seq))
  }

  #settledOne(seq: number): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#waiting.get(seq) ?? new Set()
      this.#waiting.set(seq, waiters.add(resolve))
    })
  }

  #settle(seq: number): void {
    for (const resolve of this.#waiting.get(seq) ?? []) resolve()
    this.#waiting.delete(seq)
  }

  async #run(): Promise<void> {
    const { clock, logger, pollMs = seconds(1) } = this.#options
    const { signal } = this.#stopping
    let retry = FIRST_RETRY
    while (!signal.aborted) {
      this.#kicked = false
      try {
        const more = await this.#pass()
        retry = FIRST_RETRY
        if (this.#status.failure !== null) logger.info({}, 'delivery to the signals log goes on')
        this.#status = { ...this.#status, failure: null }
        if (!more && !this.#kicked) await this.#rest(pollMs)
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : 'unexpected'
        const outcome = error instanceof EventLogError ? error.outcome : 'none'
        if (this.#status.failure !== code)
          logger.warn({ error, outcome }, 'delivery to the signals log failed; rows stay pending')
        this.#status = { ...this.#status, failure: code }
        await clock.sleep(retry, signal)
        retry = Math.min(LAST_RETRY, retry * 2)
      }
    }
  }

  /** @returns true when there may be more to send at once. */
  async #pass(): Promise<boolean> {
    const { store, log, topic = SIGNALS_TOPIC, keyInForce } = this.#options
    const name = await store.logName()
    if (name === null || !keyInForce()) return false
    const awaited = [...this.#waiting.keys()]
    const rows = await store.pendingRows({ fromSeq: 1, limit: BATCH })
    this.#status = { ...this.#status, pending: rows.length, oldestAt: rows[0]?.createdAt ?? null }
    this.#settleDelivered(awaited, rows)
    const due = await this.#due(rows)
    if (due.length === 0) return false
    const records = due.map((row) => writeRecord('Signal', row.body, row.signature, log.schemas))
    const appended = await log.append(topic, records)
    const acks = due.map(({ seq }, i) => ({
      seq,
      position: { log_id: name.log_id, offset: appended[i]?.offset ?? -1 },
    }))
    await store.acknowledge(acks)
    for (const { seq } of acks) this.#settle(seq)
    this.#status = { ...this.#status, pending: Math.max(0, rows.length - due.length), oldestAt: null }
    return rows.length === BATCH
  }

  // The log takes no floor from its future. After the clock stepped back such rows wait for it to catch up,
  // and those behind them go first.
  async #due(rows: readonly OutboxRow[]): Promise<readonly OutboxRow[]> {
    const { store, clock, epsilonMs } = this.#options
    for (let page = rows; ; ) {
      const due = page.filter((row) => row.floor <= clock.now() + epsilonMs)
      if (due.length > 0 || page.length < BATCH) return due
      page = await store.pendingRows({ fromSeq: (page.at(-1)?.seq ?? 0) + 1, limit: BATCH })
    }
  }

  // Waited for before the rows were read, and not among them: another process has delivered it.
  #settleDelivered(awaited: readonly number[], rows: readonly OutboxRow[]): void {
    const last = rows.length === BATCH ? (rows.at(-1)?.seq ?? 0) : Number.POSITIVE_INFINITY
    const pending = new Set(rows.map((row) => row.seq))
    for (const seq of awaited) if (seq <= last && !pending.has(seq)) this.#settle(seq)
  }

  async #rest(ms: Millis): Promise<void> {
    const awake = new AbortController()
    this.#wake = () => awake.abort()
    if (this.#stopping.signal.aborted || this.#kicked) return
    await this.#options.clock.sleep(ms, awake.signal)
    this.#wake = () => {}
  }
}

/** Delivery to each of several logs. A row is waited for at its own: one that is away holds up no answer of another. */
export class Deliveries implements Pick<Delivery, 'start' | 'stop' | 'kick' | 'settled'> {
  readonly #each: readonly Delivery[]

  constructor(each: readonly Delivery[]) {
    this.#each = each
  }

  start(): void {
    for (const delivery of this.#each) delivery.start()
  }

  async stop(): Promise<void> {
    await Promise.all(this.#each.map((delivery) => delivery.stop()))
  }

  kick(): void {
    for (const delivery of this.#each) delivery.kick()
  }

  async settled(seqs: readonly number[], deadlineMs: Millis): Promise<boolean> {
    if (seqs.length === 0) return true
    this.kick()
    const all = await Promise.all(
      this.#each.map(async (delivery) => {
        const own = await delivery.own(seqs)
        return own.length === 0 || delivery.settled(own, deadlineMs)
      }),
    )
    return all.every(Boolean)
  }
}
