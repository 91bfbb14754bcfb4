/** `tail`: a signals log, decoded. */
import type { Bounds, LogRecord } from '@countersign/event-log'
import { sideOf } from '@countersign/evidence'
import type { Clock } from '@countersign/kernel'
import { boundOf } from './bounds.ts'
import { catalogueOf, countOf, type LogOptions, openPlace, placeOf, rootKeysOf, signalsLogOf } from './connection.ts'
import { type Described, Describer } from './described.ts'
import { wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { follow } from './following.ts'
import { oneLine, type Terminal } from './terminal.ts'

export interface TailOptions extends LogOptions {
  signalsLog: string
  from: string
  untilEnd?: boolean
  count?: string
  kind?: string
  rootKey?: string[]
  rootKeyFile?: string[]
}

const KINDS = ['signal', 'checkpoint', 'epochclaim', 'trustbundle', 'unreadable'] as const

/** Prints until the end, the count, or `signal` aborts. */
export async function tailSignals(
  options: TailOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const place = placeOf(options)
  const limit = options.count === undefined ? Infinity : countOf('--count', options.count)
  const kinds = kindsOf(options.kind)
  const start = startOf(options.from, clock)
  const rootKeys = rootKeysOf(options)
  const catalogue = await catalogueOf(options)
  const { topic } = signalsLogOf(catalogue, options.signalsLog)
  const log = await openPlace(place, catalogue)
  try {
    const describer = new Describer(log.schemas, rootKeys)
    const bounds = await log.bounds(topic)
    if (rootKeys.length === 0) terminal.say('No root key was given: signatures are not checked.')
    let printed = 0
    const show = (record: LogRecord): void => {
      const described = describer.describe(record)
      const wanted = start(record, bounds.end) && kinds.has(described.kind.toLowerCase())
      if (!wanted || printed >= limit) return
      printed++
      terminal.out(options.output === 'json' ? JSON.stringify(described) : oneLine(line(described)))
    }
    // From the beginning always: the bundle in force may stand anywhere before the wanted place.
    for await (const chunk of log.read({ topic, from: bounds.start, to: bounds.end })) {
      for (const record of chunk) show(record)
      if (printed >= limit || signal.aborted) return EXIT.ok
    }
    const enough = (): boolean => printed >= limit
    const cut = ({ start, end }: Bounds): void =>
      terminal.say(`The log was cut or recreated: it holds [${start}, ${end}) now. Going on from its start.`)
    const { waitMs } = place
    if (!options.untilEnd)
      await follow(log, { topic, ends: [bounds], show, enough, cut, terminal, clock, waitMs, signal })
    return EXIT.ok
  } finally {
    await log.close()
  }
}

function line({ timestamp, offset, kind, signature, summary }: Described): string {
  const doubt = signature === 'valid' || signature === 'unchecked' ? '' : `  !! ${signature}`
  return `${timestamp}  ${String(offset).padStart(8)}  ${kind.padEnd(11)}  ${summary}${doubt}`
}

/** Whether a record lies at or behind the wanted place. */
export function startOf(from: string, clock: Clock): (record: LogRecord, end: number) => boolean {
  if (from === 'end') return (record, end) => record.offset >= end
  const bound = boundOf('--from', from, clock)
  return (record) => bound === null || sideOf({ from: bound }, record) === 'within'
}

function kindsOf(text: string | undefined): ReadonlySet<string> {
  if (text === undefined) return new Set(KINDS)
  const kinds = text.toLowerCase().split(',')
  for (const kind of kinds) {
    if (!(KINDS as readonly string[]).includes(kind))
      throw wrongArgument(`--kind is a list of ${KINDS.join(', ')}, not ${kind}`)
  }
  return new Set(kinds)
}
