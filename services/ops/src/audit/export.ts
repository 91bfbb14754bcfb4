/** `audit export`: rows as JSON Lines or CSV. Handles, ids and hashes; no payload, no address. */
import { setImmediate as others } from 'node:timers/promises'
import { CSV_HEAD, csvOf, type ExportedRow, type ExportOptions, exportRows, jsonOf } from '@countersign/evidence'
import type { Clock } from '@countersign/kernel'
import type { TopicRole } from '@countersign/schemas'
import { boundOf } from '../bounds.ts'
import { wrongArgument } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import type { Terminal } from '../terminal.ts'
import { type ArchiveOptions, openArchive } from './place.ts'

export interface AuditExportOptions extends Omit<ArchiveOptions, 'output'> {
  format: 'jsonl' | 'csv'
  from: string
  to: string
  only?: string
  raw?: boolean
}

const PAUSE_AFTER = 1_000
const ROLES: readonly TopicRole[] = ['journey', 'decisions', 'jobs', 'park', 'dead', 'signals', 'progress']

export async function auditExport(
  options: AuditExportOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  if (options.raw && options.format === 'csv') throw wrongArgument('--raw goes with --format jsonl')
  const wanted: ExportOptions = {
    from: timeOf('--from', options.from, clock, 0),
    to: timeOf('--to', options.to, clock, Number.POSITIVE_INFINITY),
    roles: rolesOf(options.only),
    raw: options.raw ?? false,
  }
  const file = openArchive({ ...options, output: 'json' })
  try {
    const definitions = file.definitions()
    const linesOf = (one: ExportedRow): Iterable<string> =>
      options.format === 'csv' ? csvOf(one) : [jsonOf(one, wanted, (id) => definitions.schemaOf(id))]
    if (options.format === 'csv') terminal.out(CSV_HEAD.join(','))
    let lines = 0
    let rows = 0
    for (const one of exportRows(file, wanted)) {
      if (signal.aborted) break
      for (const line of linesOf(one)) {
        terminal.out(line)
        lines++
      }
      // So that an interruption gets through.
      if (++rows % PAUSE_AFTER === 0) await others()
    }
    terminal.say(
      signal.aborted
        ? `Stopped after ${lines} lines.`
        : `${lines} lines. They are as the archive has them; "audit verify" says whether that is as it was.`,
    )
    return signal.aborted ? EXIT.failed : EXIT.ok
  } finally {
    file.close()
  }
}

function timeOf(option: string, text: string, clock: Clock, unbounded: number): number {
  const bound = boundOf(option, text, clock)
  if (bound === null) return unbounded
  if ('time' in bound) return bound.time
  throw wrongArgument(`${option} is -<duration> such as -1d, or an RFC 3339 time, not ${text}`)
}

function rolesOf(text: string | undefined): readonly TopicRole[] | undefined {
  return text?.split(',').map((role) => {
    const found = ROLES.find((one) => one === role)
    if (found) return found
    throw wrongArgument(`--only is a list of ${ROLES.join(', ')}, not ${role}`)
  })
}
