/**
 * Work that starts further work: jobs for the next actor, sealed by this consumer, each of which proves the work it came
 * from. Invariant: nothing is derived of work that is not allowed at that moment, and nothing that it does not have itself.
 */
import { createHash } from 'node:crypto'
import {
  derive,
  EnvelopeError,
  envelopeHash,
  evidenceOf,
  joinEvidence,
  type OpenedEnvelope,
  packEvidence,
  type SigningKey,
  seal,
} from '@countersign/envelope'
import type { Appended, EventLog, NewRecord } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import type { JobClassRules } from '@countersign/policy'
import {
  type Catalogue,
  ENVELOPE_HEADER,
  type EnvelopeClaims,
  frame,
  type JobTopicNames,
  RELIES_ON_HEADER,
} from '@countersign/schemas'
import { carriedHeaders, correlationOf, sendSpan } from '@countersign/telemetry'
import { type ConsumerView, viewOfTenant } from './consumer-view.ts'
import type { Derived, DerivedJob, DerivingOptions, JobDeriver } from './derived-job.ts'
import { deriveRefused, EnforcerError, nameOf, workOver } from './errors.ts'
import type { Item } from './item.ts'
import type { Run } from './running.ts'
import { successorOf } from './successors.ts'

/** What sealing and sending takes of the enforcer's options. */
export interface DeriverParts {
  readonly replica: ConsumerView
  readonly log: Pick<EventLog, 'append' | 'schemas'>
  readonly catalogue: Catalogue
  readonly clock: Clock
  readonly epsilonMs?: number
}

interface Pending {
  readonly claims: EnvelopeClaims
  readonly evidence: readonly Buffer[]
  readonly record: Pick<NewRecord, 'key' | 'value' | 'headers'>
  resolve(at: Appended, envelope: Buffer): void
  reject(error: unknown): void
}

/** Seals and sends what is derived; one for a consumer. */
export class Deriver implements JobDeriver {
  readonly #options: DeriverParts
  readonly #deriving: DerivingOptions
  readonly #queues = new Map<string, Pending[]>()

  constructor(options: DeriverParts, deriving: DerivingOptions) {
    this.#options = options
    this.#deriving = deriving
  }

