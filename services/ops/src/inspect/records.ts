/** One record of any topic of the catalogue as plain facts. */

import { hash } from 'node:crypto'
import { headerOf, type KeyRing } from '@countersign/envelope'
import type { EventLog, LogRecord } from '@countersign/event-log'
import { Pasts } from '@countersign/evidence'
import { rfc3339 } from '@countersign/kernel'
import { type Catalogue, ENVELOPE_HEADER, SIGNATURE_HEADER, type TopicEntry, unframe } from '@countersign/schemas'
import { Describer, hexed } from '../described.ts'
import { TELLERS } from '../tellers.ts'
import { envelopeIn, proveEnvelope } from './envelopes.ts'

export interface RecordAsk {
  readonly log: EventLog
  readonly catalogue: Catalogue
  readonly rootKeys: readonly Buffer[]
  readonly entry: TopicEntry
  readonly partition: number
  readonly offset: number
}

const EPSILON_MS = 250
const BINARY: ReadonlySet<string> = new Set([ENVELOPE_HEADER, SIGNATURE_HEADER])

/** @returns null when nothing stands there. */
export async function describeRecord(ask: RecordAsk): Promise<Record<string, unknown> | null> {
  const { log, entry, partition, offset } = ask
  const record = await recordAt(log, entry.name, partition, offset)
  if (record === null) return null
  const { role } = entry
  const common = commonFacts(record, entry, log)
  if (role === 'signals') return { ...common, ...(await ofSignals(record, ask)) }
  if (role === 'jobs' || role === 'park' || role === 'dead') return { ...common, ...(await ofJob(record, ask)) }
  const told = TELLERS[role](record, log.schemas)
  return { ...common, ...(told === null ? { unreadable: true } : { kind: told.kind, ...told.data }) }
}

async function recordAt(log: EventLog, topic: string, partition: number, offset: number): Promise<LogRecord | null> {
  const { start, end } = await log.bounds(topic, partition)
  if (offset < start || offset >= end) return null
  for await (const chunk of log.read({ topic, partition, from: offset, to: offset + 1 })) {
    for (const record of chunk) if (record.offset === offset) return record
  }
  return null
}

function commonFacts(record: LogRecord, { role }: TopicEntry, { schemas }: EventLog): Record<string, unknown> {
  const { topic, partition, offset, timestamp, key, value, headers } = record
  const framed = unframe(value)
  const schema = framed && schemas.schemaOf(framed.id)
  return {
    place: `${topic}/${partition}/${offset}`,
    role,
    timestamp: rfc3339(timestamp),
    key: sumOf(key),
    value: { ...sumOf(value), schema: schema ? `${schema.name} v${schema.version}` : 'unknown' },
    headers: Object.fromEntries(headers.map(([name, bytes]) => [name, headerText(name, bytes)])),
  }
}

/** What it would be recognised by, and not what it is. */
function sumOf(bytes: Uint8Array | null): { readonly bytes: number; readonly sha256: string } | null {
  return bytes && { bytes: bytes.length, sha256: hash('sha256', bytes) }
}

function headerText(name: string, bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString()
  return BINARY.has(name) || !/^[\x20-\x7e]{0,512}$/.test(text) ? `${bytes.length} bytes` : text
}

/** Bundles take force as they pass: whether its signature held is only known from what stands before. */
async function ofSignals(record: LogRecord, { log, rootKeys, entry }: RecordAsk): Promise<object> {
  const describer = new Describer(log.schemas, rootKeys)
  if (rootKeys.length > 0) {
    const { start } = await log.bounds(entry.name)
    for await (const chunk of log.read({ topic: entry.name, from: start, to: record.offset })) {
      for (const earlier of chunk) describer.describe(earlier)
    }
  }
  const { kind, signature, summary, record: decoded } = describer.describe(record)
  return { kind, signature, summary, record: decoded }
}

async function ofJob(record: LogRecord, { log, catalogue, rootKeys, entry }: RecordAsk): Promise<object> {
  const found = headerOf(record.headers)
  if (!found.ok) return { envelope: found.code }
  const header = Buffer.from(found.bytes)
  const read = envelopeIn(header)
  if (read === null) return { envelope: 'envelope_malformed' }
  const rings = await ringsOf(log, catalogue, rootKeys)
  const { logical } = entry
  const audience = catalogue.jobTopic(logical)?.audience ?? ''
  const signature = proveEnvelope({ record, header, logical, audience, rings, epsilonMs: EPSILON_MS })
  const { keyId, claims } = read
  return { signature, envelope: { keyId, ...(hexed(claims) as object) } }
}

async function ringsOf(log: EventLog, catalogue: Catalogue, rootKeys: readonly Buffer[]): Promise<readonly KeyRing[]> {
  return rootKeys.length === 0 ? [] : (await Pasts.read(log, catalogue, rootKeys, EPSILON_MS)).rings
}
