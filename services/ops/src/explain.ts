/** `explain`: what happened, in plain words, with every decision made again offline. Reads; writes nothing. */

import {
  archiveSource,
  type EvidenceSource,
  type ExplainedDecision,
  type Explanation,
  explain,
  logSource,
  type Question,
} from '@countersign/evidence'
import { rfc3339 } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import { catalogueOf, durationOf, type LogOptions, openPlace, placeOf, rootKeysOf } from './connection.ts'
import { OpsError, wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { type LimitOptions, limitsOf, readClasses } from './policy/classes-file.ts'
import { oneLine, print, type Terminal } from './terminal.ts'

export interface ExplainCommandOptions extends LogOptions, LimitOptions {
  rootKey?: string[]
  rootKeyFile?: string[]
  archive?: string
  object?: string
  session?: string
  classes?: string
  fields?: boolean
  timeout: string
}

const NAME = /^[\w.:/@ -]{1,256}$/

/**
 * @returns `differs` when a decision does not come out as it was recorded, or something it rests on was altered.
 * @throws {OPS_EXPLAIN_UNKNOWN} when nothing bears that name.
 */
export async function explainCommand(
  name: string | undefined,
  options: ExplainCommandOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<ExitCode> {
  const question = questionOf(name, options)
  const limits = limitsOf(options)
  const classes = options.classes === undefined ? [] : readClasses(options.classes, limits)
  const rootKeys = rootKeysOf(options)
  if (rootKeys.length === 0) {
    throw wrongArgument('decisions are made again by keys that a root signed: name one, --root-key or --root-key-file')
  }
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(durationOf('--timeout', options.timeout))])
  const catalogue = await catalogueOf(options)
  const source = await sourceOf(options, catalogue)
  try {
    const { epsilonMs } = limits
    const found = await explain(source, question, { catalogue, rootKeys, classes, epsilonMs, signal: deadline })
    if (found === null) throw unknown(question)
    report(found, options, terminal)
    return found.decisions.every(isSound) ? EXIT.ok : EXIT.differs
  } finally {
    await source.close()
  }
}

function questionOf(name: string | undefined, { object, session }: ExplainCommandOptions): Question {
  const given = [name, object, session].filter((one) => one !== undefined)
  if (given.length !== 1 || !NAME.test(given[0] as string)) {
    throw wrongArgument(
      'name one thing: an event id, topic/partition/offset, a correlation, request, trace or transaction, or --object or --session',
    )
  }
  if (object !== undefined) return { object }
  return session === undefined ? { name: name as string } : { session }
}

async function sourceOf(options: ExplainCommandOptions, catalogue: Catalogue): Promise<EvidenceSource> {
  if (options.archive !== undefined) return archiveSource(options.archive)
  const log = await openPlace(placeOf(options), catalogue)
  return { ...logSource(log, catalogue), close: () => log.close() }
}

const HEAD = ['Decision', 'Field', 'Recorded', 'Made again']

function report({ asOf, lines, decisions }: Explanation, options: ExplainCommandOptions, terminal: Terminal): void {
  const { output, fields } = options
  const at = rfc3339(asOf)
  if (output === 'json') {
    print(terminal, 'json', { json: { asOf: at, lines, decisions }, head: [], rows: [] })
    return
  }
  for (const line of lines) terminal.out(oneLine(line))
  if (fields) {
    const rows = decisions.flatMap((one) =>
      one.fields.map(({ name, recorded, recomputed, same }) => [
        `${one.record} ${one.phase}`,
        name,
        recorded,
        same ? 'the same' : recomputed,
      ]),
    )
    print(terminal, 'table', { json: null, head: HEAD, rows })
  }
  terminal.say(`As of ${at}.`)
}

function isSound({ verdict, named }: ExplainedDecision): boolean {
  return verdict === 'reproduced' && named.length === 0
}

function unknown(question: Question): OpsError {
  const what = 'object' in question ? question.object : 'session' in question ? question.session : question.name
  const publicMessage = `nothing has the name ${what}: it may be older than what is kept`
  return new OpsError({ code: 'OPS_EXPLAIN_UNKNOWN', retriable: false, publicMessage })
}
