/** Appends that must be durable before anything else happens. */
import type { EventLog, NewRecord } from '@countersign/event-log'
import { type Clock, isCountersignError } from '@countersign/kernel'
import type { Logger } from '@countersign/telemetry'

export const FIRST_BACKOFF_MS = 50
export const MAX_BACKOFF_MS = 2_000

/** How long something is tried, and by which clock. */
export interface Trying {
  readonly clock: Clock
  readonly logger: Logger
  /** Milliseconds. */
  readonly recordWithinMs: number
}

/**
 * Appends, trying again while the log is away. A try of unknown outcome is repeated: readers tell records
 * apart by batch id and copies by origin, so a repeat is harmless and a loss is not.
 *
 * @param giveUp aborts the retries; the first try is always made.
 * @throws what the last try threw, when it is not retriable, or after `recordWithinMs`, or when `giveUp` aborts.
 */
export async function appendDurably(
  settings: Trying & { readonly log: Pick<EventLog, 'append'> },
  topic: string,
  records: readonly NewRecord[],
  giveUp?: AbortSignal,
): Promise<void> {
  await tried(settings, topic, giveUp, () => settings.log.append(topic, records))
}

/** The same for any try. */
export async function tried(
  { clock, recordWithinMs, logger }: Trying,
  topic: string,
  giveUp: AbortSignal | undefined,
  attempt: () => Promise<unknown>,
): Promise<void> {
  const since = clock.monotonic()
  for (let backoff = FIRST_BACKOFF_MS; ; backoff = Math.min(2 * backoff, MAX_BACKOFF_MS)) {
    try {
      await attempt()
      return
    } catch (error) {
      const late = clock.monotonic() - since + backoff > recordWithinMs
      if (!isRetriable(error) || late || giveUp?.aborted) throw error
      const code = isCountersignError(error) ? error.code : null
      logger.warn({ topic, code, backoffMs: backoff }, 'append failed, trying again')
    }
    await clock.sleep(backoff, giveUp)
  }
}

export function isRetriable(error: unknown): boolean {
  return isCountersignError(error) && error.retriable
}

/** The log takes no record of that size, and has taken none of them. */
export function isTooLarge(error: unknown): boolean {
  return isCountersignError(error) && error.code === 'EVENT_LOG_RECORD_TOO_LARGE'
}
