/** A message that no group delivered. */
import type { JobMessage } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { ALONE, ITSELF, type Source } from './delivered.ts'

export interface PlainJob {
  readonly topic: string
  readonly partition: number
  readonly offset: number | string
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Readonly<Record<string, Uint8Array | string | undefined>>
}

/** How one is run. */
export interface RunOptions {
  /**
   * Longest the call waits for a view that the job can be judged by, milliseconds; then it throws `ENFORCER_WORK_WAITING`,
   * with nothing recorded. Default: as long as the class says, and then the job is parked.
   */
  readonly holdMs?: number
  /** Since when the job waits, epoch milliseconds: a job that has waited as long as its class says is parked. Default: now. */
  readonly waitingSince?: number
}

/** @returns what `run` takes in. */
export function ofJob({ topic, partition, ...job }: PlainJob, options: RunOptions, clock: Clock): Source {
  const { holdMs, waitingSince } = options
  const since = clock.monotonic() - Math.max(0, waitingSince === undefined ? 0 : clock.now() - waitingSince)
  return {
    topic,
    partition,
    messages: [messageOf(job, clock.now())],
    membership: ALONE,
    ...ITSELF,
    group: null,
    ...(holdMs !== undefined && { patience: { holdMs, since } }),
  }
}

export function messageOf(job: Omit<PlainJob, 'topic' | 'partition'>, now: number): JobMessage {
  const bytes = (b: Uint8Array | null): Buffer | null => b && Buffer.from(b.buffer, b.byteOffset, b.byteLength)
  const headers: JobMessage['headers'] = {}
  for (const [name, value] of Object.entries(job.headers)) {
    headers[name] = value instanceof Uint8Array ? (bytes(value) as Buffer) : value
  }
  const { key, value, offset } = job
  return { key: bytes(key), value: bytes(value), headers, offset: String(offset), timestamp: String(now) }
}
