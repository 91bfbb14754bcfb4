/** The claims of one job, made at the moment it is sealed. */
import { bindEvent } from '@countersign/envelope'
import type { Clock } from '@countersign/kernel'
import type { EnvelopeClaims, JobTopicNames } from '@countersign/schemas'
import type { Authority, Judged } from './authority.ts'
import { type Denial, denied } from './denial.ts'
import type { BoundaryIdentity } from './identity.ts'
import type { Presented } from './presented.ts'
import type { Reliance, Reliances } from './reliances.ts'

/** A job that is well-formed, encoded, and waits to be sealed. */
export interface PreparedJob {
  readonly topic: string
  readonly identity: BoundaryIdentity
  readonly presented: Presented
  readonly names: JobTopicNames
  readonly key: Buffer | null
  readonly value: Buffer
  readonly eventId: Buffer
  /** Scopes asked for; null for all there are. */
  readonly scope: readonly string[] | null
  readonly expiresInMs: number | undefined
  /** Envelopes of earlier steps; empty for most. */
  readonly relied: readonly Buffer[]
}

export interface ClaimsOptions {
  readonly authority: Authority
  readonly clock: Clock
  readonly workload: string
  readonly maxEnvelopeLifeMs: number
  readonly reliances: Reliances
}

/** @returns what will be signed, or why this identity may not have it now. */
export function claimsOf(job: PreparedJob, options: ClaimsOptions): { ok: true; claims: EnvelopeClaims } | Denial {
  const { authority, clock, workload, maxEnvelopeLifeMs, reliances } = options
  const { identity, names, key, value, eventId, presented, relied } = job
  const judged = authority.judge(presented)
  if (!judged.ok) return judged
  if (!authority.keyGranted(identity.tenant, job.topic)) return denied('key_not_granted')
  const scope = job.scope ?? judged.scopes
  if (scope.some((one) => !judged.scopes.includes(one))) return denied('scope_removed')
  const reliance = relied.length === 0 ? null : reliances.judge(relied, identity, judged)
  if (reliance !== null && !reliance.ok) return reliance
  const now = clock.now()
  const life = Math.max(1, Math.min(job.expiresInMs ?? maxEnvelopeLifeMs, maxEnvelopeLifeMs))
  return {
    ok: true,
    claims: {
      txn: reliance?.txn ?? identity.txn,
      sub: identity.sub,
      aud: names.audience,
      scope,
      req_wl: workload,
      iat: now,
      exp: Math.min(now + life, identity.expiresAt ?? Number.POSITIVE_INFINITY),
      tctx: transactionContext(identity, reliance ?? judged),
      rctx: {
        request_id: identity.requestId,
        auth_time: identity.authTime,
        acr: identity.acr,
        amr: identity.amr,
        ip: identity.ip,
        user_agent: identity.userAgent,
        posture: identity.posture,
        risk: identity.risk,
      },
      event: bindEvent({ topic: job.topic, key, id: eventId, value }),
      depth: 0,
      parent: null,
      relies_on: reliance?.hashes ?? [],
      succession: null,
    },
  }
}

function transactionContext(
  identity: BoundaryIdentity,
  judged: Pick<Judged | Reliance, 'targets' | 'position'>,
): EnvelopeClaims['tctx'] {
  const { tenant, principal, act, credential, session, client, device, scopeVersion } = identity
  const { targets, position } = judged
  return { tenant, principal, act, credential, session, client, device, targets, scope_version: scopeVersion, position }
}
