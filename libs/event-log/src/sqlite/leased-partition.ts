/** One partition a member holds: fetch, handle, commit, and back off when the handler throws. */
import type { Clock } from '@countersign/kernel'
import { toHeaderRecord } from '../headers.ts'
import { type BatchControl, runBatch } from '../job-batch.ts'
import type { JobHandlers, JobMessage, LogRecord } from '../port.ts'
import type { Lease, PartitionId } from './protocol.ts'
import { Reader } from './reader.ts'
import type { Thread } from './thread.ts'

const BATCH_RECORDS = 500
const FIRST_BACKOFF_MS = 100
const LAST_BACKOFF_MS = 5_000

export interface LeaseContext {
  thread: Thread
  clock: Clock
  group: string
  isRunning(): boolean
  /** False once the member has not been heard of for its timeout: its leases may be others'. */
  isAlive(): boolean
  /** Called when the partition may have become ready. */
  ready(): void
}

export class LeasedPartition {
  readonly id: PartitionId
  readonly token: number
  readonly #lease: Lease
  readonly #context: LeaseContext
  readonly #reader: Reader
  #next: number
  #committed: number
  #news = true
  #busy = false
  #paused = false
  #backingOff = false
  #failures = 0
  #revoked = false
  #lost = false

  constructor(lease: Lease, context: LeaseContext) {
    this.id = lease.id
    this.token = lease.token
    this.#lease = lease
    this.#context = context
    this.#reader = new Reader(context.thread, lease.topic, lease.partition)
    this.#next = lease.next
    this.#committed = lease.next
  }

  get isReady(): boolean {
    return this.#news && !(this.#busy || this.#paused || this.#backingOff || this.#revoked || this.#lost)
  }

  get isBusy(): boolean {
    return this.#busy
  }

  get isRevoked(): boolean {
    return this.#revoked
  }

  get isLost(): boolean {
    return this.#lost
  }

  rouse(): void {
    this.#news = true
  }

  revoke(): void {
    this.#revoked = true
  }

  lose(): void {
    this.#lost = true
  }

  /** Handles one batch, if there is one. Never rejects. */
  async work(handlers: JobHandlers): Promise<void> {
    this.#busy = true
    // Cleared before the read: news that comes while reading must not be lost.
    this.#news = false
    try {
      const { records, start } = await this.#reader.chunk(this.#next, BATCH_RECORDS)
      if (records.length > 0) {
        this.#news = true
        await this.#handle(handlers, records)
      } else if (start > this.#next) {
        // Retention has overtaken this group.
        this.#next = start
        this.#news = true
      }
      this.#failures = 0
    } catch {
      this.#news = true
      this.#backOff()
    } finally {
      await this.#commit()
      this.#busy = false
    }
  }

  async #handle(handlers: JobHandlers, records: readonly LogRecord[]): Promise<void> {
    const { topic, partition } = this.#lease
    const control: BatchControl = {
      resolveOffset: (offset) => {
        this.#next = Math.max(this.#next, Number(offset) + 1)
      },
      heartbeat: async () => {},
      pause: () => {
        this.#paused = true
        return () => {
          this.#paused = false
          this.#context.ready()
        }
      },
      commitOffsetsIfNecessary: () => this.#commit(),
      isRunning: this.#context.isRunning,
      isStale: () => this.#lost || !this.#context.isAlive(),
    }
    await runBatch(handlers, { topic, partition, messages: records.map(toMessage) }, control)
  }

  async #commit(): Promise<void> {
    const next = this.#next
    if (next === this.#committed || this.#lost) return
    const { thread, group } = this.#context
    try {
      const { lost } = await thread.call('commit', { group, offsets: [{ id: this.id, token: this.token, next }] })
      if (lost.length > 0) this.#lost = true
      else this.#committed = next
    } catch {
      // Not committed: the next batch commits it too, or the next holder sees the messages again.
    }
  }

  #backOff(): void {
    this.#backingOff = true
    const ms = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failures++)
    this.#context.clock.after(ms, () => {
      this.#backingOff = false
      this.#context.ready()
    })
  }
}

function toMessage(record: LogRecord): JobMessage {
  return {
    key: record.key as Buffer | null,
    value: record.value as Buffer | null,
    headers: toHeaderRecord(record.headers),
    offset: String(record.offset),
    timestamp: String(record.timestamp),
  }
}
