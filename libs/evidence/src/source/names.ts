/** The names by which evidence is found. Both adapters ask this, so that they find the same. */

import type { SchemaIds } from '@countersign/event-log'
import { targetKey } from '@countersign/revocation'
import { ORIGIN_HEADER, signalCodec, type TargetKind, unframe } from '@countersign/schemas'
import { correlationOf, traceOf } from '@countersign/telemetry'
import type { DecisionEvidence, Evidence, JobEvidence, JourneyEvidence, Place, SignalsEvidence } from './port.ts'

/** Targets whose id is a name by itself; the others need their tenant. */
const NAMED: readonly TargetKind[] = ['subject', 'client', 'device', 'session', 'family', 'token', 'transaction']
const LONGEST = 256

/** `topic/partition/offset`, the name of a place. */
export function placeName({ topic, partition, offset }: Omit<Place, 'at'>): string {
  return `${topic}/${partition}/${offset}`
}

/**
 * The spellings in which evidence may have a name: as it is, and as the key of a target of each kind, 32 hexadecimal
 * digits, which is all that an envelope says of a session, a token or a family.
 */
export function spellingsOf(name: string): readonly string[] {
  const keys = NAMED.map((kind) => hex(targetKey({ kind, tenant: '', id: name })))
  return [name, ...keys]
}

/**
 * Names of a piece of evidence, with repetitions:
 * - journey: event id, correlation, trace, transaction, request, revocation, handles, client, subject, actor, target;
 * - jobs: own place, origin, event id, correlation, trace, transaction, request, session, client, subject, actors, target keys;
 * - decisions: event ids, objects, subjects and transactions of exceptions, places of events that could not be read;
 * - signals: signal id, target, initiator. Progress has none.
 * Ids are hexadecimal. What is longer than 256 characters is no name.
 */
export function namesOf(evidence: Evidence, schemas: Pick<SchemaIds, 'schemaOf'>): string[] {
  return all(evidence, schemas).filter(
    (name): name is string => name !== null && name !== undefined && name !== '' && name.length <= LONGEST,
  )
}

function all(evidence: Evidence, schemas: Pick<SchemaIds, 'schemaOf'>): (string | null | undefined)[] {
  if (evidence.kind === 'journey') return ofJourney(evidence)
  if (evidence.kind === 'job') return ofJob(evidence)
  if (evidence.kind === 'decisions') return ofDecisions(evidence)
  return evidence.kind === 'signals' ? ofSignals(evidence, schemas) : []
}

function ofJourney({ event }: JourneyEvidence): (string | null | undefined)[] {
  const { correlation_id, trace_id, txn, request_id, revocation } = event
  const { session, family, token, parent, origin, device, client, sub, actor, target } = event
  const handles = [session, family, token, parent, origin, ...event.lineage, device]
  return [
    ...[hex(event.id), correlation_id, trace_id, txn, request_id, revocation],
    ...[...handles, client, sub, actor, target?.id],
  ]
}

function ofJob({ place, claims, headers }: JobEvidence): (string | null | undefined)[] {
  const record = Object.fromEntries(headers.map(([name, value]) => [name, value]))
  const origin = record[ORIGIN_HEADER]
  const outside = [
    placeName(place),
    origin && origin.length <= LONGEST ? Buffer.from(origin).toString() : null,
    correlationOf(record),
    traceOf(record)?.traceId,
  ]
  if (claims === null) return outside
  const { event, txn, sub, tctx, rctx } = claims
  const actors = tctx.act.map((actor) => actor.sub)
  // All work of a tenant depends on it; that is not a name of the work.
  const targets = tctx.targets.filter(({ kind }) => kind !== 'tenant').map(({ key }) => hex(key))
  return [...outside, hex(event.id), txn, sub, ...actors, tctx.session, tctx.client, rctx.request_id, ...targets]
}

const ID_BYTES = 16

function ofDecisions({ batch }: DecisionEvidence): (string | null | undefined)[] {
  const { event_ids: ids, topic, partition } = batch
  const names: (string | null | undefined)[] = [...batch.objects]
  for (let at = 0; at + ID_BYTES <= ids.length; at += ID_BYTES) names.push(hex(ids.subarray(at, at + ID_BYTES)))
  for (const { offset, event_id: id, sub, txn, object } of batch.exceptions) {
    names.push(id ? hex(id) : placeName({ topic, partition, offset }), sub, txn, object)
  }
  return names
}

function ofSignals({ record }: SignalsEvidence, schemas: Pick<SchemaIds, 'schemaOf'>): (string | null)[] {
  const framed = unframe(record.value)
  if (framed === undefined || schemas.schemaOf(framed.id)?.name !== signalCodec.name) return []
  try {
    const { id, target, initiator } = signalCodec.decode(framed.body)
    return [hex(id), target.id, target.tenant, initiator]
  } catch {
    return []
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
