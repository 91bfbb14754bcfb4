/** `path`: everything that came of one request, over the journey, the jobs and the decisions. */

import {
  decisionSteps,
  findPath,
  inOrder,
  JobReader,
  Pasts,
  type PathNames,
  type Step,
  stepOfEvent,
  stepOfJob,
} from '@countersign/evidence'
import { rfc3339 } from '@countersign/kernel'
import { catalogueOf, type LogOptions, openPlace, placeOf, rootKeysOf } from './connection.ts'
import { OpsError, wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { print, type Terminal } from './terminal.ts'

export interface PathOptions extends LogOptions {
  rootKey?: string[]
  rootKeyFile?: string[]
}

const ID = /^[\w.:-]{1,128}$/
const EPSILON_MS = 250

/** @throws {OPS_PATH_UNKNOWN} when nothing on the log has that name. */
export async function path(id: string, options: PathOptions, terminal: Terminal): Promise<ExitCode> {
  if (!ID.test(id)) throw wrongArgument('name a correlation id, a trace id, a transaction or a request id')
  const place = placeOf(options)
  const rootKeys = rootKeysOf(options)
  const catalogue = await catalogueOf(options)
  const log = await openPlace(place, catalogue)
  try {
    if (rootKeys.length === 0) terminal.say('No root key was given: nothing is looked for inside of envelopes.')
    const reader = new JobReader(
      rootKeys.length === 0 ? [] : (await Pasts.read(log, catalogue, rootKeys, EPSILON_MS)).rings,
    )
    const { jobs, events, names } = await findPath(id, reader, log, catalogue)
    if (jobs.length + events.length === 0) throw unknown(id)
    const decided = await decisionSteps(log, catalogue, jobs)
    const steps = [...jobs.map(stepOfJob), ...events.map(stepOfEvent), ...decided]
    report(names, steps.sort(inOrder), options, terminal)
    return EXIT.ok
  } finally {
    await log.close()
  }
}

const HEAD = ['When', 'What', 'Where', 'Who', 'Outcome']

function report(names: PathNames, steps: readonly Step[], { output }: PathOptions, terminal: Terminal): void {
  const { correlations, traces, transactions, requests } = names
  const list = Object.entries({ correlations, traces, transactions, requests }).map(([kind, all]) => [kind, [...all]])
  if (output === 'json') {
    const told = steps.map((step) => ({ ...step, at: rfc3339(step.at) }))
    print(terminal, 'json', { json: { ...Object.fromEntries(list), steps: told }, head: [], rows: [] })
    return
  }
  const rows = steps.map(({ at, what, where, who, outcome }) => [rfc3339(at), what, where, who, outcome])
  print(terminal, 'table', { json: null, head: HEAD, rows })
}

function unknown(id: string): OpsError {
  const publicMessage = `nothing on the log has the name ${id}: it may be older than the topics keep`
  return new OpsError({ code: 'OPS_PATH_UNKNOWN', retriable: false, publicMessage })
}
