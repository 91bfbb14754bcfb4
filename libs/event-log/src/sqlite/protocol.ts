/** What the owner thread asks of the worker thread, and what it is told. */
import type { Bounds, TopicSpec, TopicState } from '../port.ts'

/** What the thread is started with. */
export interface WorkerInput {
  path: string
  busyTimeoutMs: number
}

/** Stands for one partition across the worker's tables; from 1, never reused. */
export type PartitionId = number

export interface Held {
  id: PartitionId
  /** Fencing token: rises with every change of hands; only its holder commits. */
  token: number
}

export interface Lease extends Held {
  topic: string
  partition: number
  /** First offset not yet committed. */
  next: number
}

/** Requests by name: what goes in, what comes back. */
export interface Operations {
  append: { in: { topic: string; records: Uint8Array; timestamp: number | null }; out: Placed }
  read: { in: { topic: string; partition: number; from: number; maxRecords: number; maxBytes: number }; out: Chunk }
  bounds: { in: { topic: string; partition: number }; out: Bounds & { id: PartitionId } }
  topics: { in: null; out: TopicState[] }
  createTopics: { in: { specs: readonly TopicSpec[] }; out: string[] }
  trim: { in: { now: number | null }; out: number }
  /** Renews membership and settles which partitions are whose. */
  sync: {
    in: { group: string; member: string; topics: readonly string[]; timeoutMs: number; held: Held[] }
    out: Settled
  }
  commit: { in: { group: string; offsets: (Held & { next: number })[] }; out: { lost: PartitionId[] } }
  release: { in: { group: string; held: Held[] }; out: null }
  leave: { in: { group: string; member: string }; out: null }
  /** Starts or stops telling of changes. */
  watch: { in: { on: boolean }; out: null }
  close: { in: null; out: null }
}

/** Offsets in order of the records appended; one timestamp for all. */
export interface Placed {
  partitions: number[]
  offsets: number[]
  timestamp: number
}

export interface Chunk extends Bounds {
  id: PartitionId
  records: Uint8Array
}

export interface Settled {
  granted: Lease[]
  /** Held no longer: somebody else may be at it. */
  lost: PartitionId[]
  /** To be released once what runs is done. */
  revoked: PartitionId[]
}

export type OperationName = keyof Operations

export type Request = { [N in OperationName]: { id: number; name: N; input: Operations[N]['in'] } }[OperationName]

/** `unavailable` before anything was written, `unknown` when a commit had no clear end. */
export type FaultKind = 'topic_unknown' | 'unavailable' | 'unknown'

export type Reply = { id: number; result: unknown } | { id: number; fault: FaultKind; message: string }

/** Partitions that grew or were cut, and groups whose members changed. */
export interface Changed {
  changed: { partitions: PartitionId[]; groups: string[] }
}
