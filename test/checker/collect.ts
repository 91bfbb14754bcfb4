/**
 * Reads the facts of a run from its topics. Envelopes and records are taken apart by what
 * `schemas/ENVELOPE.md` says, and signatures checked with the keys the run began with; no view, no
 * policy and no follower takes part.
 */
import { createHash } from 'node:crypto'
import { type KeyRing, verifyRecord } from '@countersign/envelope'
import type { EventLog, LogRecord, SchemaIds } from '@countersign/event-log'
import {
  type Catalogue,
  type Checkpoint,
  CLASS_HEADER,
  checkpointCodec,
  type DecisionBatch,
  ENVELOPE_HEADER,
  type EnvelopeClaims,
  envelopeClaimsCodec,
  envelopeClaimsV1Codec,
  epochClaimCodec,
  ORIGIN_HEADER,
  PARKED_AT_HEADER,
  REASON_HEADER,
  readDecisions,
  SIGNATURE_HEADER,
  type Signal,
  signalCodec,
  type TopicRole,
  unframe,
} from '@countersign/schemas'
import type {
  CheckpointFact,
  DecisionFact,
  Facts,
  Produced,
  ProducedIdentity,
  SetAside,
  SignalFact,
} from './history.ts'

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
function claimsChain(bytes: Uint8Array | undefined): EnvelopeClaims[] | null {
  if (!bytes || bytes.length < 24) return null
  const buffer = Buffer.from(bytes)
  try {
    const body = buffer.subarray(24, 24 + buffer.readUInt16BE(20))
    const claims = buffer.subarray(4, 12).equals(envelopeClaimsV1Codec.fingerprint)
      ? { ...envelopeClaimsV1Codec.decode(body), relies_on: [], succession: null }
      : envelopeClaimsCodec.decode(body)
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
    position: { logId: own.tctx.position.log_id, offset: own.tctx.position.offset },
    scopeVersion: Math.min(...chain.map((c) => c.tctx.scope_version)),
    targets: [...versions].map(([key, version]) => ({ key, version })),
  }
}

async function* records(log: EventLog, topic: string, partition: number): AsyncIterable<LogRecord> {
  const { start, end } = await log.bounds(topic, partition)
  for await (const chunk of log.read({ topic, partition, from: start, to: end })) yield* chunk
}

/** Offset of a signal that the log has once lost: from then on no position says that a view has read it. */
const LOST = Number.POSITIVE_INFINITY

/** How long a notary may take to notice that the log was cut, milliseconds. */
const NOTICE_MS = 5_000

/**
 * The signals log read record by record in log order: genuine signals, and the checkpoints of whoever held
 * the epoch. `rings` are all key rings that were ever in force.
 */
export class SignalsLedger {
  signals: readonly SignalFact[] = []
  readonly checkpoints: CheckpointFact[] = []
  readonly unvouched: string[] = []
  /** Signals the log has lost and not got again, with when that showed. */
  readonly #missing = new Map<string, { readonly floor: number; readonly since: number }>()
  readonly #schemas: SchemaIds
  readonly #rings: () => readonly KeyRing[]
  #last = -1
  #reading = 0
  #bundleVersion = 0
  #logId = ''
  #holders: { readonly offset: number; readonly log_id: string; readonly epoch: number; readonly notary: string }[] = []
  /** Those of `checkpoints` that the log still holds. */
  #chain: CheckpointFact[] = []

  constructor(schemas: SchemaIds, rings: () => readonly KeyRing[]) {
    this.#schemas = schemas
    this.#rings = rings
  }

  /** The record at this offset is gone: passing it tells a view nothing. */
  drop(offset: number): void {
    this.signals = this.signals.map((s) => (s.offset === offset ? { ...s, offset: LOST } : s))
  }

