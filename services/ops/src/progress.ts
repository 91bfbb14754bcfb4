/** How far long work is: a bar for who looks at it, a line now and then for a file. Always on standard error. */
import type { Clock } from '@countersign/kernel'
import cliProgress from 'cli-progress'
import type { Terminal } from './terminal.ts'

export interface Progress {
  /** @param done of the total, rising. */
  at(done: number): void
  /** The bar goes away; what is said next begins a line of its own. */
  end(): void
}

const EVERY_MS = 5_000

/**
 * @param work what is done, a few words.
 * @param total how much there is, in `unit`; 0 draws nothing.
 */
export function progress(
  terminal: Terminal,
  clock: Clock,
  { work, total, unit }: { readonly work: string; readonly total: number; readonly unit: string },
): Progress {
  if (total === 0) return { at: () => {}, end: () => {} }
  return terminal.drawing === undefined
    ? inLines(terminal, clock, `${work}: `, total, unit)
    : asBar(terminal.drawing, work, total, unit)
}

/** As `progress`, where the total is known only once the work has begun. */
export function progressOnceKnown(
  terminal: Terminal,
  clock: Clock,
  { work, unit }: { readonly work: string; readonly unit: string },
): { at(done: number, total: number): void; end(): void } {
  let begun: Progress | null = null
  return {
    at(done, total) {
      begun ??= progress(terminal, clock, { work, total, unit })
      begun.at(done)
    },
    end: () => begun?.end(),
  }
}

function asBar(stream: NodeJS.WritableStream, work: string, total: number, unit: string): Progress {
  const bar = new cliProgress.SingleBar({
    stream,
    format: `${work} {bar} {percentage}% | {value} of {total} ${unit} | {eta_formatted} left`,
    barCompleteChar: '=',
    barIncompleteChar: '-',
    clearOnComplete: true,
    fps: 8,
  })
  bar.start(total, 0)
  return { at: (done) => bar.update(Math.min(done, total)), end: () => bar.stop() }
}

/** Quick work says nothing. */
function inLines(terminal: Terminal, clock: Clock, start: string, total: number, unit: string): Progress {
  let saidAt = clock.monotonic()
  return {
    at(done) {
      const now = clock.monotonic()
      if (now - saidAt < EVERY_MS) return
      saidAt = now
      terminal.say(`${start}${done} of ${total} ${unit} (${Math.floor((done / total) * 100)} %)`)
    },
    end: () => {},
  }
}
