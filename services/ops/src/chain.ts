/** `chain`: which tokens came of which, in the journey of identities. Reads the topic twice; keeps what it shows. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { readJourney } from '@countersign/journey'
import { type Clock, rfc3339 } from '@countersign/kernel'
import type { JourneyEvent } from '@countersign/schemas'
import { type Chain, ChainEvents, type ChainNode, Origins } from './chain-tree.ts'
import { catalogueOf, type LogOptions, openPlace, placeOf } from './connection.ts'
import { OpsError, wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { type Ends, endsOf, merged, topicOf } from './merged.ts'
import { startOf } from './tail.ts'
import { print, type Terminal } from './terminal.ts'

export interface ChainOptions extends LogOptions {
  from: string
}

const HANDLE = /^(tok|ses|fam|txn)_[\w-]+$/

/** @throws {OPS_CHAIN_UNKNOWN} when the journey tells of no token with this handle. */
export async function chain(
  handle: string,
  options: ChainOptions,
  terminal: Terminal,
  clock: Clock,
): Promise<ExitCode> {
  if (!HANDLE.test(handle))
    throw wrongArgument(`a handle begins with tok_, ses_, fam_ or txn_ (the jti, sid or txn of a token), not ${handle}`)
  const place = placeOf(options)
  const start = startOf(options.from, clock)
  const catalogue = await catalogueOf(options)
  const topic = topicOf(catalogue, 'journey')
  const log = await openPlace(place, catalogue)
  try {
    const ends = await endsOf(log, topic)
    const wanted = (record: LogRecord): boolean => start(record, ends[record.partition]?.end ?? 0)
    const origins = new Origins(handle)
    await each(log, topic.name, ends, wanted, (event) => origins.take(event))
    if (origins.found.size === 0) throw unknown(handle)
    const events = new ChainEvents(origins.found)
    await each(log, topic.name, ends, wanted, (event) => events.take(event))
    const chains = events.chains()
    if (options.output === 'json') print(terminal, 'json', { json: { handle, chains }, head: [], rows: [] })
    else for (const one of chains) show(one, terminal)
    return EXIT.ok
  } finally {
    await log.close()
  }
}

async function each(
  log: EventLog,
  topic: string,
  ends: Ends,
  wanted: (record: LogRecord) => boolean,
  take: (event: JourneyEvent) => void,
): Promise<void> {
  for await (const record of merged(log, topic, ends)) {
    const event = wanted(record) ? readJourney(record.value, log.schemas) : null
    if (event !== null) take(event)
  }
}

const HEAD = ['Token', 'When', 'How', 'By', 'For', 'Scopes', 'Ended']

function show({ root, sub, tenant, session, family, transactions }: Chain, terminal: Terminal): void {
  const handles = [session, family, ...transactions].filter((one) => one !== null)
  terminal.say(`${sub ?? 'Somebody'}${tenant === null ? '' : ` in ${tenant}`}: ${handles.join(', ') || 'no session'}`)
  print(terminal, 'table', { json: null, head: HEAD, rows: rowsOf(root, 0) })
}

function rowsOf(
  { token, at, by, actor, audience, scopes, ended, refused, came }: ChainNode,
  depth: number,
): string[][] {
  const indent = (level: number): string => (level === 0 ? '' : `${'  '.repeat(level - 1)}└ `)
  const end = ended === null ? '' : `${moment(ended.at)} ${ended.cause ?? 'revocation'} (${ended.outcome})`
  return [
    [`${indent(depth)}${token}`, moment(at), by, actor ?? '', audience.join(' '), scopes.join(' '), end],
    ...refused.map((one) => [
      `${indent(depth + 1)}refused`,
      moment(one.at),
      one.action,
      one.actor,
      one.route ?? '',
      one.outcome,
      '',
    ]),
    ...came.flatMap((one) => rowsOf(one, depth + 1)),
  ]
}

function moment(at: number | null): string {
  return at === null ? '' : rfc3339(at)
}

function unknown(handle: string): OpsError {
  const publicMessage = `the journey tells of no token with ${handle}: it may be older than the topic keeps`
  return new OpsError({ code: 'OPS_CHAIN_UNKNOWN', retriable: false, publicMessage })
}
