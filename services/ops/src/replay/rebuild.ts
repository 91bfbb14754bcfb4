/** `replay rebuild`: the view a signals log makes, from nothing; and, where asked for, a snapshot a consumer can start from. */

import type { Bounds, LogRecord } from '@countersign/event-log'
import { kindOfEffect, readingOf, type SignalsReading, sideOf } from '@countersign/evidence'
import type { Clock } from '@countersign/kernel'
import { fileSnapshots, readRecord } from '@countersign/replica'
import { signalCodec } from '@countersign/schemas'
import { interrupted, OpsError } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { type Bucket, histogramOf, printWithHistogram } from '../histogram.ts'
import { progress } from '../progress.ts'
import type { Terminal } from '../terminal.ts'
import { type Opened, openForReplay, type ReplayOptions } from './opened.ts'

export interface RebuildOptions extends ReplayOptions {
  /** Where the snapshot goes. */
  out?: string
  execute?: boolean
}

interface Plan {
  readonly bounds: Bounds
  /** Records of the range, by kind, and its signals by what they are for. */
  readonly records: number
  readonly kinds: Readonly<Record<string, number>>
  readonly effects: Readonly<Record<string, number>>
  readonly histogram: readonly Bucket[]
  /** Offsets of the range, [begin, end), and its last checkpoint; -1 for none. */
  readonly begin: number
  readonly end: number
  readonly lastCheckpoint: number
}

/** Shows what stands in the range; with `execute` reads it into a fresh view. @returns `differs` when a checkpoint states another view. */
export async function rebuild(
  options: RebuildOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const opened = await openForReplay(options, clock)
  try {
    const plan = await survey(opened, terminal, clock, signal)
    if (signal.aborted) throw interrupted('interrupted: nothing was changed')
    if (!options.execute) {
      tell(plan, options, terminal)
      terminal.say(
        'Nothing was rebuilt yet. The same with --execute reads and verifies all of it, from where the log begins.',
      )
      return EXIT.ok
    }
    return await execute(plan, opened, options, terminal, clock, signal)
  } finally {
    await opened.log.close()
  }
}

async function survey(
  { log, signalsLog, range }: Opened,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<Plan> {
  const bounds = await log.bounds(signalsLog.topic)
  const kinds: Record<string, number> = {}
  const effects: Record<string, number> = {}
  const times: number[] = []
  let records = 0
  let begin = bounds.start
  let end = bounds.start
  let lastCheckpoint = -1
  const bar = progress(terminal, clock, { work: 'Looking', total: bounds.end - bounds.start, unit: 'records' })
  const take = (record: LogRecord): void => {
    const side = sideOf(range, record)
    if (side === 'behind') return
    end = record.offset + 1
    const read = readRecord(record, log.schemas)
    if (read?.kind === 'Checkpoint') lastCheckpoint = record.offset
    if (side === 'before') {
      begin = end
      return
    }
    records++
    count(kinds, read?.kind ?? 'unreadable')
    if (read?.kind !== 'Signal') return
    times.push(record.timestamp)
    count(effects, effectOf(read.body))
  }
  for await (const chunk of log.read({ topic: signalsLog.topic, from: bounds.start, to: bounds.end })) {
    for (const record of chunk) take(record)
    bar.at((chunk.at(-1)?.offset ?? bounds.start) - bounds.start)
    if (signal.aborted) break
  }
  bar.end()
  return { bounds, records, kinds, effects, histogram: histogramOf(times), begin, end, lastCheckpoint }
}

async function execute(
  plan: Plan,
  opened: Opened,
  options: RebuildOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const { log, signalsLog, range } = opened
  const { start } = plan.bounds
  // A snapshot stands at a checkpoint; what comes after the last one is no part of it.
  const end = options.out === undefined ? plan.end : plan.lastCheckpoint + 1
  const reading = readingOf(opened, start, { until: plan.lastCheckpoint })
  const bar = progress(terminal, clock, { work: 'Rebuilding', total: end - start, unit: 'records' })
  let before = noted(reading)
  for await (const chunk of log.read({ topic: signalsLog.topic, from: start, to: end })) {
    for (const record of chunk) {
      if (sideOf(range, record) === 'before') {
        reading.fold(record)
        before = noted(reading)
      } else reading.fold(record)
    }
    bar.at(reading.records)
    if (signal.aborted) throw interrupted('interrupted: nothing was changed')
  }
  bar.end()
  const logId = opened.assertId(reading.logId)
  const snapshot = options.out === undefined ? null : await save(reading, options.out)
  const { checkpoints, faults } = reading
  const result = { log_id: logId, before, after: noted(reading), checkpoints, faults, ...(snapshot && { snapshot }) }
  tell(plan, options, terminal, result)
  if (checkpoints.differingAt === null) return EXIT.ok
  terminal.say(
    `The checkpoint at ${checkpoints.differingAt} states another view: the log lacks something, or holds too much.`,
  )
  return EXIT.differs
}

async function save(reading: SignalsReading, path: string): Promise<{ path: string; offset: number }> {
  const chunks = reading.snapshot()
  if (chunks === null) {
    const publicMessage = 'no checkpoint in the range proves the view there: nothing was written'
    throw new OpsError({ code: 'OPS_VIEW_UNPROVEN', retriable: false, publicMessage })
  }
  await fileSnapshots(path).save([...chunks])
  return { path, offset: reading.follower.position }
}

function noted({ follower }: SignalsReading): { offset: number; count: number; digest: string } {
  return { offset: follower.position, count: follower.view.count, digest: follower.view.digest().toString('hex') }
}

function tell(plan: Plan, { output, execute = false }: RebuildOptions, terminal: Terminal, result: object = {}): void {
  const { begin, end, records, kinds, effects, histogram } = plan
  const facts = { executed: execute, from: begin, to: end, records, kinds, effects, ...result }
  printWithHistogram(terminal, output, facts, histogram)
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}

function effectOf(body: Uint8Array): string {
  try {
    return kindOfEffect(signalCodec.decode(body).effect)
  } catch {
    return 'malformed'
  }
}
