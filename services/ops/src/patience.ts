/**
 * A log that is waited for only so long: whoever asks a half-dead one is told what was read by then instead of nothing.
 * A tail is left as it is, since following a log means waiting for it.
 */
import type { EventLog, LogRecord, Tail } from '@countersign/event-log'
import { type Clock, rfc3339 } from '@countersign/kernel'
import { OpsError } from './errors.ts'
import type { Terminal } from './terminal.ts'

/** Closing politely is worth less than coming back. */
const CLOSE_MS = 2_000
const LOOK_EVERY_MS = 1_000

/** @param waitMs most milliseconds of silence; every chunk that is read begins them anew. */
export function patient<L extends EventLog>(log: L, clock: Clock, waitMs: number): L {
  let read = 0
  let last: LogRecord | undefined
  const silent = (): OpsError => {
    const known = last && `; ${read} records were read, the last of ${rfc3339(last.timestamp)}`
    return logSilent(waitMs, known)
  }
  const within = <T>(asked: Promise<T>): Promise<T> => withDeadline(asked, clock, waitMs, silent)

  async function* chunks(options: Parameters<L['read']>[0]): AsyncGenerator<readonly LogRecord[]> {
    const source = log.read(options)[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await within(source.next())
        if (next.done) return
        read += next.value.length
        last = next.value.at(-1) ?? last
        yield next.value
      }
    } finally {
      // A reader that hangs hangs here too, so nobody waits for it.
      void source.return?.().catch(() => {})
    }
  }

  const overrides: Partial<EventLog> = {
    append: (...args) => within(log.append(...args)),
    bounds: (...args) => within(log.bounds(...args)),
    topics: () => within(log.topics()),
    createTopics: (...args) => within(log.createTopics(...args)),
    tail: (...args) => within(log.tail(...args)),
    read: chunks,
    close: () => withDeadline(log.close(), clock, CLOSE_MS, null),
  }
  return new Proxy(log, {
    get(target, name) {
      if (Object.hasOwn(overrides, name)) return overrides[name as keyof EventLog]
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Says once when a tail has fallen silent, since when nothing is known, and once when all answer again. @returns how to stop. */
export function tellSilence(tails: readonly Tail[], terminal: Terminal, clock: Clock, waitMs: number): () => void {
  let told = false
  let cancel = (): void => {}
  const look = (): void => {
    const heardAt = Math.min(...tails.map((tail) => tail.lastHeardAt))
    const silentMs = clock.monotonic() - heardAt
    if (silentMs > waitMs !== told) {
      told = !told
      const since = rfc3339(clock.now() - Math.round(silentMs))
      terminal.say(told ? `The log has not answered since ${since}. Waiting for it.` : 'The log answers again.')
    }
    cancel = clock.after(LOOK_EVERY_MS, look)
  }
  cancel = clock.after(LOOK_EVERY_MS, look)
  return () => cancel()
}

/** @param late what is thrown when the time is over; null to resolve then. */
export async function withDeadline<T>(
  asked: Promise<T>,
  clock: Clock,
  waitMs: number,
  late: (() => Error) | null,
): Promise<T> {
  const settled = new AbortController()
  // Asleep rather than a timer of its own: a process with nothing else to wait for must not end here.
  const over = clock.sleep(waitMs, settled.signal).then(() => {
    if (!settled.signal.aborted && late !== null) throw late()
    return undefined as T
  })
  try {
    return await Promise.race([asked, over])
  } finally {
    settled.abort()
  }
}

/** @param known what was read by then. */
export function logSilent(waitMs: number, known = ''): OpsError {
  const publicMessage = `the log has not answered for ${waitMs} ms${known}`
  return new OpsError({ code: 'OPS_LOG_SILENT', retriable: true, publicMessage })
}
