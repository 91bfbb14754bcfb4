/**
 * The log of a simulated run: topics in memory, reached over a network that delays, loses answers
 * and is cut, and that can itself drop, cut, forge, replay or recreate what it holds.
 */
import type { Appended, Bounds, LogRecord, NewRecord, TopicSpec, TopicState } from '@countersign/event-log'
import { EPOCH } from './process.ts'
import type { Scheduler } from './scheduler.ts'

/** One partition. Offsets survive trimming, not recreation. */
export interface Partition {
  start: number
  records: LogRecord[]
}

interface Topic {
  readonly spec: TopicSpec
  partitions: Partition[]
}

export class Broker {
  readonly scheduler: Scheduler
  readonly topics = new Map<string, Topic>()
  /** Committed offsets by `group topic partition`. */
  readonly committed = new Map<string, number>()
  readonly #watchers = new Set<() => void>()
  /** While true no request is answered. */
  down = false
  /** Called after each append, for the run's own account of what was durable. */
  onAppend: (record: LogRecord) => void = () => {}
  /** Called when the record at an offset of the signals log vanishes in place. */
  onDrop: (offset: number) => void = () => {}

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler
  }

  /** One way over the network: mostly quick, now and then slow. */
  latency(): number {
    const { random } = this.scheduler
    const slow = random.below(200) === 0
    return slow ? 20 + random.below(300) : 0.2 + random.unit() * 3
  }

  watch(fn: () => void): () => void {
    this.#watchers.add(fn)
    return () => this.#watchers.delete(fn)
  }

  poke(): void {
    for (const fn of this.#watchers) fn()
  }

  partition(topic: string, partition: number): Partition | undefined {
    return this.topics.get(topic)?.partitions[partition]
  }

  bounds(topic: string, partition: number): Bounds | undefined {
    const p = this.partition(topic, partition)
    return p && { start: p.start, end: p.start + p.records.length }
  }

  create(specs: readonly TopicSpec[]): string[] {
    const created = specs.filter((spec) => !this.topics.has(spec.name))
    for (const spec of created) {
      this.topics.set(spec.name, {
        spec,
        partitions: Array.from({ length: spec.partitions }, () => ({ start: 0, records: [] })),
      })
    }
    return created.map((spec) => spec.name).sort()
  }

  states(): TopicState[] {
    return [...this.topics.values()].map(({ spec }) => ({
      ...spec,
      cleanupPolicy: 'delete',
      timestampType: 'LogAppendTime',
    }))
  }

  /** Appends at once, at broker time. */
  append(topic: string, records: readonly NewRecord[]): Appended[] {
    const t = this.topics.get(topic)
    if (!t) throw new Error(`no topic ${topic}`)
    const timestamp = Math.floor(EPOCH + this.scheduler.now)
    const appended = records.map((r) => {
      const partition = r.partition ?? place(r.key, t.partitions.length)
      const p = t.partitions[partition] as Partition
      const record: LogRecord = {
        topic,
        partition,
        offset: p.start + p.records.length,
        timestamp,
        key: r.key,
        value: r.value,
        headers: r.headers,
      }
      p.records.push(record)
      this.onAppend(record)
      return { partition, offset: record.offset, timestamp }
    })
    this.poke()
    return appended
  }

  /** Fault: the last `n` records of a partition vanish. */
  cut(topic: string, n: number): void {
    const p = this.partition(topic, 0)
    if (p) p.records.splice(Math.max(0, p.records.length - n), n)
    this.poke()
  }

  /** Fault: the record at `offset` vanishes and the log closes over it, keeping offsets. */
  drop(topic: string, offset: number): void {
    const p = this.partition(topic, 0)
    if (!p) return
    const i = offset - p.start
    const gone = p.records[i]
    // An unreadable record in its place: readers see a gap they cannot tell from a lost record.
    if (!gone) return
    p.records[i] = { ...gone, value: null, headers: [] }
    this.onDrop(offset)
  }

  /** Fault: the topic is deleted and created anew, empty. */
  recreate(topic: string): void {
    const t = this.topics.get(topic)
    if (t) t.partitions = t.partitions.map(() => ({ start: 0, records: [] }))
    this.poke()
  }

  /** Retention: records before `offset` are gone for good. */
  trim(topic: string, offset: number): void {
    const p = this.partition(topic, 0)
    if (!p || offset <= p.start) return
    p.records.splice(0, offset - p.start)
    p.start = offset
  }
}

function place(key: Uint8Array | null, partitions: number): number {
  if (!key) return 0
  let hash = 0
  for (const byte of key) hash = (hash * 31 + byte) >>> 0
  return hash % partitions
}
