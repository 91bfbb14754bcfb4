/**
 * What the checker is given: plain facts, read from topics and from what each process wrote down as
 * it happened. The checker imports nothing of the code it judges.
 */

/** Written by a consumer, in the order things happened to it. */
export type ConsumerEvent =
  | { type: 'applied'; consumer: string; at: number; offset: number; id: string }
  | {
      type: 'start'
      consumer: string
      class: string
      eventId: string
      attempt: number
      at: number
      asOf: number
      ageMs: number
      viewOffset: number
    }
  | {
      type: 'end'
      consumer: string
      class: string
      eventId: string
      attempt: number
      at: number
      outcome: 'done' | 'failed' | 'aborted'
    }
  /** Told by the handler itself, where it tells: it came to its end and threw nothing. */
  | { type: 'returned'; consumer: string; class: string; eventId: string; at: number }
  | { type: 'effect'; consumer: string; class: string; eventId: string; at: number; asOf: number }
  | { type: 'checkpoint'; consumer: string; at: number; offset: number; proven: boolean; digest: string }
  | { type: 'state'; consumer: string; at: number; state: 'starting' | 'ready' | 'closed' | 'stopped'; reason?: string }

/** One job record on its topic. `identity` is null when its envelope is not one. */
export interface Produced {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly at: number
  readonly eventId: string | null
  /** Hexadecimal; work of one key has an order. */
  readonly key: string | null
  /** Digest of key, value and headers, in any order of headers. */
  readonly content: string
  readonly identity: ProducedIdentity | null
}

/** A message whose sender knows that it may not run. */
export interface Flawed {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** What is wrong with it. */
  readonly flaw: string
}

/** The parts of an envelope chain that decide. Keys and ids are hexadecimal. */
export interface ProducedIdentity {
  readonly tenant: string
  readonly iat: number
  readonly exp: number
  readonly scopes: readonly string[]
  readonly scopeVersion: number
  /** A consumer must have reached it before it decides. */
  readonly position: { readonly logId: string; readonly offset: number }
  readonly targets: readonly { readonly key: string; readonly version: number }[]
}

/** One genuine signal on the signals log. */
export interface SignalFact {
  readonly offset: number
  readonly id: string
  readonly key: string
  readonly effect: string
  readonly fallback: string
  readonly floor: number
  readonly at: number
}

/** What the one who revoked was told, and when. */
export interface RevocationFact {
  readonly ids: readonly string[]
  readonly kind: string
  readonly state: 'acknowledged' | 'pending' | 'unknown' | 'refused'
  readonly offset: number | null
  /** When it was asked for; what was sent before is to be taken. */
  readonly askedAt: number
  readonly answeredAt: number
}

/** One outcome of one record, from the decisions topic, in log order. */
export interface DecisionFact {
  readonly consumer: string
  readonly class: string
  /** Id of the record; one that was appended twice has it twice. */
  readonly record: string
  /** Partition of the decisions topic it stands in. */
  readonly recordedIn: number
  readonly phase: 'admitted' | 'final'
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly eventId: string | null
  readonly outcome: 'executed' | 'denied' | 'parked' | 'dead_lettered'
  readonly reason: string
  readonly observed: boolean
  readonly viewOffset: number
  readonly asOf: number
  readonly at: number
}

/** The rules of a job class, as plain data. */
export interface ClassFact {
  readonly name: string
  readonly topic: string
  readonly scopes: readonly string[]
  readonly stalenessBudgetMs: number
  readonly observe: boolean
  /** `rechecked`: what it commits is judged by itself, and stands, whatever comes after. Default: any. */
  readonly effect?: string
  readonly inFlight: {
    readonly queued: Readonly<Record<string, 'finish' | 'stop'>>
    readonly running: Readonly<Record<string, 'finish' | 'stop'>>
  }
}

/** A copy on a park or dead-letter topic. */
export interface SetAside {
  readonly kind: 'park' | 'dead'
  readonly origin: string
  /** As of what was produced, without what the copy says of itself; null where the body was left behind as too large. */
  readonly content: string | null
}

/** One checkpoint of whoever held the epoch, in log order. */
export interface CheckpointFact {
  readonly logId: string
  /** Rises when the log was cut or recreated: offsets and sequences of two readings do not compare. */
  readonly reading: number
  readonly offset: number
  readonly covers: number
  readonly horizon: number
  readonly digest: string
  readonly epoch: number
  readonly sequence: number
  readonly asOf: number
  readonly sentAt: number
}

/** Everything one run left behind. */
export interface Facts {
  readonly produced: readonly Produced[]
  /** Null when senders did not say: then nothing rests on it. */
  readonly flawed: readonly Flawed[] | null
  /** Every genuine signal that ever stood on the log. */
  readonly signals: readonly SignalFact[]
  /** Checkpoints signed although the log had long lost a signal that they should have counted. */
  readonly unvouched: readonly string[]
  readonly checkpoints: readonly CheckpointFact[]
  readonly decisions: readonly DecisionFact[]
  readonly setAside: readonly SetAside[]
  readonly consumers: readonly ConsumerEvent[]
  readonly revocations: readonly RevocationFact[]
  readonly classes: readonly ClassFact[]
  readonly epsilonMs: number
}

/** One promise, judged. */
export interface Verdict {
  readonly id: string
  readonly promise: string
  readonly held: boolean
  readonly checked: number
  readonly violations: readonly string[]
}
