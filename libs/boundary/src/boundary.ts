/**
 * The boundary: external credentials end here. What goes further is an identity that only this boundary
 * can have made, and the jobs sealed for it.
 */
import { createHash } from 'node:crypto'
import type { SigningKey } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import type { Clock, Random } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import { type Logger, type Metrics, outOfContext, silentLogger } from '@countersign/telemetry'
import { type Assess, assessed } from './assessment.ts'
import { Authority, isFresh } from './authority.ts'
import { type ContextPolicy, contextFilter } from './context.ts'
import { Credentials } from './credentials.ts'
import { type Demands, unmet } from './demands.ts'
import { type Denial, denied, failure } from './denial.ts'
import { type BoundaryRequest, bearerCredential, type Credential, credentialOf } from './http.ts'
import { type Arrival, identityFor, settled } from './identities.ts'
import type { BoundaryIdentity } from './identity.ts'
import type { TokenResolver } from './introspection.ts'
import { type IssuerConfig, Issuers } from './issuers.ts'
import { createJobs, type Jobs } from './jobs.ts'
import type { Presented } from './presented.ts'
import { Reliances } from './reliances.ts'
import type { RememberOptions } from './remembered.ts'
import { replayGuardBySender } from './replay.ts'
import { type ScheduleEntry, type ScheduleOptions, scheduleEntry } from './schedules.ts'
import { isCookieValue, type SessionResolver } from './sessions.ts'
import { type SystemEntry, type SystemOptions, systemEntry } from './systems.ts'
import {
  makeTxnToken,
  makeTxnTokenBeside,
  type TxnTokenAnswer,
  type TxnTokenMakerOptions,
  type TxnTokenOptions,
  TxnTokenReader,
  type TxnTokenRequest,
} from './txn-tokens.ts'
import { type BoundaryView, Watching } from './watching.ts'
import { type WebhookEntry, type WebhookOptions, webhookEntry } from './webhooks.ts'

export interface BoundaryOptions {
  readonly replica: BoundaryView
  readonly log: EventLog
  readonly catalogue: Catalogue
  /** Signs envelopes; its public half stands in the trust bundle with use `envelope`. */
  readonly key: SigningKey
  /** Name of this workload in envelopes. */
  readonly workload: string
  readonly clock: Clock
  readonly random: Random
  /** Without it session cookies and bearers of api sessions are refused. */
  readonly sessions?: SessionResolver
  /** Asked about opaque access tokens; without it they are refused. */
  readonly introspection?: TokenResolver
  /** Asks about JWTs too: their issuer's keys are not looked at. @defaultValue false */
  readonly introspectJwts?: boolean
  /** Takes the header `Txn-Token`, and seals such tokens; without it one is refused. */
  readonly txnTokens?: TxnTokenOptions
  /**
   * Remembers credentials found good, by SHA-256 of the whole, never a refusal. Each use is judged anew: by expiry, window
   * and the floors of this view, and what was asked about only while this view is fresh and has reached the answer's
   * position. Absent: only what was verified here. Given: also what identity was asked about. False: nothing.
   */
  readonly remember?: RememberOptions | false
  /** Exact name of the session cookie. @defaultValue `__Host-session` */
  readonly cookieName?: string
  /** Issuers whose JWTs are accepted. @defaultValue none */
  readonly issuers?: readonly IssuerConfig[]
  /**
   * Longest life of an envelope, milliseconds. The bundle bounds it too: nothing opens for longer than its
   * window less its staleness budget and the skew. @defaultValue 86400000 (one day)
   */
  readonly maxEnvelopeLifeMs?: number
  readonly contextPolicy?: ContextPolicy
  /** What is known of device and risk, for job classes that demand it. Without it nothing is. */
  readonly assess?: Assess
  /** Jobs that may wait for the log, per topic. @defaultValue 10000 */
  readonly maxQueued?: number
  /**
   * Least time between the beginnings of two batches of a topic, milliseconds, 0 to 1,000: jobs that come faster are
   * sealed together, so that a consumer checks one signature for them all. One that comes alone is not held.
   * @defaultValue 5
   */
  readonly gatherMs?: number
  readonly logger?: Logger
  readonly metrics?: Metrics
}

export type Admission = { readonly ok: true; readonly identity: BoundaryIdentity } | Denial

/** A credential by itself, exactly one. */
export type GivenCredential = { readonly cookie: string } | { readonly bearer: string } | { readonly txnToken: string }

