/** `parked` and `redrive`: what was set aside, and putting it on its topic again. */
import { identitySuccessors } from '@countersign/enforcer'
import {
  type ParkedSelection,
  type ParkedWork,
  parkedWork,
  planRedrive,
  type Redriven,
  type RedrivePlan,
  redrive,
} from '@countersign/evidence'
import { type Clock, rfc3339, Secret } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import { rangeOf } from './bounds.ts'
import type { Environment } from './command.ts'
import { catalogueOf, countOf, type LogOptions, openPlace, placeOf, readText } from './connection.ts'
import { OpsError, wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { histogramOf, printWithHistogram } from './histogram.ts'
import { progress } from './progress.ts'
import { print, type Terminal } from './terminal.ts'

interface SelectionOptions extends LogOptions {
  topic?: string[]
  kind?: 'parked' | 'dead-lettered'
  class?: string[]
  reason?: string[]
  event?: string[]
  from: string
  to: string
}

export interface ParkedOptions extends SelectionOptions {
  state: (typeof PARKED_STATES)[number]
  show: string
}

export interface RedriveOptions extends SelectionOptions {
  rate: string
  identity?: string
  successorSecretFile?: string
  execute?: boolean
}

export const PARKED_STATES = [
  'waiting',
  'redriven',
  'undecided',
  'executed',
  'denied',
  'parked',
  'dead_lettered',
  'all',
] as const

/** Lists what was set aside. */
export async function parked(
  options: ParkedOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const place = placeOf(options)
  const most = countOf('--show', options.show)
  const catalogue = await catalogueOf(options)
  const selection = selectionOf(options, catalogue, clock)
  const log = await openPlace(place, catalogue)
  try {
    const { state } = options
    const states = state === 'all' ? {} : { states: [state] }
    const { work, asOf } = await parkedWork({ log, catalogue }, { ...selection, ...states }, { signal })
    // The latest are what somebody looks for.
    const shown = work.slice(-most)
    print(terminal, options.output, {
      json: { asOf: iso(asOf), count: work.length, work: shown.map(plain) },
      head: ['set aside', 'what', 'class', 'reason', 'event', 'tenant', 'copy', 'state'],
      rows: shown.map((one) => [
        iso(one.parkedAt),
        one.kind,
        one.jobClass ?? '?',
        one.reason,
        one.eventId ?? '-',
        one.tenant ?? '-',
        placeOfCopy(one),
        one.decided === null ? one.state : `${one.state} (${one.decided.reason})`,
      ]),
    })
    const left = work.length - shown.length
    terminal.say(
      `${work.length} ${state === 'all' ? '' : `${state}, `}as of ${iso(asOf)}${left > 0 ? `; ${left} not shown` : ''}.`,
    )
    return EXIT.ok
  } finally {
    await log.close()
  }
}

/** Shows what redriving would do; with `execute` does it, from where an earlier run stopped. */
export async function redriveParked(
  options: RedriveOptions,
  env: Environment,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const place = placeOf(options)
  const perSecond = countOf('--rate', options.rate)
  const successors = successorsOf(options, env, clock)
  const catalogue = await catalogueOf(options)
  const selection = selectionOf(options, catalogue, clock)
  const log = await openPlace(place, catalogue)
  try {
    const list = await parkedWork({ log, catalogue }, selection, { signal })
    const plan = planRedrive(list, { now: clock.now(), renews: successors !== null })
    if (!options.execute) {
      tell(plan, { executed: false }, options, terminal)
      terminal.say(advice(plan))
      return EXIT.ok
    }
    const total = plan.steps.length
    const bar = progress(terminal, clock, { work: 'Redriving', total, unit: 'jobs' })
    let done = 0
    const onStep = (): void => bar.at(++done)
    const result = await redrive(plan, { log, catalogue, clock, successors, perSecond, onStep, signal }).finally(() =>
      bar.end(),
    )
    tell(plan, { executed: true, ...result.counts, left: result.left }, options, terminal)
    return verdict(result, terminal)
  } finally {
    await log.close()
  }
}

function tell(plan: RedrivePlan, facts: object, { output }: RedriveOptions, terminal: Terminal): void {
  const histogram = histogramOf(plan.steps.map(({ work }) => work.parkedAt).sort((a, b) => a - b))
  const { counts, groups, asOf } = plan
  const planned = { redrive: counts.redrive, renew: counts.renew, expire: counts.expire, done_before: counts.done }
  if (output === 'table') {
    const rows = groups.map(({ logical, jobClass, kind, reason, count }) => [
      logical,
      jobClass ?? 'every class',
      kind,
      reason,
      String(count),
    ])
    print(terminal, output, { json: null, head: ['topic', 'for', 'what', 'reason', 'jobs'], rows })
  }
  printWithHistogram(
    terminal,
    output,
    { asOf: iso(asOf), planned, ...(output === 'json' && { groups }), ...facts },
    histogram,
  )
}

function advice({ counts, groups }: RedrivePlan): string {
  const total = counts.redrive + counts.renew + counts.expire
  if (total === 0) return 'Nothing waits to be redriven.'
  const over =
    counts.expire === 0
      ? ''
      : ` ${counts.expire} of them are over and will be denied: with a service secret identity is asked for successors.`
  const unsaid = groups.some(({ jobClass }) => jobClass === null)
    ? ' Copies that do not say which class set them aside go to every class of their topic.'
    : ''
  return `${total} would be put on their topics and decided anew.${over}${unsaid} The same with --execute does it.`
}

function verdict({ counts, left }: Redriven, terminal: Terminal): ExitCode {
  const put = counts.redriven + counts.renewed + counts.refused
  terminal.say(`${put} put on their topics; "parked --state all" tells what becomes of them.`)
  if (left > 0) {
    const publicMessage = `interrupted with ${left} left; the same again goes on`
    throw new OpsError({ code: 'OPS_INTERRUPTED', retriable: true, publicMessage })
  }
  if (counts.unsure > 0)
    terminal.say(`${counts.unsure} wait on: identity could not tell. The same again asks it again.`)
  const lost = counts.gone + counts.too_large
  if (lost > 0) terminal.say(`${lost} can only be sent anew: their jobs are gone, or too large to be put there again.`)
  return counts.unsure + lost > 0 ? EXIT.differs : EXIT.ok
}

/** @throws {OPS_ARGUMENT_INVALID} */
function selectionOf(options: SelectionOptions, catalogue: Catalogue, clock: Clock): ParkedSelection {
  const { topic, kind, class: classes, reason: reasons, event } = options
  for (const one of topic ?? []) {
    if (catalogue.jobTopic(one)) continue
    const names = catalogue.entries.filter(({ role }) => role === 'jobs').map(({ logical }) => logical)
    throw wrongArgument(`--topic is one of ${names.join(', ')}, not ${one}`)
  }
  for (const one of event ?? []) {
    if (!/^[0-9a-f]{32}$/i.test(one)) throw wrongArgument(`--event is 32 hexadecimal digits, not ${one}`)
  }
  const { from, to } = rangeOf(options, clock)
  if ((from && !('time' in from)) || (to && !('time' in to)))
    throw wrongArgument('--from and --to are times here: -<duration> such as -5m, or an RFC 3339 time')
  return {
    ...(topic && { topics: topic }),
    ...(kind && { kinds: [kind === 'parked' ? kind : 'dead_lettered'] }),
    ...(classes && { classes }),
    ...(reasons && { reasons }),
    ...(event && { eventIds: event.map((one) => one.toLowerCase()) }),
    ...(from && 'time' in from && { from: from.time }),
    ...(to && 'time' in to && { to: to.time }),
  }
}

/** Null where nobody is asked. */
function successorsOf({ identity, successorSecretFile: file }: RedriveOptions, env: Environment, clock: Clock) {
  const secret = (file === undefined ? env.COUNTERSIGN_SUCCESSOR_SECRET : readText(file))?.trim()
  if (!secret) return null
  if (identity === undefined || !URL.canParse(identity))
    throw wrongArgument('--identity <url> says where identity is, which is asked for successors')
  return identitySuccessors({ url: identity, secret: new Secret(secret), clock })
}

function placeOfCopy({ place: { topic, partition, offset } }: ParkedWork): string {
  return `${topic}/${partition}/${offset}`
}

function plain(work: ParkedWork): object {
  const { parkedAt, expiresAt } = work
  return { ...work, parkedAt: iso(parkedAt), expiresAt: expiresAt === null ? null : iso(expiresAt) }
}

function iso(ms: number): string {
  return rfc3339(ms)
}
