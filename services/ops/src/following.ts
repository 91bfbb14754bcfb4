/** Follows a topic from where its partitions ended, until enough was shown or somebody has had enough. */
import type { Bounds, EventLog, LogRecord } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { tellSilence } from './patience.ts'
import type { Terminal } from './terminal.ts'

export interface Following {
  readonly topic: string
  /** Of each partition. */
  readonly ends: readonly Pick<Bounds, 'end'>[]
  show(record: LogRecord): void
  /** Whether enough was shown. */
  enough(): boolean
  /** The wanted place is not on the log any more; it goes on from the start. */
  cut?(bounds: Bounds): void
  readonly terminal: Terminal
  readonly clock: Clock
  /** Silence after which somebody is told, milliseconds. */
  readonly waitMs: number
  readonly signal: AbortSignal
}

export async function follow(log: EventLog, following: Following): Promise<void> {
  const { topic, ends, terminal, clock, waitMs, signal } = following
  let done = (): void => {}
  const ended = new Promise<void>((resolve) => {
    done = resolve
  })
  signal.addEventListener('abort', done, { once: true })
  const tails = await Promise.all(
    ends.map(async ({ end }, partition) => {
      const tail = await log.tail({
        topic,
        partition,
        from: end,
        handler: {
          records(batch) {
            for (const record of batch) following.show(record)
            if (following.enough()) done()
          },
          outOfRange(bounds) {
            following.cut?.(bounds)
            tail.seek(bounds.start)
          },
        },
      })
      return tail
    }),
  )
  const hush = tellSilence(tails, terminal, clock, waitMs)
  if (!signal.aborted) await ended
  hush()
  await Promise.all(tails.map((tail) => tail.stop()))
}
