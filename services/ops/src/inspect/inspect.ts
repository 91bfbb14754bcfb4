/** `inspect`: what stands at one place, or what one envelope says, decoded and checked. Payloads are summed, never shown. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { catalogueOf, type LogOptions, openPlace, placeOf, rootKeysOf } from '../connection.ts'
import { hexed } from '../described.ts'
import { OpsError, wrongArgument } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { print, type Terminal } from '../terminal.ts'
import { envelopeIn } from './envelopes.ts'
import { describeRecord } from './records.ts'

export interface InspectOptions extends LogOptions {
  rootKey?: string[]
  rootKeyFile?: string[]
}

const MOST_BYTES = 1024 * 1024
const PLACE = /^([\w.-]+)\/(\d{1,6})\/(\d{1,15})$/

/** @param what `topic/partition/offset`, an envelope in base64 or hex, or a file with one. */
export async function inspect(what: string, options: InspectOptions, terminal: Terminal): Promise<ExitCode> {
  const [, topic, partition, offset] = PLACE.exec(what) ?? []
  const facts =
    topic === undefined
      ? ofEnvelope(what)
      : await ofPlace({ topic, partition: Number(partition), offset: Number(offset) }, options, terminal)
  const rows = Object.entries(facts).flatMap(([name, value]) => rowsOf(name, value))
  print(terminal, options.output, { json: facts, head: ['field', 'value'], rows })
  return EXIT.ok
}

function ofEnvelope(what: string): Readonly<Record<string, unknown>> {
  // A folder, a device or a disk image is no header.
  const file = existsSync(what) ? statSync(what) : null
  const bytes = file?.isFile() && file.size <= MOST_BYTES ? readFileSync(what) : null
  const found = envelopeIn(bytes ?? what)
  if (found !== null) return { signature: 'unchecked', ...(hexed(found) as object) }
  throw wrongArgument(
    'name a place, topic/partition/offset, or an envelope in base64 or hex, or a file with one; this is none of them',
  )
}

interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** @throws {OPS_RECORD_GONE} when nothing stands there. */
async function ofPlace(wanted: Wanted, options: InspectOptions, terminal: Terminal): Promise<Record<string, unknown>> {
  const place = placeOf(options)
  const rootKeys = rootKeysOf(options)
  const catalogue = await catalogueOf(options)
  const entry =
    catalogue.byName(wanted.topic) ??
    catalogue.entries.find(({ logical, role }) => logical === wanted.topic && role !== 'park' && role !== 'dead')
  if (entry === undefined) {
    const names = catalogue.entries.map(({ name }) => name)
    throw wrongArgument(`the topic is one of ${names.join(', ')}, not ${wanted.topic}`)
  }
  if (wanted.partition >= entry.partitions) {
    throw wrongArgument(`${entry.name} has partitions 0 to ${entry.partitions - 1}, not ${wanted.partition}`)
  }
  if (rootKeys.length === 0) terminal.say('No root key was given: signatures are not checked.')
  const log = await openPlace(place, catalogue)
  try {
    const found = await describeRecord({ log, catalogue, rootKeys, entry, ...wanted })
    if (found !== null) return found
    const { start, end } = await log.bounds(entry.name, wanted.partition)
    const publicMessage = `nothing stands at ${entry.name}/${wanted.partition}/${wanted.offset}: it holds [${start}, ${end})`
    throw new OpsError({ code: 'OPS_RECORD_GONE', retriable: false, publicMessage })
  } finally {
    await log.close()
  }
}

/** One row a fact; of a record, one a member. */
function rowsOf(name: string, value: unknown): string[][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[name, textOf(value)]]
  return Object.entries(value).map(([member, inner]) => [`${name}.${member}`, textOf(inner)])
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
