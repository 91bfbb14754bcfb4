/** `policy diff`: recorded decisions, judged anew under other job classes. Reads the log; writes nothing. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { Pasts, type RecordedDecision, Rejudge, recordedDecisions, type Verdict } from '@countersign/evidence'
import type { Clock } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import { catalogueOf, countOf, type LogOptions, openPlace, placeOf, rootKeysOf } from '../connection.ts'
import { OpsError, wrongArgument } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { startOf } from '../tail.ts'
import { print, type Terminal } from '../terminal.ts'
import { type LimitOptions, limitsOf, readClasses } from './classes-file.ts'
import { Differences } from './differences.ts'

export interface PolicyDiffOptions extends LogOptions, LimitOptions {
  classes: string
  from: string
  to?: string
  show: string
  rootKey?: string[]
  rootKeyFile?: string[]
}

/** Prints how many would turn, by class, state and reason, and the first of them. @returns `differs` when one would. */
export async function policyDiff(options: PolicyDiffOptions, terminal: Terminal, clock: Clock): Promise<ExitCode> {
  const place = placeOf(options)
  const limits = limitsOf(options)
  const classes = readClasses(options.classes, limits)
  const rootKeys = rootKeysOf(options)
  if (rootKeys.length === 0)
    throw wrongArgument('envelopes are opened anew: name a root key, --root-key or --root-key-file')
  const most = countOf('--show', options.show, 0)
  const wanted = windowOf(options, clock)
  const catalogue = await catalogueOf(options)
  const log = await openPlace(place, catalogue)
  try {
    const past = await Pasts.read(log, catalogue, rootKeys, limits.epsilonMs)
    const rejudge = new Rejudge({ log, catalogue, classes, past, epsilonMs: limits.epsilonMs })
    const found = new Differences(classes, most)
    for (const where of decisionPlaces(catalogue)) {
      const rows = await recordedDecisions(log, where, wanted, found.names, found.others)
      for (const group of rows.values()) await judgeAll(log, group, rejudge, found)
    }
    report(found, options, terminal)
    return found.turned === 0 ? EXIT.ok : EXIT.differs
  } finally {
    await log.close()
  }
}

// Reads a gap along rather than begin anew behind it: on Kafka a read costs a consumer of its own.
const SMALL_GAP = 10_000

/** @param rows of one partition. */
async function judgeAll(
  log: EventLog,
  rows: readonly RecordedDecision[],
  rejudge: Rejudge,
  found: Differences,
): Promise<void> {
  const sorted = rows.toSorted((a, b) => a.offset - b.offset)
  let from = 0
  while (from < sorted.length) {
    let to = from + 1
    while (to < sorted.length && offsetOf(sorted, to) - offsetOf(sorted, to - 1) <= SMALL_GAP) to++
    await judgeRun(log, sorted.slice(from, to), rejudge, found)
    from = to
  }
}

async function judgeRun(
  log: EventLog,
  rows: readonly RecordedDecision[],
  rejudge: Rejudge,
  found: Differences,
): Promise<void> {
  const { topic, partition } = rows[0] as RecordedDecision
  let next = 0
  const take = (record: LogRecord): void => {
    for (let row = rows[next]; row && row.offset <= record.offset; row = rows[++next]) {
      found.add(row, row.offset === record.offset ? rejudge.becomes(row, record) : null)
    }
  }
  const range = { topic, partition, from: offsetOf(rows, 0), to: offsetOf(rows, rows.length - 1) + 1 }
  for await (const chunk of log.read(range)) for (const record of chunk) take(record)
  for (const row of rows.slice(next)) found.add(row, null)
}

function offsetOf(rows: readonly RecordedDecision[], index: number): number {
  return (rows[index] as RecordedDecision).offset
}

function windowOf({ from, to }: PolicyDiffOptions, clock: Clock): (record: LogRecord) => boolean {
  for (const [option, place] of Object.entries({ from, to })) {
    // An offset is one of a partition, and of these there are many.
    if (place === 'end' || /^\d+$/.test(place ?? '')) {
      throw wrongArgument(`--${option} is -<duration> such as -1h, or an RFC 3339 time, not ${place}`)
    }
  }
  const began = startOf(from, clock)
  if (to === undefined) return (record) => began(record, Infinity)
  const ended = startOf(to, clock)
  return (record) => began(record, Infinity) && !ended(record, Infinity)
}

/** @throws {OPS_CATALOGUE_INVALID} without a decisions topic. */
function decisionPlaces(catalogue: Catalogue): { topic: string; partition: number }[] {
  const entry = catalogue.entries.find(({ role }) => role === 'decisions')
  if (entry) return Array.from({ length: entry.partitions }, (_, partition) => ({ topic: entry.name, partition }))
  const publicMessage = 'the catalogue has no decisions topic'
  throw new OpsError({ code: 'OPS_CATALOGUE_INVALID', retriable: false, publicMessage })
}

function report(found: Differences, { output }: PolicyDiffOptions, terminal: Terminal): void {
  const { others, turns } = found
  const counts = [...found.counts.values()].sort((a, b) => b.decisions - a.decisions)
  for (const [name, { decisions, turned, otherReason, gone, recorded, ruleVersion: now }] of found.classes) {
    const rules = recorded.size === 1 && recorded.has(now) ? 'by the same rules' : `by ${recorded.size} other rules`
    const more = [
      ...(otherReason > 0 ? [`${otherReason} the same for another reason`] : []),
      ...(gone > 0 ? [`${gone} not judged: their jobs are gone from the log`] : []),
    ]
    terminal.say(
      [`${name}: ${turned} of ${decisions} decisions${decisions > 0 ? ` ${rules}` : ''} would turn`, ...more].join(
        '; ',
      ),
    )
  }
  if (others.size > 0) terminal.say(`Not in the file, and not judged: ${[...others].sort().join(', ')}`)
  if (output === 'json') {
    const classes = Object.fromEntries(
      [...found.classes].map(([name, one]) => [name, { ...one, recorded: [...one.recorded] }]),
    )
    print(terminal, 'json', { json: { classes, notInFile: [...others].sort(), counts, turns }, head: [], rows: [] })
    return
  }
  const rows = counts.map((one) => [
    one.class,
    wordsOf(one.was),
    wordsOf(one.becomes),
    one.becomes.rule,
    String(one.decisions),
  ])
  print(terminal, 'table', { json: null, head: ['Class', 'Was', 'Becomes', 'Rule', 'Decisions'], rows })
  const each = turns.map((one) => [
    one.at,
    one.class,
    `${one.topic}/${one.partition}/${one.offset}`,
    wordsOf(one.was),
    wordsOf(one.becomes),
  ])
  print(terminal, 'table', { json: null, head: ['Decided', 'Class', 'Job', 'Was', 'Becomes'], rows: each })
}

function wordsOf({ outcome, reason }: Verdict): string {
  return reason === 'allowed' ? outcome : `${outcome} ${reason}`
}
