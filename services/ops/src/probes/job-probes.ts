/**
 * What doctor shows a job class: one envelope it must take, and for each thing it demands one that lacks just that.
 * They are for a tenant that owns nothing and for a payload nobody can read, so that none of them is ever a job.
 */
import { bindEvent } from '@countersign/envelope'
import type { JobClassRules } from '@countersign/policy'
import type { Catalogue, EnvelopeClaims, LogPosition, TargetVersion } from '@countersign/schemas'

/** An envelope to be, and what must be said of it. */
export interface JobProbe {
  /** What it lacks, for people; `nothing` for the one that must be taken. */
  readonly lacks: string
  readonly claims: EnvelopeClaims
  /** The reason that must be given. */
  readonly wanted: (reason: string) => boolean
}

export interface JobProbeFacts {
  readonly catalogue: Catalogue
  readonly tenant: string
  readonly now: number
  /** Where the prober's own view stands. */
  readonly position: LogPosition
  /** A target that has lost something, at the floor and below it; null while the log names none. */
  readonly ended: EndedTarget | null
  /** @returns so many unpredictable bytes. */
  readonly bytes: (length: number) => Buffer
}

/** A target with a floor for a reason, as it stands in some view. */
export interface EndedTarget {
  readonly kind: TargetVersion['kind']
  readonly key: Uint8Array
  readonly floor: number
}

/** Bytes that are framed as no payload is. */
export const PROBE_VALUE: Buffer = Buffer.from('countersign doctor: not a job')
export const PROBE_KEY: Buffer = Buffer.from('doctor')

const LIFE_MS = 60_000
const SUBJECT = 'doctor'

/** @returns probes of a class, the good one first; null when the catalogue does not have its topic. */
export function jobProbes(rules: JobClassRules, facts: JobProbeFacts): readonly JobProbe[] | null {
  const topic = facts.catalogue.jobTopic(rules.topic)
  if (topic === undefined) return null
  const good = goodClaims(rules, topic.audience, facts)
  const probe = (lacks: string, change: Partial<EnvelopeClaims>, ...reasons: string[]): JobProbe => ({
    lacks,
    claims: { ...good, ...change },
    wanted: (reason) => reasons.includes(reason),
  })
  const probes = [probe('nothing', {}, 'allowed')]
  const { rctx, tctx } = good
  for (const audience of [`${topic.audience}.doctor`, ...otherAudiences(facts.catalogue, topic.audience)])
    probes.push(probe(`the audience: it is for ${audience}`, { aud: audience }, 'envelope_audience_mismatch'))
  if (facts.ended !== null) {
    const { kind, key, floor } = facts.ended
    const targets = [...tctx.targets.slice(0, -1), { kind, key: Buffer.from(key), version: floor - 1 }]
    const stale = probe('a version that still stands', { tctx: { ...tctx, targets } })
    probes.push({ ...stale, wanted: (reason) => reason.startsWith('revoked_') })
  }
  for (const scope of rules.scopes) {
    const left = good.scope.filter((one) => one !== scope)
    probes.push(probe(`the scope ${scope}`, { scope: left }, 'scope_missing'))
  }
  if (rules.acr !== null) probes.push(probe('an acr', { rctx: { ...rctx, acr: null } }, 'acr_insufficient'))
  if (rules.maxAuthAgeMs !== null)
    probes.push(probe('an auth_time', { rctx: { ...rctx, auth_time: null } }, 'authentication_too_old'))
  if (rules.posture !== null)
    probes.push(probe('a posture', { rctx: { ...rctx, posture: null } }, 'posture_insufficient'))
  if (rules.risk !== null) probes.push(probe('a risk', { rctx: { ...rctx, risk: null } }, 'risk_too_high'))
  const outsider = PRINCIPALS.find((kind) => rules.principals !== null && !rules.principals.includes(kind))
  if (outsider !== undefined) {
    const changed = { tctx: { ...tctx, principal: outsider } }
    probes.push(probe(`the principal: it is a ${outsider}`, changed, 'principal_not_allowed'))
  }
  return probes
}

const PRINCIPALS = ['user', 'service', 'webhook', 'schedule', 'system'] as const

/** Claims with everything the class demands, and nothing more. */
function goodClaims(rules: JobClassRules, audience: string, facts: JobProbeFacts): EnvelopeClaims {
  const { tenant, now, position, ended, bytes } = facts
  // Last, and at its floor where the log knows one: what makes the stale probe stale is the version alone.
  const target: TargetVersion =
    ended === null
      ? { kind: 'transaction', key: bytes(16), version: now }
      : { kind: ended.kind, key: Buffer.from(ended.key), version: Math.max(now, ended.floor) }
  return {
    txn: `doctor_${bytes(16).toString('base64url')}`,
    sub: SUBJECT,
    aud: audience,
    scope: [...rules.scopes],
    req_wl: 'doctor',
    iat: now,
    exp: now + LIFE_MS,
    tctx: {
      tenant,
      principal: rules.principals?.[0] ?? 'user',
      act: [],
      credential: 'system_event',
      session: null,
      client: null,
      device: null,
      targets: [target],
      scope_version: Math.max(now, ended?.floor ?? 0),
      position,
    },
    rctx: {
      request_id: 'doctor',
      auth_time: rules.maxAuthAgeMs === null ? null : now,
      acr: rules.acr?.[0] ?? null,
      amr: [],
      ip: null,
      user_agent: null,
      posture: rules.posture?.[0] ?? null,
      risk: rules.risk?.[0] ?? null,
    },
    event: bindEvent({ topic: rules.topic, key: PROBE_KEY, id: bytes(16), value: PROBE_VALUE }),
    depth: 0,
    parent: null,
    relies_on: [],
    succession: null,
  }
}

function otherAudiences(catalogue: Catalogue, own: string): string[] {
  const all = catalogue.entries.flatMap(({ audience }) => audience ?? [])
  return [...new Set(all)].filter((audience) => audience !== own)
}
