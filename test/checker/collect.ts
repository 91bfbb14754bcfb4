/**
 * Reads the facts of a run from its topics. Envelopes and records are taken apart by what
 * `schemas/ENVELOPE.md` says, and signatures checked with the keys the run began with; no view, no
 * policy and no follower takes part.
 */
import { createHash } from 'node:crypto'
import { type KeyRing, verifyRecord } from '@countersign/envelope'
import type { EventLog, LogRecord } from '@countersign/event-log'
import {
  type Catalogue,
  checkpointCodec,
  decisionBatchCodec,
  ENVELOPE_HEADER,
  type EnvelopeClaims,
  envelopeClaimsCodec,
  epochClaimCodec,
  ORIGIN_HEADER,
  SIGNATURE_HEADER,
  type Signal,
  signalCodec,
  unframe,
} from '@countersign/schemas'
import type { DecisionFact, Facts, Produced, ProducedIdentity, SetAside, SignalFact } from './history.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function header(record: LogRecord, name: string): Uint8Array | undefined {
  const found = record.headers.filter(([n]) => n === name)
  return found.length === 1 ? found[0]?.[1] : undefined
}

/** Target key as `ENVELOPE.md` defines it. */
export function keyOf(target: Signal['target']): string {
  const hash = createHash('sha256').update('countersign.target.v1\0')
  for (const part of [target.kind, target.tenant, target.id]) {
    const bytes = Buffer.from(part)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hash.update(length).update(bytes)
  }
  return hash.digest('hex').slice(0, 32)
}

/** Claims of an envelope and its parents, self first; null when it is not one. Signatures are not judged here. */
export function claimsChain(bytes: Uint8Array | undefined): EnvelopeClaims[] | null {
  if (!bytes || bytes.length < 24) return null
  const buffer = Buffer.from(bytes)
  try {
    const claims = envelopeClaimsCodec.decode(buffer.subarray(24, 24 + buffer.readUInt16BE(20)))
    if (!claims.parent) return [claims]
    const parents = claimsChain(claims.parent)
    return parents && [claims, ...parents]
  } catch {
    return null
  }
}

/** What of a chain decides: own scopes and times, the targets of all, the lowest version of each. */
export function identityOf(chain: readonly EnvelopeClaims[]): ProducedIdentity {
  const [own] = chain as [EnvelopeClaims]
  const versions = new Map<string, number>()
  for (const claims of chain)
    for (const t of claims.tctx.targets) {
      const key = hex(t.key)
      versions.set(key, Math.min(versions.get(key) ?? t.version, t.version))
    }
  return {
    tenant: own.tctx.tenant,
    iat: own.iat,
    exp: own.exp,
    scopes: own.scope,
    scopeVersion: Math.min(...chain.map((c) => c.tctx.scope_version)),
    targets: [...versions].map(([key, version]) => ({ key, version })),
  }
}

async function* records(log: EventLog, topic: string, partition: number): AsyncIterable<LogRecord> {
  const { start, end } = await log.bounds(topic, partition)
  for await (const chunk of log.read({ topic, partition, from: start, to: end })) yield* chunk
}

/** Everything of a run that stands on topics. `rings` are the key rings that were in force, oldest first. */
export async function collect(
  log: EventLog,
  catalogue: Catalogue,
  rings: readonly KeyRing[],
): Promise<Pick<Facts, 'produced' | 'signals' | 'checkpoints' | 'decisions' | 'setAside'>> {
  const produced: Produced[] = []
  const setAside: SetAside[] = []
  const decisions: DecisionFact[] = []
  const signals: SignalFact[] = []
  const checkpoints: Facts['checkpoints'][number][] = []
  const signedBy = (
    record: LogRecord,
    name: 'Signal' | 'Checkpoint' | 'EpochClaim',
    use: 'signal' | 'checkpoint',
    body: Uint8Array,
  ): boolean =>
    rings.some((ring) => verifyRecord(name, body, header(record, SIGNATURE_HEADER), ring, use, record.timestamp).ok)

  let epoch = { epoch: 0, notary: '' }
  for (const entry of catalogue.entries) {
    for (let partition = 0; partition < entry.partitions; partition++) {
      for await (const record of records(log, entry.name, partition)) {
        const framed = unframe(record.value)
        const name = framed && log.schemas.schemaOf(framed.id)?.name
        if (entry.role === 'jobs') produced.push(producedFact(record))
        else if (entry.role === 'park' || entry.role === 'dead') {
          const origin = header(record, ORIGIN_HEADER)
          if (origin) setAside.push({ kind: entry.role, origin: Buffer.from(origin).toString() })
        } else if (entry.role === 'decisions' && framed) decisions.push(...decisionFacts(record, framed.body))
        else if (entry.role === 'signals' && framed) {
          if (name === 'countersign.Signal' && signedBy(record, 'Signal', 'signal', framed.body)) {
            const s = signalCodec.decode(framed.body)
            signals.push({
              offset: record.offset,
              id: hex(s.id),
              key: keyOf(s.target),
              effect: s.effect,
              fallback: s.fallback,
              floor: s.floor,
              at: record.timestamp,
            })
          } else if (name === 'countersign.EpochClaim' && signedBy(record, 'EpochClaim', 'checkpoint', framed.body)) {
            const claim = epochClaimCodec.decode(framed.body)
            if (claim.epoch > epoch.epoch) epoch = claim
          } else if (name === 'countersign.Checkpoint' && signedBy(record, 'Checkpoint', 'checkpoint', framed.body)) {
            const c = checkpointCodec.decode(framed.body)
            const last = checkpoints.at(-1)
            if (c.epoch !== epoch.epoch || c.notary !== epoch.notary || (last && c.sequence <= last.sequence)) continue
            checkpoints.push({
              offset: record.offset,
              covers: c.covers,
              horizon: c.horizon,
              digest: hex(c.digest),
              epoch: c.epoch,
              sequence: c.sequence,
              asOf: c.as_of,
            })
          }
        }
      }
    }
  }
  return { produced, signals, checkpoints, decisions, setAside }
}

function producedFact(record: LogRecord): Produced {
  const chain = claimsChain(header(record, ENVELOPE_HEADER))
  const { topic, partition, offset } = record
  return {
    topic,
    partition,
    offset,
    at: record.timestamp,
    eventId: chain?.[0] ? hex(chain[0].event.id) : null,
    identity: chain && identityOf(chain),
  }
}

function decisionFacts(record: LogRecord, body: Uint8Array): DecisionFact[] {
  const batch = decisionBatchCodec.decode(body)
  const shared = {
    consumer: batch.consumer,
    class: batch.job_class,
    phase: batch.phase,
    topic: batch.topic,
    partition: batch.partition,
    viewOffset: batch.view_offset,
    asOf: batch.as_of,
    at: record.timestamp,
  }
  const facts: DecisionFact[] = []
  let n = 0
  for (const range of batch.allowed)
    for (let offset = range.first; offset <= range.last; offset++, n++)
      facts.push({
        ...shared,
        offset,
        eventId: hex(batch.event_ids.subarray(16 * n, 16 * n + 16)),
        outcome: 'executed',
        reason: 'allowed',
        observed: false,
      })
  for (const e of batch.exceptions)
    facts.push({
      ...shared,
      offset: e.offset,
      eventId: e.event_id && hex(e.event_id),
      outcome: e.outcome,
      reason: e.reason,
      observed: e.observed,
    })
  return facts
}
