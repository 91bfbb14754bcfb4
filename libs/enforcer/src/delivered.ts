/**
 * How work is handed in, and given back. kafkajs resolves a message whose handler returns, and by default the whole
 * batch; throwing stops every partition of the consumer for a while, and the whole consumer after a few times. Giving
 * back therefore returns, and says where the delivery ended.
 */
import type { EachBatchPayload, EachMessagePayload, JobMessage } from '@countersign/event-log'
import type { Membership } from './pulse.ts'

/** One delivery and what its group offers. */
export interface Source {
  readonly topic: string
  readonly partition: number
  /** In offset order, at least one. */
  readonly messages: readonly JobMessage[]
  readonly membership: Membership
  readonly resolve: (offset: string) => void
  readonly commit: () => Promise<void>
  /** Null where nothing can be given back but by throwing. */
  readonly group: Group | null
  /** How long one without a group is held, and since when it waits, monotonic; else as long as its class says. */
  readonly patience?: { readonly holdMs: number; readonly since: number }
}

/** A group that goes on with its other partitions. */
export interface Group {
  /**
   * Set where messages are handed over one after the other: the same for all that were fetched together. It may go on to
   * the next of them when its partition was paused and resumed.
   */
  readonly fetch: object | null
  /** Pauses the partition. @returns what resumes it. */
  pause(): () => void
  /** Makes the group take this offset for the next one to deliver. */
  endBefore(offset: number): void
}

/** Membership of a message without a group, or of one whose group says no more. */
export const ALONE: Membership = { heartbeat: async () => {}, isRunning: () => true, isStale: () => false }

/** One message has no offsets to tell: returning resolves it. */
export const ITSELF: Pick<Source, 'resolve' | 'commit'> = { resolve: () => {}, commit: async () => {} }

/** What is given to `eachMessage`. */
export function ofMessage({ topic, partition, message, heartbeat, pause }: EachMessagePayload): Source {
  return {
    topic,
    partition,
    messages: [message],
    membership: { ...ALONE, heartbeat },
    ...ITSELF,
    group: {
      // kafkajs makes it once for all that it has fetched together, and our own loops do so, too.
      fetch: pause,
      pause,
      endBefore(offset) {
        // Read when the handler has returned, to resolve it.
        message.offset = String(offset - 1)
      },
    },
  }
}

/** What is given to `eachBatch`. */
export function ofBatch(payload: EachBatchPayload): Source {
  const { batch } = payload
  return {
    ...batch,
    membership: payload,
    resolve: (offset) => payload.resolveOffset(offset),
    commit: () => payload.commitOffsetsIfNecessary(),
    group: {
      fetch: null,
      pause: () => payload.pause(),
      endBefore(offset) {
        // Asked when the handler has returned, to resolve the batch, unless `eachBatchAutoResolve` is off.
        Object.defineProperty(batch, 'lastOffset', { value: () => String(offset - 1), configurable: true })
      },
    },
  }
}