export interface Boundary {
  /** Judges the credential of a request. Never throws on any request. The hooks call it, and remove the credential. */
  admit(request: BoundaryRequest): Promise<Admission>
  /**
   * The same for a credential that came otherwise: in this process, on a command line, by another transport. Nothing says
   * here who made a browser send a cookie.
   */
  present(credential: GivenCredential, context?: Arrival): Promise<Admission>
  /**
   * Whether an identity may do what takes these scopes and this authentication, judged now. `answerOf` makes the
   * challenge of a denial. Cost: a few µs.
   * @throws {BOUNDARY_IDENTITY_UNKNOWN}
   */
  demand(identity: BoundaryIdentity, demands: Demands): { readonly ok: true } | Denial
  /**
   * Seals a transaction token for the services behind: judged again, no scope more, no life longer than its credential's
   * and that of the token the identity came with, the same transaction. Needs `txnTokens`, and a key granted for the
   * tenant and the topic `txn-token`. Cost: about 50 µs.
   * @throws {BOUNDARY_IDENTITY_UNKNOWN} @throws {BOUNDARY_TXN_TOKEN_INVALID} when details and context are no JSON, or too much.
   */
  txnToken(identity: BoundaryIdentity, request?: TxnTokenRequest): TxnTokenAnswer
  /**
   * The same, judged now and signed by a thread of the pool, for a server whose one thread has other requests to go on
   * with. Rejects where `txnToken` throws. Cost: about 20 µs of this thread.
   */
  txnTokenBeside(identity: BoundaryIdentity, request?: TxnTokenRequest): Promise<TxnTokenAnswer>
  /**
   * For a connection that stays open: tells when its identity is ended, expires, loses a scope demanded, or can no longer
   * be judged because the view is older than the bundle's budget. Cost: a look-up per signal, a judgement where it hits.
   * @param onEnd called at most once, never before this returns. Must not throw.
   * @returns a function that ends watching. @throws {BOUNDARY_IDENTITY_UNKNOWN}
   */
  watch(identity: BoundaryIdentity, onEnd: (denial: Denial) => void, demands?: Pick<Demands, 'scopes'>): () => void
  readonly jobs: Jobs
  /** @throws {BOUNDARY_OPTIONS_INVALID} for a scheme there is not, or a secret that is none of its kind. */
  webhook(options: WebhookOptions): WebhookEntry
  schedule(options: ScheduleOptions): ScheduleEntry
  /** Work that neither a person nor another service asked for: an event of the system itself. */
  system(options: SystemOptions): SystemEntry
  /** Why this boundary could not seal now; empty when it can. */
  notReady(): readonly ('key_not_in_force' | 'view_not_fresh')[]
}

const DAY = 86_400_000

/**
 * @throws {TOKENS_OPTIONS_INVALID} when an issuer leaves open what must be pinned.
 * @throws {BOUNDARY_OPTIONS_INVALID} for a contradictory context policy, or a life or time out of range.
 */
