/** What a handler is given. Identity is plain data: no credential, nothing that could be presented anywhere. */
import type { OpenedEnvelope } from '@countersign/envelope'
import type { Actor, CredentialKind, PrincipalKind } from '@countersign/schemas'
import type { TraceContext } from '@countersign/telemetry'
import type { Derived, DerivedJob } from './derived-job.ts'
import type { CommitIfAllowed } from './effects.ts'
import type { Recheck } from './recheck.ts'

/** Who the work is for and what they may still do. */
export interface Identity {
  /** False only in observed classes, for work whose envelope could not be judged: then everything else is empty. */
  readonly verified: boolean
  readonly sub: string
  readonly tenant: string
  readonly principal: PrincipalKind
  /** Who acts for `sub`, current actor first; empty when `sub` acts. */
  readonly act: readonly Actor[]
  /** Scopes left after everything removed so far, sorted. */
  readonly scopes: readonly string[]
  /** Transaction id, shared by all work of one origin. */
  readonly txn: string
  readonly credential: CredentialKind
  readonly session: string | null
  readonly client: string | null
  readonly device: string | null
  /** Epoch milliseconds. */
  readonly authTime: number | null
  readonly acr: string | null
  readonly amr: readonly string[]
  readonly requestId: string | null
  /** Workload that sealed the envelope, and when; epoch milliseconds. */
  readonly sealedBy: string
  readonly sealedAt: number
}

/** The event worked on. */
export interface WorkEvent {
  /** 32 hexadecimal digits; the same at every delivery. Key effects on it. */
  readonly id: string
  /** Logical topic. */
  readonly logical: string
  /** Where this delivery was read. */
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** From 1, within this delivery. */
  readonly attempt: number
}

/** One piece of work. */
export interface Work<T> {
  readonly identity: Identity
  /** Decoded payload. */
  readonly value: T
  /** Aborts when the authority ends, the time of the class is up, or the consumer stops; `signal.reason` says which. */
  readonly signal: AbortSignal
  readonly event: WorkEvent
  readonly key: Uint8Array | null
  /** For `derive`: the envelope as received and as opened; null only where `identity.verified` is false. */
  readonly envelope: { readonly header: Uint8Array; readonly opened: OpenedEnvelope } | null
  /** The trace its job was sent in; null where it says none. Where an SDK is, the span of this attempt is active. */
  readonly trace: TraceContext | null
  /** What people find all work of one request by; null where its job says none. */
  readonly correlationId: string | null
  /** Judges again, now; for long loops. Deny: stop. Wait or park: the view is not fresh, do nothing irreversible. */
  recheck(): Recheck
  /**
   * Judges again, now, and calls `commit` in the same step: what it commits synchronously was allowed when it was committed.
   * For one that takes longer, put `permit.notAfter` into its statement. Cost: one decision, about 1 µs.
   *
   * @returns what `commit` returns. A promise is waited for before the work gets its state.
   * @throws {ENFORCER_EFFECT_REFUSED} in place of the commit, when the work is not allowed any more or the view is not fresh:
   * roll back and let it go on; the refusal is recorded, also when it is caught.
   * @throws {ENFORCER_WORK_STOPPED} {ENFORCER_WORK_TIMED_OUT} when told to end so. {ENFORCER_WORK_OVER} after the end.
   * Throws what `commit` throws.
   */
  readonly commitIfAllowed: CommitIfAllowed
  /** For classes with `effect: 'rechecked'`: there is nothing to commit, such as for an event worked on before. */
  noEffect(): void
  /** Who earlier steps that this work relies on were for, in the order its envelope names them; empty for most. */
  readonly earlier: readonly Identity[]
  /**
   * Starts further work for the next actor: judged again, sealed with this work's envelope inside, appended. It has no scope
   * and no time more, relies on all that this does, and ends with it. Needs `deriving`.
   *
   * @returns where it stands, once durable. Derives of one tick and topic are one append.
   * @throws {ENFORCER_DERIVE_REFUSED} this work is not allowed any more, this consumer cannot tell, or its key may not sign.
   * @throws {ENFORCER_DERIVE_INVALID} no such topic, a value that does not fit, a scope more, or a fourth derivation.
   * @throws {ENFORCER_WORK_STOPPED} {ENFORCER_WORK_TIMED_OUT} {ENFORCER_WORK_REVOKED} when told to end. {ENFORCER_WORK_OVER}
   * after the end. Throws what the log throws: the job may then appear; tried again, the handler uses the same event id.
   */
  derive(job: DerivedJob): Promise<Derived>
  /** This work's envelope, and what it relies on, for a later step of the workflow to rely on: keep it with its record. */
  evidence(): Buffer
  /** Tells the group that this member lives. Called anyway about every second while work runs. */
  heartbeat(): Promise<void>
}

/** The work itself. Resolve when done; throw to be tried again; throw `PermanentError` to give up. */
export type Handler<T> = (work: Work<T>) => Promise<void> | void

/** @returns the identity of an opened envelope with the scopes that are left. */
export function identityOf(envelope: OpenedEnvelope, scopes: readonly string[]): Identity {
  const { sub, txn, iat, req_wl, tctx, rctx } = envelope.claims
  return {
    verified: true,
    sub,
    tenant: tctx.tenant,
    principal: tctx.principal,
    act: tctx.act,
    scopes,
    txn,
    credential: tctx.credential,
    session: tctx.session,
    client: tctx.client,
    device: tctx.device,
    authTime: rctx.auth_time,
    acr: rctx.acr,
    amr: rctx.amr,
    requestId: rctx.request_id,
    sealedBy: req_wl,
    sealedAt: iat,
  }
}

/** Nobody: what observed classes see where enforcement would have refused. */
export const UNVERIFIED: Identity = Object.freeze({
  verified: false,
  sub: '',
  tenant: '',
  principal: 'system',
  act: [],
  scopes: [],
  txn: '',
  credential: 'system_event',
  session: null,
  client: null,
  device: null,
  authTime: null,
  acr: null,
  amr: [],
  requestId: null,
  sealedBy: '',
  sealedAt: 0,
})
