// Generated from schemas/avro and schemas/history by `npm run generate`; do not edit.

/** A signed statement of what a complete view must be. */
export interface Checkpoint {
  /** Log this checkpoint stands on. */
  readonly log_id: string
  /** Epoch of the notary. */
  readonly epoch: number
  /** Rises by one with each checkpoint of a log, across epochs. */
  readonly sequence: number
  /** Instance that signed. */
  readonly notary: string
  /** Offset of the checkpoint before this one; -1 for the first. */
  readonly covers: number
  /** When the covered checkpoint was sent; epoch milliseconds; 0 for the first. */
  readonly as_of: number
  /** When this one was sent; epoch milliseconds. */
  readonly sent_at: number
  /** Floors in the view at the covered offset, after its horizon was applied. */
  readonly count: number
  /** SHA-256 of the LtHash state of that view. */
  readonly digest: Sha256
  /** Floors below it are gone from here on; epoch milliseconds. */
  readonly horizon: number
  /** Trust bundle in force. */
  readonly bundle_version: number
  /** SHA-256 of the bundle record body. */
  readonly bundle_hash: Sha256
  /** Highest outbox sequence found at or below the covered offset. */
  readonly outbox_seq: number
  /** Since when the store could not be asked; null if it answered. */
  readonly store_unseen_since: null | number
}

export type Sha256 = Uint8Array

/** Decisions of one fetched batch. */
export interface DecisionBatch {
  /** Id of the batch. Since version 3 made of its content: the first 16 bytes of SHA-256 over `countersign.DecisionBatch.v3`, a zero byte and all that follows this field. */
  readonly id: Id16
  /** Consumer instance. */
  readonly consumer: string
  /** Job class. */
  readonly job_class: string
  /** Hash of the job class rules. */
  readonly rule_version: string
  /** Admitted before it may have effects, or final. */
  readonly phase: DecisionPhase
  /** Physical topic read. */
  readonly topic: string
  /** Logical topic. */
  readonly logical_topic: string
  /** Partition read. */
  readonly partition: number
  /** Log of the view. */
  readonly log_id: string
  /** Offset the view had reached. */
  readonly view_offset: number
  /** As-of of the view. */
  readonly as_of: number
  /** Trust bundle in force. */
  readonly bundle_version: number
  /** Epoch milliseconds. */
  readonly recorded_at: number
  /** What the job class does. */
  readonly action: string
  /** Phase admitted: admitted. Phase final: executed. */
  readonly allowed: readonly OffsetRange[]
  /** 16 bytes per allowed offset, in offset order. */
  readonly event_ids: Uint8Array
  /** Object acted upon per allowed offset, in order; empty when the class names none. */
  readonly objects: readonly string[]
  /** Everything that was not simply allowed. */
  readonly exceptions: readonly DecisionException[]
  /** Phase final: of events whose handler says what it commits, in offset order. */
  readonly effects: readonly CheckedEffects[]
  /** What each allowed event was judged by: before it was admitted, or, in phase final, before its handler was last called. In offset order. */
  readonly judged: readonly JudgedRun[]
}

export type Id16 = Uint8Array

export type DecisionPhase = 'admitted' | 'final'

/** Offsets allowed. */
export interface OffsetRange {
  /** First offset. */
  readonly first: number
  /** Last offset, included. */
  readonly last: number
}

/** One decision in full. */
export interface DecisionException {
  /** Offset. */
  readonly offset: number
  /** Event id; null when the envelope could not be read. */
  readonly event_id: null | Uint8Array
  /** Final outcome. */
  readonly outcome: Outcome
  /** Reason code. */
  readonly reason: string
  /** Rule that decided. */
  readonly rule: string
  /** Principal, when known. */
  readonly sub: null | string
  /** Transaction, when known. */
  readonly txn: null | string
  /** Object, when known. */
  readonly object: null | string
  /** Attempts made. */
  readonly attempts: number
  /** True when only observed: the rule would have decided so, the work ran. */
  readonly observed: boolean
  /** For people; no secret, no personal data. */
  readonly detail: null | string
  /** What this was decided by; null where no view was asked. */
  readonly judged: null | Judgement
}

export type Outcome = 'executed' | 'denied' | 'parked' | 'dead_lettered'

/** What a verdict was reached by. */
export interface Judgement {
  /** Offset the view had reached. */
  readonly view_offset: number
  /** As-of of the view. */
  readonly as_of: number
  /** Trust bundle in force; 0 for none. */
  readonly bundle_version: number
  /** Epoch milliseconds. */
  readonly at: number
  /** Age of the view, skew tolerance included; infinite while closed. */
  readonly age_ms: number
  /** For how long the notary could not ask the store; infinite while closed. */
  readonly store_unseen_ms: number
}