  async derive(item: Item, run: Run, job: DerivedJob, nth: number): Promise<Derived> {
    const names = this.#options.catalogue.jobTopic(job.topic)
    if (!names) throw invalid(`no job topic ${job.topic} in the catalogue`)
    const value = this.#encoded(names, job.value)
    this.#allowed(item, run)
    const parent = await this.#parentOf(item)
    // Asking may have taken a while.
    const scopes = this.#allowed(item, run)
    const { claims: from } = parent.opened
    const view = this.#viewThatKnowsKey(from, job.topic)
    const own = evidenceOf(item.message.headers) ?? []
    const evidence = this.#evidence(from.relies_on.length === 0 ? [] : own, job)
    const eventId =
      job.eventId === undefined ? derivedId(item, run.judge.rules, job.topic, nth) : Buffer.from(job.eventId)
    if (eventId.length !== 16) throw invalid('an event id has 16 bytes')
    const key = job.key === undefined || job.key === null ? null : Buffer.from(job.key as Uint8Array)
    const { workload, actor = { sub: workload, principal: 'service' }, maxLifeMs } = this.#deriving
    const iat = Math.max(this.#options.clock.now(), from.iat)
    const life = Math.max(
      1,
      Math.min(job.expiresInMs ?? Number.POSITIVE_INFINITY, maxLifeMs ?? Number.POSITIVE_INFINITY),
    )
    const reached = view.position()
    const { position } = from.tctx
    const scope = job.scope ?? scopes
    if (!scope.every((one) => scopes.includes(one))) throw invalid('a derived job has no scope this work has not')
    const claims = asInvalid(() =>
      derive(
        { header: parent.header, envelope: parent.opened },
        {
          aud: names.audience,
          scope,
          iat,
          exp: Math.min(from.exp, iat + life),
          reqWl: workload,
          actor,
          event: { topic: job.topic, key, id: eventId, payload_sha256: createHash('sha256').update(value).digest() },
          position: reached.log_id === position.log_id && reached.offset > position.offset ? reached : position,
          reliesOn: evidence.map(envelopeHash),
        },
      ),
    )
    const correlationId = correlationOf(item.message.headers)
    const span = sendSpan({ topic: names.name, eventId, tenant: claims.tctx.tenant, txn: claims.txn, correlationId })
    return new Promise((resolve, reject) => {
      this.#add(names.name, {
        claims,
        evidence,
        record: { key, value, headers: carriedHeaders(item.message.headers, span?.trace) },
        resolve: (at, envelope) => {
          span?.end()
          resolve({ ...at, eventId, evidence: () => packEvidence([envelope, ...evidence]) })
        },
        reject(error) {
          span?.end(nameOf(error) ?? 'unknown')
          reject(error)
        },
      })
    })
  }

  #encoded(names: JobTopicNames, value: unknown): Buffer {
    const { catalogue, log } = this.#options
    const codec = catalogue.payloadCodec(names.schema)
    if (!codec) throw invalid(`no payload of ${names.name} in the catalogue`)
    try {
      return frame(log.schemas.idOf(names.schema), codec.encode(value))
    } catch (cause) {
      // The codec names the place, never the value.
      throw cause instanceof TypeError ? invalid(cause.message) : cause
    }
  }

  /** @returns the scopes left. @throws why nothing may be derived of this work now. */
  #allowed({ opened }: Item, run: Run): readonly string[] {
    if (run.over) throw workOver()
    if (run.ended) throw run.signal.reason
    if (opened === null) throw deriveRefused('envelope_missing', false)
    const decision = run.judge.decide(run.judged, 'running')
    if (decision.outcome === 'allow') return decision.scopes
    if (run.judge.rules.observe) return opened.scopes
    throw deriveRefused(decision.reason, decision.outcome !== 'deny')
  }

  /** What it is derived from: the work's envelope, or the successor of one that is over. */
  async #parentOf(item: Item): Promise<{ readonly header: Uint8Array; readonly opened: OpenedEnvelope }> {
    const { header, opened } = item
    if (header === null || opened === null) throw deriveRefused('envelope_missing', false)
    const { clock } = this.#options
    if (opened.claims.exp > clock.now()) return { header, opened }
    const { successors } = this.#deriving
    if (!successors) throw deriveRefused('envelope_expired', false)
    return successorOf(item, { header, opened }, successors, this.#options)
  }

  /** A key signs for others once it has been known for longer than any of them may be behind. */
  #viewThatKnowsKey({ tctx: { tenant } }: EnvelopeClaims, topic: string): Pick<ConsumerView, 'position'> {
    const { replica, clock } = this.#options
    const view = viewOfTenant(replica, tenant)
    const ring = view.ring()
    const key = ring?.key(this.#deriving.key.keyId)
    const now = clock.now()
    if (!ring || !key || (key.grant.use !== 'derive' && key.grant.use !== 'envelope')) {
      throw deriveRefused('key_not_in_force', true)
    }
    const { not_before: notBefore, not_after: notAfter } = key.grant
    const { version, issued_at: issuedAt, max_staleness_ms: budgetMs } = ring.bundle
    const known = version === 1 || now - Math.min(notBefore, issuedAt) >= budgetMs
    if (now < notBefore || now >= notAfter || !known) throw deriveRefused('key_not_in_force', true)
    if (!key.signsTenant(tenant) || !key.signsTopic(topic)) throw deriveRefused('key_not_granted', false)
    return view
  }

  #evidence(own: readonly Buffer[], { reliesOn = [] }: DerivedJob): readonly Buffer[] {
    if (reliesOn.length === 0) return own
    return asInvalid(() => joinEvidence([...(own.length === 0 ? [] : [packEvidence(own)]), ...reliesOn]))
  }

  /** Those of one tick and topic share a signature and an append. */
  #add(topic: string, pending: Pending): void {
    const queue = this.#queues.get(topic)
    if (queue) {
      queue.push(pending)
      return
    }
    const batch = [pending]
    this.#queues.set(topic, batch)
    queueMicrotask(() => {
      this.#queues.delete(topic)
      void this.#send(topic, batch)
    })
  }

  async #send(topic: string, batch: readonly Pending[]): Promise<void> {
    const sealed = sealEach(batch, this.#deriving.key)
    if (sealed.length === 0) return
    try {
      const records = sealed.map(([{ record, evidence }, envelope]) => recordOf(record, envelope, evidence))
      const appended = await this.#options.log.append(topic, records)
      for (const [i, [pending, envelope]] of sealed.entries()) pending.resolve(appended[i] as Appended, envelope)
    } catch (error) {
      for (const [pending] of sealed) pending.reject(error)
    }
  }
}

/** Seals together; when that fails because of one, seals each alone, so that only that one fails. */
function sealEach(batch: readonly Pending[], key: SigningKey): (readonly [Pending, Buffer])[] {
  try {
    const envelopes = seal(
      batch.map(({ claims }) => claims),
      key,
    )
    return batch.map((pending, i) => [pending, envelopes[i] as Buffer] as const)
  } catch (error) {
    const [only] = batch
    if (only && batch.length === 1) {
      only.reject(error instanceof EnvelopeError ? invalid(error.message) : error)
      return []
    }
    return batch.flatMap((one) => sealEach([one], key))
  }
}

function recordOf(record: Pending['record'], envelope: Buffer, evidence: readonly Buffer[]): NewRecord {
  const beside = evidence.length === 0 ? [] : [[RELIES_ON_HEADER, packEvidence(evidence)] as const]
  return { ...record, headers: [[ENVELOPE_HEADER, envelope], ...beside, ...record.headers] }
}

/** Of the class as well: several may work on one event, each under its own rules. */
function derivedId(item: Item, { name }: JobClassRules, topic: string, nth: number): Buffer {
  const made = createHash('sha256').update('countersign.derived.v1\0').update(item.workId)
  return made.update(`${nth}:${name}:${topic}`).digest().subarray(0, 16)
}

function asInvalid<T>(fn: () => T): T {
  try {
    return fn()
  } catch (error) {
    throw error instanceof EnvelopeError ? invalid(error.message, error) : error
  }
}

function invalid(publicMessage: string, cause?: unknown): EnforcerError {
  return new EnforcerError({ code: 'ENFORCER_DERIVE_INVALID', retriable: false, publicMessage, cause })
}

/** For `work.derive` of a consumer that has no key for it. */
export function notDeriving({ name }: JobClassRules): EnforcerError {
  return invalid(`the consumer of class ${name} has no key to derive with: give the enforcer \`deriving\``)
}
