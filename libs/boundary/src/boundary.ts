/**
 * The boundary: external credentials end here. What goes further is an identity that only this boundary
 * can have made, and the jobs sealed for it.
 */
import { createHash } from 'node:crypto'
import type { SigningKey } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { type Clock, newHandle, type Random } from '@countersign/kernel'
import type { SignalsView } from '@countersign/replica'
import type { Catalogue } from '@countersign/schemas'
import { type Logger, type Metrics, parseTraceparent, silentLogger, traceContext } from '@countersign/telemetry'
import { Authority, type Presented } from './authority.ts'
import { type ContextPolicy, contextFilter } from './context.ts'
import { BoundaryError, type Denial, denied } from './denial.ts'
import { type BoundaryRequest, credentialOf } from './http.ts'
import { type BoundaryIdentity, deepFreeze, normalScopes } from './identity.ts'
import type { TokenResolver } from './introspection.ts'
import { type IssuerConfig, Issuers } from './issuers.ts'
import { createJobs, type Jobs } from './jobs.ts'
import { memoryReplayGuard, type ReplayGuard } from './replay.ts'
import { type ScheduleEntry, type ScheduleOptions, scheduleEntry } from './schedules.ts'
import type { SessionResolver } from './sessions.ts'
import { type SystemEntry, type SystemOptions, systemEntry } from './systems.ts'
import { type WebhookEntry, type WebhookOptions, webhookEntry } from './webhooks.ts'

export interface BoundaryOptions {
  readonly replica: Pick<SignalsView, 'floors' | 'freshness' | 'position' | 'reached' | 'ring'>
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
  /** Jobs that may wait for the log, per topic. @defaultValue 10000 */
  readonly maxQueued?: number
  readonly logger?: Logger
  readonly metrics?: Metrics
}

export type Admission = { readonly ok: true; readonly identity: BoundaryIdentity } | Denial

export interface Boundary {
  /** Judges the credential of a request. Never throws on any request. The hooks call it, and remove the credential. */
  admit(request: BoundaryRequest): Promise<Admission>
  readonly jobs: Jobs
  /** @throws {BOUNDARY_OPTIONS_INVALID} for a scheme there is not, or a secret that is none of its kind. */
  webhook(options: WebhookOptions): WebhookEntry
  schedule(options: ScheduleOptions): ScheduleEntry
  /** Work that neither a person nor another service asked for: an event of the system itself. */
  system(options: SystemOptions): SystemEntry
  /** Why this boundary could not seal now; empty when it can. */
  notReady(): readonly ('key_not_in_force' | 'view_not_fresh')[]
}

const CORRELATION = /^[\w.:-]{8,128}$/
const REQUEST_ID = /^[\w.:-]{1,128}$/
const DAY = 86_400_000

/**
 * @throws {TOKENS_OPTIONS_INVALID} when an issuer leaves open what must be pinned.
 * @throws {BOUNDARY_OPTIONS_INVALID} for a contradictory context policy or life.
 */
export function createBoundary(options: BoundaryOptions): Boundary {
  const { replica, clock, random, sessions, cookieName = '__Host-session', maxEnvelopeLifeMs = DAY } = options
  const { introspection, logger = silentLogger, metrics } = options
  if (!(maxEnvelopeLifeMs > 0)) {
    const publicMessage = 'maxEnvelopeLifeMs is above 0'
    throw new BoundaryError({ code: 'BOUNDARY_OPTIONS_INVALID', retriable: false, publicMessage })
  }
  const authority = new Authority({ replica, clock, keyId: options.key.keyId })
  const issuers = new Issuers(options.issuers ?? [], clock)
  const filterContext = contextFilter(options.contextPolicy)
  const replayGuards = new Map<string, ReplayGuard>()
  const asked = {
    cookie: sessions && ((value: string) => sessions.resolve(value)),
    api_session: sessions?.resolveBearer && ((value: string) => sessions.resolveBearer?.(value)),
    opaque: introspection && ((value: string) => introspection.resolve(value)),
    // Only its issuer takes one; here it is a secret that went astray.
    refresh: undefined,
  }
  const made = new WeakMap<BoundaryIdentity, Presented>()

  async function present(request: BoundaryRequest): Promise<({ ok: true } & Presented) | Denial> {
    const credential = credentialOf(request, cookieName)
    if (!credential.ok) return credential
    const { value } = credential
    if (credential.kind === 'jwt') return issuers.accept(value)
    // Before it is asked about: what ends after that was not seen by whoever answers.
    const at = clock.now()
    const answer = await asked[credential.kind]?.(value)
    if (!answer) return denied('credential_invalid', `no_${credential.kind}`)
    return answer.ok ? { ok: true, identity: answer.identity, at } : answer
  }

  /** Makes the identity handlers see, if its credential is good now. */
  function accept(presented: Presented, request: Partial<BoundaryRequest>): Admission {
    const judged = authority.judge(presented)
    if (!judged.ok) return judged
    const { headers = {} } = request
    const txn = newHandle(random, 'txn')
    const given = headers['x-correlation-id']
    const identity: BoundaryIdentity = deepFreeze({
      ...structuredClone(presented.identity),
      scopes: normalScopes(judged.scopes),
      // Whoever ends the transaction ends all work of this request.
      targets: [...presented.identity.targets, { kind: 'transaction', tenant: '', id: txn, version: clock.now() }],
      txn,
      requestId: request.id !== undefined && REQUEST_ID.test(request.id) ? request.id : newHandle(random, 'req'),
      correlationId: typeof given === 'string' && CORRELATION.test(given) ? given : txn,
      ...filterContext(request.ip, headers['user-agent']),
      trace: traceContext(random, parseTraceparent(onlyText(headers.traceparent))),
    })
    made.set(identity, { identity, at: presented.at })
    return { ok: true, identity }
  }

  function report(kind: string, admission: { readonly ok: true } | Denial, id: string | undefined): void {
    const code = admission.ok ? 'ok' : admission.code
    metrics?.counter('countersign_boundary_credentials_total', { credential: kind, code }).add()
    if (admission.ok) return
    const reason = admission.detail ?? admission.code
    logger.info({ credential: kind, code, reason, requestId: id ?? null }, 'credential refused')
  }

  /** One for each sender: what one fills up refuses no other. */
  function replayGuardOf({ provider, tenant, replay }: WebhookOptions): ReplayGuard {
    const sender = JSON.stringify([provider, tenant])
    const guard = replay ?? replayGuards.get(sender) ?? memoryReplayGuard(clock)
    if (!replay) replayGuards.set(sender, guard)
    return guard
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
    presentedOf: (identity) => made.get(identity),
    maxEnvelopeLifeMs,
    maxQueued: options.maxQueued ?? 10_000,
    metrics,
  })

  return {
    async admit(request) {
      const presented = await present(request)
      const admission = presented.ok ? accept(presented, request) : presented
      report(kindOf(request), admission, request.id)
      return admission
    },
    jobs,
    webhook(webhook) {
      const entry = webhookEntry(webhook, replayGuardOf(webhook), clock, accept)
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
      const ring = replica.ring()
      if (ring === null || !authority.keyInForce(ring, clock.now())) return ['key_not_in_force']
      const { proven, ageMs } = replica.freshness()
      return proven && ageMs <= ring.bundle.max_staleness_ms ? [] : ['view_not_fresh']
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

function kindOf({ headers }: BoundaryRequest): string {
  if (headers.authorization !== undefined) return 'bearer'
  return headers.cookie === undefined ? 'none' : 'cookie'
}

function onlyText(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