/** Effects of one event that its handler committed right after being judged again. */
export interface CheckedEffects {
  /** Offset. */
  readonly offset: number
  /** How many of its commits ended well. */
  readonly count: number
  /** Offset the view had reached when it allowed the last one. */
  readonly view_offset: number
  /** As-of of the view then. */
  readonly as_of: number
  /** Until when that verdict held, epoch milliseconds. */
  readonly not_after: number
  /** When the last one had been committed, epoch milliseconds; it may have been earlier. */
  readonly at: number
}

/** Allowed events that one state of the view allowed. */
export interface JudgedRun {
  /** First offset. */
  readonly first: number
  /** Last offset, included; offsets between that are not allowed are not meant. */
  readonly last: number
  /** When the first was judged, epoch milliseconds. */
  readonly since: number
  /** By what and when the last was; its ages are the greatest of all. */
  readonly by: Judgement
}

/** Identity claims of one job. */
export interface EnvelopeClaims {
  /** Transaction id, shared by all work of one origin. */
  readonly txn: string
  /** Opaque id of the principal the work is for. */
  readonly sub: string
  /** Audience of the logical topic. */
  readonly aud: string
  /** Scopes, sorted, distinct. */
  readonly scope: readonly string[]
  /** Workload that sealed it. */
  readonly req_wl: string
  /** Sealed at; epoch milliseconds. */
  readonly iat: number
  /** Not valid from; epoch milliseconds. */
  readonly exp: number
  /** Transaction context. */
  readonly tctx: TransactionContext
  /** Request context. */
  readonly rctx: RequestContext
  /** Event binding. */
  readonly event: EventBinding
  /** 0 at the boundary, one more for each derive; at most 3. */
  readonly depth: number
  /** Whole envelope of the parent; null at depth 0. */
  readonly parent: null | Uint8Array
  /** SHA-256 of each earlier envelope this step relies on, and of all they rely on; at most 8, distinct. */
  readonly relies_on: readonly Sha256[]
  /** Null for what a boundary or a derive made. */
  readonly succession: null | Succession
}

/** What does not change along the transaction. */
export interface TransactionContext {
  /** Tenant id. */
  readonly tenant: string
  /** Kind of principal. */
  readonly principal: PrincipalKind
  /** Who acts for `sub`, current actor first; empty when `sub` acts. */
  readonly act: readonly Actor[]
  /** Kind of credential consumed at the boundary. */
  readonly credential: CredentialKind
  /** Session handle. */
  readonly session: null | string
  /** Client id. */
  readonly client: null | string
  /** Device handle. */
  readonly device: null | string
  /** Everything whose ending ends this work. */
  readonly targets: readonly TargetVersion[]
  /** Version of the affiliation when the scopes were computed. */
  readonly scope_version: number
  /** A consumer must have reached it before it decides. */
  readonly position: LogPosition
}

export type PrincipalKind = 'user' | 'service' | 'webhook' | 'schedule' | 'system'

/** One actor. */
export interface Actor {
  /** Opaque id. */
  readonly sub: string
  /** Kind. */
  readonly principal: PrincipalKind
}

export type CredentialKind = 'session_cookie' | 'jwt' | 'opaque_token' | 'webhook_signature' | 'schedule_trigger' | 'system_event'

/** One target this work depends on. */
export interface TargetVersion {
  /** Kind of target. */
  readonly kind: TargetKind
  /** Target key, see ENVELOPE.md. */
  readonly key: Id16
  /** Version the credential was made under. */
  readonly version: number
}

export type TargetKind = 'tenant' | 'subject' | 'affiliation' | 'client' | 'device' | 'session' | 'family' | 'token' | 'transaction'

/** A position: log and offset. */
export interface LogPosition {
  /** Id of the log. */
  readonly log_id: string
  /** Offset of the record; -1 is before the first. */
  readonly offset: number
}

/** What the boundary saw. */
export interface RequestContext {
  /** Request id. */
  readonly request_id: null | string
  /** When the person authenticated; epoch milliseconds. */
  readonly auth_time: null | number
  /** Authentication strength. */
  readonly acr: null | string
  /** Authentication methods. */
  readonly amr: readonly string[]
  /** Source address as policy allows. */
  readonly ip: null | string
  /** User agent as policy allows. */
  readonly user_agent: null | string
  /** Device posture. */
  readonly posture: null | string
  /** Risk level. */
  readonly risk: null | string
}

/** The one event this envelope is for. */
export interface EventBinding {
  /** Logical topic. */
  readonly topic: string
  /** Record key; null when absent. */
  readonly key: null | Uint8Array
  /** Event id. */
  readonly id: Id16
  /** SHA-256 of the value bytes; null when the value is null. */
  readonly payload_sha256: null | Sha256
}