export function createBoundary(options: BoundaryOptions): Boundary {
  const { replica, clock, random, sessions, cookieName = '__Host-session', maxEnvelopeLifeMs = DAY } = options
  const { introspection, logger = silentLogger, metrics, gatherMs = 5 } = options
  if (!(maxEnvelopeLifeMs > 0)) throw failure('BOUNDARY_OPTIONS_INVALID', false, 'maxEnvelopeLifeMs is above 0')
  if (!(gatherMs >= 0 && gatherMs <= 1_000)) throw failure('BOUNDARY_OPTIONS_INVALID', false, 'gatherMs is 0 to 1,000')
  const authority = new Authority({ replica, clock, keyId: options.key.keyId })
  const issuers = new Issuers(options.issuers ?? [], clock)
  const filterContext = contextFilter(options.contextPolicy)
  const replayGuardOf = replayGuardBySender(clock)
  const txn = options.txnTokens
  const credentials = new Credentials({
    authority,
    clock,
    issuers,
    sessions,
    introspection,
    introspectJwts: options.introspectJwts ?? false,
    metrics,
    txnTokens: txn && txn.accept !== false ? new TxnTokenReader(txn, replica, clock) : null,
    remember: options.remember,
  })
  const strayed = outOfContext(metrics, 'boundary')
  const watching = new Watching(authority, replica, clock, logger)
  const made = new WeakMap<BoundaryIdentity, Presented>()

  /** Makes the identity handlers see, if its credential is good now. */
  function accept(given: Presented, arrival: Arrival): Admission {
    const presented = settled(given)
    const judged = authority.judge(presented)
    if (!judged.ok) return { ...judged, of: presented.identity }
    const identity = identityFor(presented, judged, arrival, clock.now(), random, filterContext)
    // It depends on all that its credential does, in that order, and on its own transaction.
    const targets = authority.extended(judged.targets, identity.targets)
    made.set(identity, { ...presented, identity, targets })
    return { ok: true, identity }
  }

  /** Assessed only once it is known to be good, and judged again after, since that may have taken a while. */
  async function admissionOf(presented: Presented, arrival: Arrival): Promise<Admission> {
    const admission = accept(presented, arrival)
    const { assess } = options
    if (!assess || !admission.ok) return admission
    const { posture, risk } = admission.identity
    if (posture !== null && risk !== null) return admission
    return accept(presented, { ...arrival, ...(await assessed(assess, presented.identity, arrival, logger)) })
  }

  async function admitted(credential: Credential, kind: string, arrival: Arrival): Promise<Admission> {
    const found = await credentials.present(credential)
    const admission = found.ok ? await admissionOf(found.presented, arrival) : found
    report(kind, admission, arrival.requestId)
    return admission
  }

  function presentedOf(identity: BoundaryIdentity): Presented {
    const presented = made.get(identity)
    if (!presented) throw failure('BOUNDARY_IDENTITY_UNKNOWN', false, 'the identity was not made by this boundary')
    return presented
  }

  function report(kind: string, admission: { readonly ok: true } | Denial, id: string | undefined): void {
    const code = admission.ok ? 'ok' : admission.code
    metrics?.counter('countersign_boundary_credentials_total', { credential: kind, code }).add()
    if (admission.ok) return
    const reason = admission.detail ?? admission.code
    strayed(reason)
    logger.info({ credential: kind, code, reason, requestId: id ?? null }, 'credential refused')
  }

  const sealing: TxnTokenMakerOptions | undefined = txn && { ...options, authority, trustDomain: txn.trustDomain }
  function sealingOptions(): TxnTokenMakerOptions {
    if (sealing) return sealing
    throw failure('BOUNDARY_OPTIONS_INVALID', false, 'a boundary that seals transaction tokens has txnTokens')
  }

  /** Credentials that are made in this process, when it says so. */
  const admitAs =
    (kind: string) =>
    (presented: Presented): Admission => {
      const admission = accept(presented, {})
      report(kind, admission, undefined)
      return admission
    }

  const jobs = createJobs({
    ...options,
    authority,
    reliances: new Reliances(authority, clock),
    presentedOf: (identity) => made.get(identity),
    maxEnvelopeLifeMs,
    maxQueued: options.maxQueued ?? 10_000,
    gatherMs,
    metrics,
  })

  return {
    admit: (request) => admitted(credentialOf(request, cookieName), kindOf(request), arrivalOf(request)),
    present(credential, context = {}) {
      const [kind, given] = shown(credential)
      return admitted(given, kind, context)
    },
    demand(identity, demands) {
      const judged = authority.judge(presentedOf(identity))
      return judged.ok ? (unmet(demands, identity, judged, clock.now()) ?? { ok: true }) : judged
    },
    txnToken: (identity, request = {}) => makeTxnToken(identity, presentedOf(identity), request, sealingOptions()),
    txnTokenBeside: async (identity, request = {}) =>
      makeTxnTokenBeside(identity, presentedOf(identity), request, sealingOptions()),
    watch(identity, onEnd, demands = {}) {
      const presented = presentedOf(identity)
      if (!replica.onSignal) throw failure('BOUNDARY_OPTIONS_INVALID', false, 'this view does not tell when it changes')
      return watching.add(presented, demands, onEnd)
    },
    jobs,
    webhook(webhook) {
      const replay = webhook.replay ?? replayGuardOf(webhook.provider, webhook.tenant)
      const entry = webhookEntry(webhook, replay, clock, (presented, delivery) =>
        accept(presented, arrivalOf(delivery)),
      )
      return {
        async receive(delivery, work) {
          const answer = await entry.receive(delivery, work)
          report('webhook', answer, delivery.id)
          return answer
        },
      }
    },
    schedule: (schedule) => scheduleEntry(schedule, clock, admitAs('schedule')),
    system: (system) => systemEntry(system, clock, admitAs('system')),
    notReady() {
      const reasons = (replica.byTenant?.views ?? [replica]).map((view) => {
        const ring = view.ring()
        if (ring === null || !authority.keyInForce(ring, clock.now())) return ['key_not_in_force'] as const
        return isFresh(view, ring) ? [] : (['view_not_fresh'] as const)
      })
      // A log that is away stops its own tenants, which is told to them.
      return reasons.some((those) => those.length === 0) ? [] : (reasons[0] ?? [])
    },
  }
}

/**
 * An event id made from what a job is, so that the same job asked for twice is the same event to handlers.
 * @param parts what makes the job this job, such as sender, delivery id and index.
 * @returns 16 bytes.
 */
export function eventIdOf(...parts: readonly string[]): Buffer {
  const digest = createHash('sha256').update('countersign.event.v1\0')
  for (const part of parts) digest.update(`${Buffer.byteLength(part)}:`).update(part)
  return digest.digest().subarray(0, 16)
}

function arrivalOf({ id, ip, headers = {} }: Partial<BoundaryRequest>): Arrival {
  return {
    ip,
    userAgent: headers['user-agent'],
    requestId: id,
    correlationId: onlyText(headers['x-correlation-id']),
    traceparent: onlyText(headers.traceparent),
    tracestate: onlyText(headers.tracestate),
  }
}

function shown(given: GivenCredential): [kind: string, credential: Credential] {
  if ('cookie' in given) {
    const { cookie: value } = given
    return ['cookie', isCookieValue(value) ? { ok: true, kind: 'cookie', value } : denied('credential_invalid', 'form')]
  }
  if ('bearer' in given) return ['bearer', bearerCredential(given.bearer)]
  return ['txn_token', { ok: true, kind: 'txn_token', value: given.txnToken }]
}

function kindOf({ headers }: BoundaryRequest): string {
  if (headers['txn-token'] !== undefined) return 'txn_token'
  if (headers.authorization !== undefined) return 'bearer'
  return headers.cookie === undefined ? 'none' : 'cookie'
}

function onlyText(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
