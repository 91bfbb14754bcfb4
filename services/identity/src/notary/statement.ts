/** The next checkpoint: what the follower has read, put into words. */
import type { Follower } from '@countersign/replica'
import { View } from '@countersign/revocation'
import type { Checkpoint } from '@countersign/schemas'

/** What a checkpoint says besides what was read. */
export interface Circumstances {
  readonly notary: string
  readonly epoch: number
  /** Time by the log's clock, epoch ms. */
  readonly now: number
  readonly storeUnseenSince: number | null
  /** Highest sequence the store has given out; used by the first checkpoint of a log only. */
  readonly highestSeq: number
}

/**
 * @returns the checkpoint that covers the last one passed; null without a bundle in force.
 *   The first of a log covers nothing: it states the empty view, and its horizon counts from when it is sent.
 */
export function nextCheckpoint(follower: Follower, circumstances: Circumstances): Checkpoint | null {
  const { ring, last, noted, limits, admitted } = follower
  if (ring === null) return null
  const { notary, epoch, now, storeUnseenSince, highestSeq } = circumstances
  const said = {
    log_id: ring.bundle.log_id,
    epoch,
    notary,
    sent_at: Math.max(now, limits.sentAt, admitted.sentAt),
    bundle_version: ring.bundle.version,
    bundle_hash: ring.hash,
    store_unseen_since: storeUnseenSince,
  }
  if (last === null || noted === null) {
    const horizon = Math.max(limits.horizon, admitted.horizon, said.sent_at - ring.bundle.window_ms)
    const outboxSeq = Math.max(limits.outboxSeq, admitted.outboxSeq, highestSeq)
    const empty = new View()
    const view = { count: 0, digest: empty.digest() }
    return { ...said, ...view, sequence: 1, covers: -1, as_of: 0, horizon, outbox_seq: outboxSeq }
  }
  const asOf = last.checkpoint.sent_at
  return {
    ...said,
    sequence: last.checkpoint.sequence + 1,
    covers: last.offset,
    as_of: asOf,
    count: noted.count,
    digest: noted.digest,
    horizon: Math.max(limits.horizon, asOf - ring.bundle.window_ms),
    outbox_seq: Math.max(limits.outboxSeq, noted.outboxSeq),
  }
}
