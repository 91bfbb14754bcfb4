/** `export`: the deny view of a signals log for programs in other languages, as JSON of the `bloom-filters` package or as floors. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { readingOf } from '@countersign/evidence'
import { type Clock, rfc3339, systemRandom } from '@countersign/kernel'
import { createBloomFilter, type View } from '@countersign/revocation'
import { interrupted, wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { progress } from './progress.ts'
import { openForReplay, type ReplayOptions } from './replay/opened.ts'
import type { Terminal } from './terminal.ts'

export interface ExportOptions extends Omit<ReplayOptions, 'from' | 'to' | 'output'> {
  format: 'bloom-filter' | 'floors'
  out?: string
}

/** Verifies the whole log. Written all or nothing. @returns `differs`, and writes nothing, when a checkpoint states another view. */
export async function exportView(
  options: ExportOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const opened = await openForReplay({ ...options, output: 'json' }, clock)
  const { log, signalsLog } = opened
  try {
    const { start, end } = await log.bounds(signalsLog.topic)
    const reading = readingOf(opened, start)
    const bar = progress(terminal, clock, { work: 'Reading', total: end - start, unit: 'records' })
    let asOf = 0
    for await (const chunk of log.read({ topic: signalsLog.topic, from: start, to: end })) {
      for (const record of chunk) {
        reading.fold(record)
        asOf = record.timestamp
      }
      bar.at(reading.records)
      if (signal.aborted) throw interrupted('interrupted: nothing was written')
    }
    bar.end()
    const logId = opened.assertId(reading.logId)
    const { differingAt } = reading.checkpoints
    if (differingAt !== null) {
      terminal.say(`The checkpoint at ${differingAt} states another view than the log makes: nothing is exported.`)
      return EXIT.differs
    }
    const { view, position } = reading.follower
    const head = { log_id: logId, offset: position, as_of: rfc3339(asOf), horizon: view.horizon }
    write(options.format === 'floors' ? floorLines(head, view) : [filterOf(head, view)], options.out, terminal)
    terminal.say(`${view.count} floors on ${view.size} targets and effects, as of ${head.as_of}.`)
    return EXIT.ok
  } finally {
    await log.close()
  }
}

/** Keys in it are the 16 bytes of target keys; a hit says that a target may have a floor, a miss that it has none. */
function filterOf(head: object, view: View): string {
  const capacity = Math.max(1, view.size)
  const filter = createBloomFilter({ capacity, random: systemRandom })
  for (const { key } of view.facts()) filter.add(key)
  return JSON.stringify({
    ...head,
    kind: 'countersign.deny-filter.v1',
    count: view.count,
    capacity,
    filter: filter.export(),
  })
}

function* floorLines(head: object, view: View): Generator<string> {
  yield JSON.stringify({
    ...head,
    kind: 'countersign.floors.v1',
    count: view.count,
    digest: view.digest().toString('hex'),
  })
  for (const { key, effect, fallback, floor } of view.facts()) {
    yield JSON.stringify({ target: Buffer.from(key).toString('hex'), effect, fallback, floor })
  }
}

function write(lines: Iterable<string>, out: string | undefined, terminal: Terminal): void {
  if (out === undefined) {
    for (const line of lines) terminal.out(line)
    return
  }
  try {
    const beside = `${out}.new`
    // Left by an earlier run, or put there by somebody: nothing is written through it.
    rmSync(beside, { force: true })
    writeFileSync(beside, `${[...lines].join('\n')}\n`, { mode: 0o600, flag: 'wx' })
    renameSync(beside, out)
  } catch {
    throw wrongArgument(`${out} cannot be written`)
  }
}
