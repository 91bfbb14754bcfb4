/** Progress records: where a consumer is, for receipts and for whoever watches consumers. */
import type { EventLog } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { type ConsumerState, frame, progressCodec } from '@countersign/schemas'
import type { Follower } from './follower.ts'

/** Physical name of the progress topic. */
export const PROGRESS_TOPIC = 'countersign.progress.v1'

export interface ProgressOptions {
  /** Interval in milliseconds. */
  readonly everyMs: number
  /** Largest staleness budget of this consumer's job classes, milliseconds. */
  readonly maxStalenessMs: number
}

const NO_DIGEST = Buffer.alloc(32)

/** Appends one record; durable when resolved. @throws what the log's `append` throws. */
export async function reportProgress(
  log: EventLog,
  clock: Clock,
  consumer: string,
  follower: Follower,
  options: ProgressOptions & { goodbye?: boolean },
): Promise<void> {
  const { proven, closed, asOf } = follower.freshness(clock)
  const state: ConsumerState = options.goodbye
    ? 'goodbye'
    : proven
      ? 'ready'
      : closed === 'starting' || closed === 'unproven'
        ? 'starting'
        : 'closed'
  const body = progressCodec.encode({
    consumer,
    log_id: follower.logId ?? '',
    offset: follower.position,
    as_of: asOf,
    count: follower.view.count,
    digest: follower.noted?.digest ?? NO_DIGEST,
    max_staleness_ms: options.maxStalenessMs,
    at: clock.now(),
    state,
    instance: Buffer.alloc(16),
    digest_offset: follower.last?.offset ?? -1,
    applied: [],
    unlisted: 0,
  })
  const value = frame(log.schemas.idOf('countersign.Progress'), body)
  await log.append(PROGRESS_TOPIC, [{ key: Buffer.from(consumer), value, headers: [] }])
}