/** What identity says of an envelope that goes on for another. */
export interface Succession {
  /** Envelopes before it, since the boundary; at least 1. */
  readonly count: number
  /** When the boundary sealed the first; epoch milliseconds. */
  readonly begun_at: number
  /** SHA-256 of the envelope it goes on for. */
  readonly of: Sha256
}

/** First claim of an epoch in log order wins; renewed hourly by the winner. */
export interface EpochClaim {
  /** Log claimed. */
  readonly log_id: string
  /** Epoch claimed. */
  readonly epoch: number
  /** Claiming instance. */
  readonly notary: string
  /** Epoch milliseconds. */
  readonly claimed_at: number
  /** Log replaced and its last position; null for none. */
  readonly predecessor: null | LogPosition
}

/** Send one e-mail. */
export interface EmailSend {
  /** Invoice. */
  readonly invoice_id: string
  /** Template. */
  readonly template: string
  /** How long the example works. */
  readonly work_ms: number
}

/** Export one invoice. */
export interface InvoiceExport {
  /** Invoice. */
  readonly invoice_id: string
  /** csv or pdf. */
  readonly format: string
  /** How long the example works. */
  readonly work_ms: number
}

/** Pay one invoice. */
export interface PaymentRun {
  /** Invoice. */
  readonly invoice_id: string
  /** Amount. */
  readonly amount_cents: number
  /** ISO 4217. */
  readonly currency: string
  /** How long the example works. */
  readonly work_ms: number
}

/** Build one report. */
export interface ReportBuild {
  /** Period. */
  readonly period: string
  /** Invoice, empty for all. */
  readonly invoice_id: string
  /** How long the example works. */
  readonly work_ms: number
}

/** One step in the life of an identity, as a service of Countersign saw it. Names and handles only, never a secret. */
export interface JourneyEvent {
  /** Distinct id; an event appended twice has it twice. */
  readonly id: Id16
  /** Epoch milliseconds. */
  readonly at: number
  /** What happened. */
  readonly action: JourneyAction
  /** Who did it: a subject id, `operator:<name>`, `client:<id>`, `system:<part>` or `unknown`. */
  readonly actor: string
  /** Whose authority it is about. */
  readonly sub: null | string
  /** Tenant, null when it is about all of them. */
  readonly tenant: null | string
  /** Handle of the session. */
  readonly session: null | string
  /** Handle of the refresh family. */
  readonly family: null | string
  /** Handle of the token. */
  readonly token: null | string
  /** Handle of the token this one was exchanged for. */
  readonly parent: null | string
  /** Handle of the token a chain of exchanges began with, the same for all of the chain. */
  readonly origin: null | string
  /** Handle of the device. */
  readonly device: null | string
  /** Id of the client. */
  readonly client: null | string
  /** Audience of what was issued or asked about. */
  readonly audience: readonly string[]
  /** Scopes issued. */
  readonly scopes: readonly string[]
  /** Name of the ending path or of what led to it. */
  readonly cause: null | string
  /** What a signal was raised for. */
  readonly target: null | SignalTarget
  /** Effect of the signal, `reason:<name>` or `scope:<scope>`. */
  readonly effect: null | string
  /** Id of the revocation, as its answer names it. */
  readonly revocation: null | string
  /** `issued`, the state of an answer, or the code of what refused it. */
  readonly outcome: string
  /** Rule that decided, when one did. */
  readonly rule: null | string
  /** How long it took. */
  readonly latency_ms: number
  /** Request it was part of. */
  readonly request_id: null | string
  /** Trace it was part of, 32 hex digits (W3C Trace Context). */
  readonly trace_id: null | string
  /** Handle of the transaction (`txn` of a Txn-Token). */
  readonly txn: null | string
  /** Strength of the authentication it was about. */
  readonly acr: null | string
  /** Name of the route that was asked for. */
  readonly route: null | string
  /** Handles of all tokens it came of, the first of the chain first, `parent` last. */
  readonly lineage: readonly string[]
  /** Correlation id of the request; for people, decides nothing. */
  readonly correlation_id: null | string
}

export type JourneyAction = 'issuance' | 'refresh' | 'exchange' | 'revocation' | 'logout' | 'reuse' | 'login_failed' | 'reauthentication' | 'new_device' | 'impersonation' | 'introspection_denied' | 'client_refused' | 'administration' | 'other' | 'enforcement' | 'step_up' | 'factor'

/** What a signal hits. */
export interface SignalTarget {
  /** What is hit. */
  readonly kind: TargetKind
  /** Tenant id for tenant and affiliation, else empty. */
  readonly tenant: string
  /** Subject id, handle or client id; empty for tenant. */
  readonly id: string
}

