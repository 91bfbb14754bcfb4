/** A group member on the SQLite log: keeps its membership, and works on the partitions it holds. */
import { randomUUID } from 'node:crypto'
import type { Clock } from '@countersign/kernel'
import type { JobConsumer, JobHandlers } from '../port.ts'
import { LeasedPartition } from './leased-partition.ts'
import type { PartitionId } from './protocol.ts'
import type { Thread, Watcher } from './thread.ts'

const DEFAULT_TIMEOUT_MS = 10_000

export class SqliteJobs implements JobConsumer, Watcher {
  readonly #thread: Thread
  readonly #clock: Clock
  readonly #group: string
  readonly #topics: readonly string[]
  readonly #timeoutMs: number
  readonly #member = randomUUID()
  readonly #held = new Map<PartitionId, LeasedPartition>()
  #handlers: JobHandlers = {}
  #running = false
  #active = 0
  #heardAt = 0
  #syncing: Promise<void> | null = null
  #syncAgain = false
  #cancelSync: () => void = () => {}
  #idle: (() => void) | null = null

  constructor(
    thread: Thread,
    clock: Clock,
    options: { group: string; topics: readonly string[]; sessionTimeoutMs?: number },
  ) {
    this.#thread = thread
    this.#clock = clock
    this.#group = options.group
    this.#topics = options.topics
    this.#timeoutMs = options.sessionTimeoutMs ?? DEFAULT_TIMEOUT_MS
  }

  async run(handlers: JobHandlers): Promise<void> {
    if (this.#running) throw new TypeError('this consumer runs already')
    if (!handlers.eachMessage === !handlers.eachBatch)
      throw new TypeError('give exactly one of eachMessage and eachBatch')
    this.#handlers = handlers
    this.#running = true
    this.#thread.watch(this)
    try {
      await this.#settle()
    } catch (error) {
      this.#running = false
      this.#thread.unwatch(this)
      throw error
    }
    this.#syncLater()
  }

  async stop(): Promise<void> {
    if (!this.#running) return
    this.#running = false
    this.#thread.unwatch(this)
    if (this.#active > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    this.#cancelSync()
    await this.#syncing?.catch(() => {})
    await this.#thread.call('leave', { group: this.#group, member: this.#member }).catch(() => {})
    this.#held.clear()
  }

  partitionsChanged(ids: readonly PartitionId[]): void {
    for (const id of ids) this.#held.get(id)?.rouse()
    this.#pump()
  }

  groupsChanged(names: readonly string[]): void {
    if (names.includes(this.#group)) this.#sync()
  }

  /** Renews in a third of the timeout, so that two may fail. Goes on while draining, to keep the leases. */
  #syncLater(): void {
    this.#cancelSync = this.#clock.after(this.#timeoutMs / 3, () => {
      this.#sync()
      this.#syncLater()
    })
  }

  #sync(): void {
    if (this.#syncing) {
      this.#syncAgain = true
      return
    }
    this.#syncing = this.#settle()
      .catch(() => {})
      .finally(() => {
        this.#syncing = null
        if (!this.#syncAgain) return
        this.#syncAgain = false
        if (this.#running) this.#sync()
      })
  }

  async #settle(): Promise<void> {
    const askedAt = this.#clock.monotonic()
    const { granted, lost, revoked } = await this.#thread.call('sync', {
      group: this.#group,
      member: this.#member,
      topics: this.#topics,
      timeoutMs: this.#timeoutMs,
      held: [...this.#held.values()].map(({ id, token }) => ({ id, token })),
    })
    this.#heardAt = askedAt
    for (const id of lost) this.#drop(id)
    for (const id of revoked) this.#held.get(id)?.revoke()
    for (const lease of granted) {
      this.#held.set(
        lease.id,
        new LeasedPartition(lease, {
          thread: this.#thread,
          clock: this.#clock,
          group: this.#group,
          isRunning: () => this.#running,
          isAlive: () => this.#clock.monotonic() - this.#heardAt < this.#timeoutMs,
          ready: () => this.#pump(),
        }),
      )
    }
    await this.#releaseRevoked()
    this.#pump()
  }

  #drop(id: PartitionId): void {
    this.#held.get(id)?.lose()
    this.#held.delete(id)
  }

  async #releaseRevoked(): Promise<void> {
    const free = [...this.#held.values()].filter((p) => p.isRevoked && !p.isBusy)
    if (free.length === 0) return
    for (const { id } of free) this.#drop(id)
    await this.#thread.call('release', { group: this.#group, held: free.map(({ id, token }) => ({ id, token })) })
  }

  /** Starts work on partitions that have some, oldest served first, within the allowed concurrency. */
  #pump(): void {
    const allowed = Math.max(1, this.#handlers.partitionsConsumedConcurrently ?? 1)
    for (const partition of [...this.#held.values()]) {
      if (!this.#running || this.#active >= allowed) return
      if (!partition.isReady) continue
      this.#held.delete(partition.id)
      this.#held.set(partition.id, partition)
      this.#active++
      void this.#work(partition)
    }
  }

  async #work(partition: LeasedPartition): Promise<void> {
    await partition.work(this.#handlers)
    this.#active--
    if (partition.isLost) this.#drop(partition.id)
    if (this.#active === 0) this.#idle?.()
    if (partition.isRevoked) this.#sync()
    this.#pump()
  }
}