  add(record: LogRecord): void {
    if (record.offset <= this.#last) this.#reread(record)
    this.#last = record.offset
    const framed = unframe(record.value)
    const name = framed && this.#schemas.schemaOf(framed.id)?.name
    if (!framed || !name) return
    const { body } = framed
    if (name === 'countersign.TrustBundle') this.#adopt(body)
    else if (name === 'countersign.Signal' && this.#signed(record, 'Signal', 'signal', body)) this.#signal(record, body)
    else if (name === 'countersign.EpochClaim' && this.#signed(record, 'EpochClaim', 'checkpoint', body))
      this.#claim(record.offset, body)
    else if (name === 'countersign.Checkpoint' && this.#signed(record, 'Checkpoint', 'checkpoint', body))
      this.#checkpoint(record, body)
  }

  #signed(
    record: LogRecord,
    name: 'Signal' | 'Checkpoint' | 'EpochClaim',
    use: 'signal' | 'checkpoint',
    body: Uint8Array,
  ): boolean {
    const signature = header(record, SIGNATURE_HEADER)
    return this.#rings().some((ring) => verifyRecord(name, body, signature, ring, use, record.timestamp).ok)
  }

  /** The first time a signal stands on the log counts; later copies take nothing more away. */
  #signal({ offset, timestamp: at }: LogRecord, body: Uint8Array): void {
    const { id, target, effect, fallback, floor } = signalCodec.decode(body)
    this.#missing.delete(hex(id))
    if (this.signals.some((s) => s.id === hex(id))) return
    this.signals = [...this.signals, { offset, id: hex(id), key: keyOf(target), effect, fallback, floor, at }]
  }

  /** Only bundles the root has signed are among the rings; one of a log that was left says nothing. */
  #adopt(body: Uint8Array): void {
    const hash = createHash('sha256').update(body).digest()
    const bundle = this.#rings().find((ring) => ring.hash.equals(hash))?.bundle
    if (!bundle || bundle.version < this.#bundleVersion) return
    const follows = bundle.log_id === this.#logId || bundle.predecessor?.log_id === this.#logId
    if (this.#logId !== '' && !follows) return
    // A successor log begins with what is still pending for it.
    if (this.#logId !== bundle.log_id) this.#missing.clear()
    this.#logId = bundle.log_id
    this.#bundleVersion = bundle.version
  }

  /** The log was cut or recreated: what stood from here on is no longer part of it. */
  #reread({ offset, timestamp }: LogRecord): void {
    this.#reading++
    for (const { id, floor, offset: at } of this.signals)
      if (at >= offset && at !== LOST) this.#missing.set(id, { floor, since: timestamp })
    this.signals = this.signals.map((s) => (s.offset < offset ? s : { ...s, offset: LOST }))
    this.#holders = this.#holders.filter((held) => held.offset < offset)
    this.#chain = this.#chain.filter((c) => c.offset < offset)
  }

  #claim(offset: number, body: Uint8Array): void {
    const claim = epochClaimCodec.decode(body)
    const held = this.#holders.at(-1)
    if (claim.log_id !== this.#logId) return
    if (claim.log_id !== held?.log_id || claim.epoch > held.epoch)
      this.#holders.push({ offset, log_id: claim.log_id, epoch: claim.epoch, notary: claim.notary })
  }

  /** A notary may not have seen a loss of the last moments; an older one it must have found. */
  #vouch({ log_id, sequence, horizon, sent_at }: Checkpoint, offset: number): void {
    if (log_id !== this.#logId) return
    const lacking = [...this.#missing].filter(([, m]) => m.floor >= horizon && m.since + NOTICE_MS < sent_at)
    if (lacking.length > 0)
      this.unvouched.push(`checkpoint ${sequence} at ${offset} was signed without ${lacking.map(([id]) => id)}`)
  }

  #checkpoint(record: LogRecord, body: Uint8Array): void {
    const c = checkpointCodec.decode(body)
    this.#vouch(c, record.offset)
    const held = this.#holders.at(-1)
    const last = this.#chain.findLast((other) => other.logId === c.log_id)
    if (c.log_id !== held?.log_id || c.epoch !== held.epoch || c.notary !== held.notary) return
    if (c.bundle_version !== this.#bundleVersion) return
    if (last && (c.sequence !== last.sequence + 1 || c.covers !== last.offset)) return
    const fact: CheckpointFact = {
      logId: c.log_id,
      reading: this.#reading,
      offset: record.offset,
      covers: c.covers,
      horizon: c.horizon,
      digest: hex(c.digest),
      epoch: c.epoch,
      sequence: c.sequence,
      asOf: c.as_of,
      sentAt: c.sent_at,
    }
    this.#chain.push(fact)
    this.checkpoints.push(fact)
  }
}

/** Takes the records of a run, each topic partition in log order, and keeps the facts they tell. */
export class Collector {
  readonly produced: Produced[] = []
  readonly decisions: DecisionFact[] = []
  readonly setAside: SetAside[] = []
  readonly ledger: SignalsLedger
  readonly #schemas: SchemaIds

  constructor(schemas: SchemaIds, rings: () => readonly KeyRing[]) {
    this.#schemas = schemas
    this.ledger = new SignalsLedger(schemas, rings)
  }

  /** @param role of the topic it stands on. */
  add(role: TopicRole, record: LogRecord): void {
    if (role === 'jobs') this.produced.push(producedFact(record))
    else if (role === 'signals') this.ledger.add(record)
    else if (role === 'park' || role === 'dead') {
      const origin = header(record, ORIGIN_HEADER)
      if (origin) this.setAside.push(setAsideFact(role, Buffer.from(origin).toString(), record))
    } else if (role === 'decisions') {
      const batch = readDecisions(record.value, this.#schemas)
      if (batch) this.decisions.push(...decisionFacts(record, batch))
    }
  }
}

/** Everything of a run that stands on topics. */
export async function collect(
  log: EventLog,
  catalogue: Catalogue,
  rings: readonly KeyRing[],
): Promise<Pick<Facts, 'produced' | 'signals' | 'unvouched' | 'checkpoints' | 'decisions' | 'setAside'>> {
  const found = new Collector(log.schemas, () => rings)
  for (const { name, role, partitions } of catalogue.entries) {
    for (let partition = 0; partition < partitions; partition++) {
      for await (const record of records(log, name, partition)) found.add(role, record)
    }
  }
  const { produced, decisions, setAside, ledger } = found
  const { signals, unvouched, checkpoints } = ledger
  return { produced, signals, unvouched, checkpoints, decisions, setAside }
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
    key: record.key && hex(record.key),
    content: contentOf(record),
    identity: chain && identityOf(chain),
  }
}

function setAsideFact(kind: SetAside['kind'], origin: string, record: LogRecord): SetAside {
  const { key, value } = record
  return { kind, origin, content: key === null && value === null ? null : contentOf(record) }
}

const OF_THE_COPY: ReadonlySet<string> = new Set([ORIGIN_HEADER, REASON_HEADER, PARKED_AT_HEADER, CLASS_HEADER])

function contentOf({ key, value, headers }: LogRecord): string {
  const part = (bytes: Uint8Array | null): string => (bytes === null ? 'null' : hex(bytes))
  const kept = headers.filter(([name]) => !OF_THE_COPY.has(name)).map(([name, bytes]) => `${name}=${hex(bytes)}`)
  return createHash('sha256')
    .update([part(key), part(value), ...kept.sort()].join('\n'))
    .digest('hex')
    .slice(0, 32)
}

function decisionFacts(record: LogRecord, batch: DecisionBatch): DecisionFact[] {
  const shared = {
    consumer: batch.consumer,
    class: batch.job_class,
    record: hex(batch.id),
    recordedIn: record.partition,
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