/** Where one consumer is. */
export interface Progress {
  /** Consumer instance. */
  readonly consumer: string
  /** Log. */
  readonly log_id: string
  /** Offset reached. */
  readonly offset: number
  /** As-of. */
  readonly as_of: number
  /** Floors in the view. */
  readonly count: number
  /** Digest at the last checkpoint passed. */
  readonly digest: Sha256
  /** Largest staleness budget of its job classes. */
  readonly max_staleness_ms: number
  /** Epoch milliseconds. */
  readonly at: number
  /** State. */
  readonly state: ConsumerState
  /** Instance of the consumer, as its registration says: new at each start; zeros from versions that had none. */
  readonly instance: Id16
  /** Offset of the checkpoint the digest is of; -1 for none. */
  readonly digest_offset: number
  /** Signals since the last record, in order; of many, not all, but the last. */
  readonly applied: readonly AppliedSignal[]
  /** How many signals are left out of them. */
  readonly unlisted: number
}

export type ConsumerState = 'starting' | 'ready' | 'closed' | 'goodbye'

/** A signal that reached the view while it was followed. */
export interface AppliedSignal {
  /** On the log. */
  readonly offset: number
  /** When it was in the view, epoch milliseconds. */
  readonly at: number
}

/** A consumer that is about to take work, and what it takes it by. Signed by the key it names. */
export interface Registration {
  /** Name of the consumer in decisions; an instance at a time bears it. */
  readonly consumer: string
  /** First 16 bytes of the SHA-256 of its public key; new at each start. */
  readonly instance: Id16
  /** Raw Ed25519 public key that signs this record and its progress. */
  readonly public_key: Ed25519PublicKey
  /** Signature of a bundle key of use `progress` over public key and name, spelled as a signature header; empty when nobody vouches. */
  readonly voucher: Uint8Array
  /** Names of the signals logs it follows. */
  readonly logs: readonly string[]
  /** Job classes it decides by. */
  readonly classes: readonly RegisteredClass[]
  /** Largest staleness budget of its job classes. */
  readonly max_staleness_ms: number
  /** Skew tolerance it judges by. */
  readonly epsilon_ms: number
  /** Epoch milliseconds. */
  readonly at: number
}

export type Ed25519PublicKey = Uint8Array

/** A job class as it is in force in one consumer. */
export interface RegisteredClass {
  /** As in decisions. */
  readonly name: string
  /** Logical topic of its jobs. */
  readonly logical_topic: string
  /** As in decisions. */
  readonly rule_version: string
  /** Its rules as canonical JSON: what `rule_version` is the hash of. */
  readonly rules: string
}

/** The floor of this target, for this effect, is now at least `floor`. */
export interface Signal {
  /** Distinct id, chosen before the first attempt; retries reuse it. */
  readonly id: Id16
  /** Outbox sequence in the store of identity, from 1, rising. */
  readonly seq: number
  /** What is hit. */
  readonly target: SignalTarget
  /** `reason:<name>` or `scope:<scope>`. */
  readonly effect: string
  /** Known reason a reader applies when it does not know the effect. */
  readonly fallback: Reason
  /** Versions below it are hit; epoch milliseconds, also when it was raised. */
  readonly floor: number
  /** Name of the ending path, for people and coverage. */
  readonly cause: string
  /** Opaque id of who caused it. */
  readonly initiator: string
}

export type Reason = 'compromise' | 'token_reuse' | 'suspension' | 'offboarding' | 'password_reset' | 'admin' | 'role_change' | 'policy' | 'device_lost' | 'logout' | 'expiry' | 'limit'

/** Which keys may sign what, signed by the pinned root. */
export interface TrustBundle {
  /** Rises by one with each bundle. */
  readonly version: number
  /** The log that carries it. */
  readonly log_id: string
  /** Log it replaces and its last position. */
  readonly predecessor: null | LogPosition
  /** Epoch milliseconds. */
  readonly issued_at: number
  /** Epoch milliseconds. */
  readonly expires_at: number
  /** Longest life of a credential accepted without asking identity + longest workflow + longest envelope life + skew. */
  readonly window_ms: number
  /** Largest staleness budget of any consumer; a new key waits as long before it signs. */
  readonly max_staleness_ms: number
  /** Interval between checkpoints. */
  readonly checkpoint_interval_ms: number
  /** Keys in force. */
  readonly keys: readonly KeyGrant[]
}

/** What one key may sign. */
export interface KeyGrant {
  /** At most 64 bytes. */
  readonly key_id: string
  /** Raw Ed25519 public key. */
  readonly public_key: Ed25519PublicKey
  /** What it may sign. */
  readonly use: KeyUse
  /** Tenants it may sign for; a single `*` for all. */
  readonly tenants: readonly string[]
  /** Logical topics it may sign for; a single `*` for all. */
  readonly topics: readonly string[]
  /** Epoch milliseconds. */
  readonly not_before: number
  /** Epoch milliseconds. */
  readonly not_after: number
}

export type KeyUse = 'envelope' | 'derive' | 'signal' | 'checkpoint' | 'progress' | 'audit'
