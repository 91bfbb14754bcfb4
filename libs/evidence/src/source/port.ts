/**
 * Where answers come from: what stands on the topics, read from the log itself or from an archive of it. Both adapters pass
 * one contract suite, so whatever is asked of the one can be asked of the other. Invariant: payloads are not evidence. Of
 * a job there is what was signed and what was said about it, never what was in it.
 */
import type { Headers, LogRecord, SchemaIds } from '@countersign/event-log'
import type { DecisionBatch, EnvelopeClaims, JourneyEvent, TopicRole } from '@countersign/schemas'

/** Append times, epoch milliseconds: [from, to). @defaultValue all */
export interface Span {
  readonly from?: number
  readonly to?: number
}

/** How every question is asked. */
export interface Asked {
  /** Ends the answer, with {@link EVIDENCE_INTERRUPTED}; ask with a deadline: `AbortSignal.timeout(10_000)`. */
  readonly signal?: AbortSignal
}

/** Where a record stands, and since when. */
export interface Place {
  /** Physical. */
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** When the log appended it, epoch milliseconds. */
  readonly at: number
}

/** One step of the journey. */
export interface JourneyEvidence {
  readonly kind: 'journey'
  readonly place: Place
  readonly event: JourneyEvent
}

/** One record of decisions, whichever version it was written in. */
export interface DecisionEvidence {
  readonly kind: 'decisions'
  readonly place: Place
  readonly batch: DecisionBatch
  /** Version of the record as it stands. */
  readonly version: number
}

/** A job, or the parked or dead-lettered copy of one: everything but what was in it. */
export interface JobEvidence {
  readonly kind: 'job'
  readonly place: Place
  readonly role: Extract<TopicRole, 'jobs' | 'park' | 'dead'>
  /** Logical topic. */
  readonly logical: string
  /** The headers of Countersign and of W3C Trace Context, as they came: envelopes, correlation, trace, origin, reason. No others. */
  readonly headers: Headers
  /** What its one envelope says, unverified; null without one that can be read. Proving it is for whoever asks. */
  readonly claims: EnvelopeClaims | null
  /** SHA-256 of the record key; null for a null key. */
  readonly keySha256: Buffer | null
  /** SHA-256 of the record value as it stood, schema prefix included; null for a null value. */
  readonly valueSha256: Buffer | null
}

/** A record of a signals log: a signal, checkpoint, epoch claim or trust bundle, or something that is none of them. */
export interface SignalsEvidence {
  readonly kind: 'signals'
  readonly place: Place
  /** Name of the signals log. */
  readonly log: string
  /** As it stands, with its signature header and no other. */
  readonly record: LogRecord
}

/** A record of the progress topic: a progress or a registration, or something that is neither. */
export interface ProgressEvidence {
  readonly kind: 'progress'
  readonly place: Place
  /** As it stands, with its signature header and no other. */
  readonly record: LogRecord
}

export type Evidence = JourneyEvidence | DecisionEvidence | JobEvidence | SignalsEvidence | ProgressEvidence

/**
 * What can be asked. Every answer is oldest first within each partition, and ends: at what stood there when it was asked
 * for. What cannot be read as what its topic holds is left out of `journey` and `decisions`, and in the others as it stands.
 * All throw {@link EvidenceError}: `EVIDENCE_INTERRUPTED` when the signal ends them, `EVIDENCE_UNAVAILABLE` when the
 * log or archive does not answer.
 */
export interface EvidenceSource {
  /** Names of the schemas by the ids in the values. */
  readonly schemas: Pick<SchemaIds, 'schemaOf'>
  /** Up to when it is complete, epoch milliseconds: later records may be missing, earlier ones are not. 0: nothing is known. */
  asOf(asked?: Asked): Promise<number>
  journey(asked?: Span & Asked): AsyncIterable<JourneyEvidence>
  /** @param asked.partition of the decisions topic: that of an event is its own partition modulo the decision partitions. */
  decisions(asked?: Span & Asked & { readonly partition?: number }): AsyncIterable<DecisionEvidence>
  /** @param asked.logical only of this logical topic. @param asked.roles default all three. */
  jobs(
    asked?: Span & Asked & { readonly logical?: string; readonly roles?: readonly JobEvidence['role'][] },
  ): AsyncIterable<JobEvidence>
  /** @param asked.log name of the signals log; default all, one after the other. */
  signals(asked?: Span & Asked & { readonly log?: string }): AsyncIterable<SignalsEvidence>
  progress(asked?: Span & Asked): AsyncIterable<ProgressEvidence>
  /**
   * Everything that has this name, by role (journey, jobs, decisions, signals) and then oldest first within each partition.
   * Names: see `namesOf`. Cost: one look-up in an archive, a scan of all topics on a log.
   */
  find(name: string, asked?: Asked): AsyncIterable<Evidence>
  close(): Promise<void>
}
