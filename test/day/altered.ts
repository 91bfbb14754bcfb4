/** A byte of what decisions rest on, altered: of envelope, record key, payload, signals, rules or the record of the decision itself. */

import type { EventLog, LogRecord } from '@countersign/event-log'
import {
  allDecided,
  type Decided,
  type ExplainedDecision,
  explainDecided,
  type JobEvidence,
  logSource,
} from '@countersign/evidence'
import type { SeededRandom } from '@countersign/kernel/testing'
import { ENVELOPE_HEADER, exampleCatalogue, readTold, signalCodec, unframe } from '@countersign/schemas'

type Alter = (record: LogRecord) => LogRecord

/**
 * Alters one byte, chosen by seed, of each input in turn, and makes the decisions again.
 * @returns a line for each decision that came out the same with nothing named.
 */
export async function unnoticed(
  log: EventLog,
  rootKeys: readonly Uint8Array[],
  chosen: ReadonlySet<Decided>,
  random: SeededRandom,
): Promise<string[]> {
  const about = new Set([...chosen].map(aboutName))
  const records = new Set([...chosen].map(({ evidence }) => nameOf(evidence.place)))
  const isJob = (record: LogRecord): boolean => about.has(nameOf(record))
  const isRecord = (record: LogRecord): boolean => records.has(nameOf(record))
  const flip = (bytes: Uint8Array, from = 0, to = bytes.length): Buffer => {
    const copy = Buffer.from(bytes)
    const at = from + random.below(to - from)
    copy[at] = (copy[at] as number) ^ (1 << random.below(8))
    return copy
  }
  const inputs: Readonly<Record<string, Alter>> = {
    envelope: (record) =>
      isJob(record)
        ? {
            ...record,
            headers: record.headers.map(([name, value]) => [name, name === ENVELOPE_HEADER ? flip(value) : value]),
          }
        : record,
    key: (record) => (isJob(record) && record.key?.length ? { ...record, key: flip(record.key) } : record),
    payload: (record) => (isJob(record) && record.value ? { ...record, value: flip(record.value) } : record),
    signals: (record) => (isSignal(record, log) ? { ...record, value: flip(record.value as Buffer, 5) } : record),
    rules: (record) => {
      let bent = record
      for (const [from, to] of rulesIn(record, log)) bent = { ...bent, value: flip(bent.value as Buffer, from, to) }
      return bent
    },
    record: (record) => (isRecord(record) ? { ...record, value: flip(record.value as Buffer) } : record),
  }
  const missed: string[] = []
  for (const [input, alter] of Object.entries(inputs))
    missed.push(...(await notNoticed(log, rootKeys, chosen, input, alter)))
  return missed
}

async function notNoticed(
  log: EventLog,
  rootKeys: readonly Uint8Array[],
  chosen: ReadonlySet<Decided>,
  input: string,
  alter: Alter,
): Promise<string[]> {
  const source = logSource(alteredLog(log, alter), exampleCatalogue)
  const wanted = new Map([...chosen].map((one) => [`${nameOf(one.evidence.place)} ${one.offset}`, one]))
  const left = new Map<string, Decided>()
  for await (const evidence of source.decisions()) {
    for (const one of allDecided(evidence)) {
      const name = `${nameOf(evidence.place)} ${one.offset}`
      const was = wanted.get(name)
      if (was !== undefined && aboutName(was) === aboutName(one)) left.set(name, one)
    }
  }
  const jobs: JobEvidence[] = []
  const about = new Set([...left.values()].map(aboutName))
  for await (const job of source.jobs()) if (about.has(nameOf(job.place))) jobs.push(job)
  const decided = Map.groupBy(left.values(), aboutName)
  const { decisions } = await explainDecided(source, { jobs, decided }, null, { catalogue: exampleCatalogue, rootKeys })
  return decisions
    .filter((one) => one.verdict === 'reproduced' && one.named.length === 0 && restsOn(input, one, jobs))
    .map(({ record, place }) => `${record} about ${nameOf(place)}: a byte of the ${input} altered, and nothing noticed`)
}

/** A job without a key or an envelope has no byte of it to alter; what was allowed rests on signals that are not there. */
function restsOn(input: string, { place, recorded }: ExplainedDecision, jobs: readonly JobEvidence[]): boolean {
  const job = jobs.find((one) => nameOf(one.place) === nameOf(place))
  if (input === 'key') return job?.keySha256 !== null
  if (input === 'envelope') return job?.headers.some(([header]) => header === ENVELOPE_HEADER) === true
  return input !== 'signals' || recorded.reason.includes('revoked')
}

function alteredLog(log: EventLog, alter: Alter): EventLog {
  const read: EventLog['read'] = async function* (range) {
    for await (const chunk of log.read(range)) yield chunk.map(alter)
  }
  return {
    schemas: log.schemas,
    bounds: (topic: string, partition?: number) => log.bounds(topic, partition),
    read,
  } as EventLog
}

function isSignal({ value }: LogRecord, log: EventLog): boolean {
  const framed = unframe(value)
  return framed !== undefined && log.schemas.schemaOf(framed.id)?.name === signalCodec.name
}

/** Where the rules of each class stand in a registration; none in any other record. */
function rulesIn({ topic, value }: LogRecord, log: EventLog): [number, number][] {
  const told = topic === 'countersign.progress.v1' ? readTold(value, log.schemas) : null
  if (told?.kind !== 'Registration') return []
  return told.registration.classes.map(({ rules }) => {
    const from = (value as Buffer).indexOf(rules)
    return [from, from + rules.length]
  })
}

export function aboutName({ evidence: { batch }, offset }: Decided): string {
  return nameOf({ topic: batch.topic, partition: batch.partition, offset })
}

export function nameOf({ topic, partition, offset }: { topic: string; partition: number; offset: number }): string {
  return `${topic}/${partition}/${offset}`
}
