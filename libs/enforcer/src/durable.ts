/** Appends that must be durable before anything else happens. */
import type { NewRecord } from '@countersign/event-log'
import { isCountersignError } from '@countersign/kernel'
import type { Settings } from './options.ts'

const FIRST_BACKOFF_MS = 50
const MAX_BACKOFF_MS = 2_000

/**
 * Appends, trying again while the log is away. A try of unknown outcome is repeated: readers tell records
 * apart by batch id and copies by origin, so a repeat is harmless and a loss is not.
 *
 * @param giveUp aborts the retries; the first try is always made.
 * @throws what the last try threw, when it is not retriable, or after `recordWithinMs`, or when `giveUp` aborts.
 */
export async function appendDurably(
  settings: Settings,
  topic: string,
  records: readonly NewRecord[],
  giveUp?: AbortSignal,
): Promise<void> {
  const { log, clock, recordWithinMs, logger } = settings
  const since = clock.monotonic()
  for (let backoff = FIRST_BACKOFF_MS; ; backoff = Math.min(2 * backoff, MAX_BACKOFF_MS)) {
    try {
      await log.append(topic, records)
      return
    } catch (error) {
      const late = clock.monotonic() - since + backoff > recordWithinMs
      if (!isCountersignError(error) || !error.retriable || late || giveUp?.aborted) throw error
      logger.warn({ topic, code: error.code, backoffMs: backoff }, 'append failed, trying again')
    }
    await clock.sleep(backoff, giveUp)
  }
}
