/**
 * A table of cases for job classes: somebody's work, what was revoked, how fresh the view is, and what must
 * become of it. Judged by the same `decide` that consumers run. Pure: the moment of every decision is made up.
 */

import type { OpenedEnvelope } from '@countersign/envelope'
import { parseMillis } from '@countersign/kernel'
import { REASONS, type Reason, reasonEffect, scopeEffect, TARGET_KINDS, targetKey, View } from '@countersign/revocation'
import type { EnvelopeClaims, TargetKind } from '@countersign/schemas'
import { z } from 'zod'
import { type Decision, decide, type ViewFreshness } from './decide.ts'
import { PolicyError } from './errors.ts'
import type { JobClassRules } from './job-class.ts'

const text = z.string().min(1).max(256)
const duration = z.string().transform((given, context) => {
  const found = parseMillis(given)
  if (found !== undefined) return found
  context.addIssue({ code: 'custom', message: 'a duration such as 250ms, 5s, 3m, 2h or 1d' })
  return z.NEVER
})

/** What is not said of the work is absent from it, but for scopes: those the class asks for. */
const work = z.strictObject({
  scopes: z.array(text).optional(),
  principal: z.enum(['user', 'service', 'webhook', 'schedule', 'system']).optional(),
  acr: text.nullable().optional(),
  posture: text.nullable().optional(),
  risk: text.nullable().optional(),
  /** How long ago, from the decision. */
  authenticated: duration.nullable().optional(),
  credential: duration.optional(),
  sealed: duration.optional(),
  /** How long after sealing it ends. */
  life: duration.optional(),
  targets: z.array(z.enum(TARGET_KINDS)).optional(),
})

const signal = z
  .strictObject({
    target: z.enum(TARGET_KINDS),
    reason: z.enum(REASONS).optional(),
    scope: text.optional(),
    ago: duration,
  })
  .refine(({ reason, scope }) => (reason === undefined) !== (scope === undefined), 'a signal has a reason or a scope')

const view = z.strictObject({
  age: duration.optional(),
  closed: text.optional(),
  storeUnseenFor: duration.optional(),
  position: z.enum(['reached', 'behind', 'beyond']).optional(),
})

const expectation = z.strictObject({
  outcome: z.enum(['allow', 'deny', 'park', 'wait']),
  reason: text.optional(),
  rule: text.optional(),
  scopes: z.array(text).optional(),
})

const oneCase = z.strictObject({
  name: text,
  class: text,
  work: work.prefault({}),
  signals: z.array(signal).default([]),
  view: view.prefault({}),
  phase: z.enum(['queued', 'running']).default('queued'),
  expect: expectation,
})

const table = z.strictObject({
  classes: z.unknown().optional(),
  work: work.prefault({}),
  cases: z.array(oneCase).min(1),
})

/** One row: durations in milliseconds. */
export type PolicyCase = z.output<typeof oneCase>

/** What must become of the work; what is not said is not looked at. */
export type PolicyExpectation = z.output<typeof expectation>

export interface PolicyTable {
  /** As the file gives them, or names another file; undefined when it says nothing of them. */
  readonly classes: unknown
  /** Names distinct; each with the work of the whole table beneath its own. */
  readonly cases: readonly PolicyCase[]
}

/**
 * Reads a parsed file of cases.
 * @throws {POLICY_CASES_INVALID} naming each field that is wrong, or a name given twice.
 */
export function readCases(data: unknown): PolicyTable {
  const parsed = table.safeParse(data)
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error))
  const { classes, work: all, cases } = parsed.data
  const repeated = cases.find(({ name }, i) => cases.findIndex((other) => other.name === name) < i)
  if (repeated) throw invalid(`two cases are called “${repeated.name}”`)
  return { classes, cases: cases.map((one) => ({ ...one, work: { ...all, ...one.work } })) }
}

/** One row, judged. */
export interface CaseResult {
  readonly name: string
  readonly class: string
  readonly passed: boolean
  readonly expected: PolicyExpectation
  readonly decision: Decision
}

/**
 * Judges every case under its class.
 * @returns in the order of `cases`. @throws {POLICY_CASES_INVALID} for a class that is not among `classes`.
 */
export function judgeCases(cases: readonly PolicyCase[], classes: readonly JobClassRules[]): readonly CaseResult[] {
  return cases.map((one) => {
    const rules = classes.find(({ name }) => name === one.class)
    if (!rules) {
      throw invalid(
        `case “${one.name}”: there is no class ${one.class}, only ${classes.map(({ name }) => name).join(', ')}`,
      )
    }
    const decision = judge(rules, one)
    const { name, expect: expected } = one
    return { name, class: rules.name, passed: meets(decision, expected), expected, decision }
  })
}

// The moment of every decision, and the skew: what matters is what lies between it and the rest.
const NOW = 1_800_000_000_000
const EPSILON_MS = 250
const HOUR = 3_600_000
const POSITION = { log_id: 'log', offset: 0 }

function judge(rules: JobClassRules, one: PolicyCase): Decision {
  const { age = 1_000, closed = null, storeUnseenFor = 0, position = 'reached' } = one.view
  const proven = closed === null
  const freshness: ViewFreshness = { proven, closed, asOf: NOW - age, ageMs: age, storeUnseenForMs: storeUnseenFor }
  return decide({
    rules,
    envelope: envelopeOf(rules, one),
    view: viewOf(one),
    freshness,
    reached: position,
    now: NOW,
    epsilonMs: EPSILON_MS,
    phase: one.phase,
  })
}

function viewOf({ signals }: PolicyCase): View {
  const view = new View()
  for (const { target, reason, scope, ago } of signals) {
    const effect = scope === undefined ? reasonEffect(reason as Reason) : scopeEffect(scope)
    view.apply({ key: keyOf(target), effect, fallback: reason ?? 'role_change', floor: NOW - ago })
  }
  return view
}

/** What a case says it is, and for the rest what makes no difference to a decision. */
function envelopeOf(rules: JobClassRules, { work: given }: PolicyCase): OpenedEnvelope {
  const { credential = HOUR, sealed = 60_000, life = 24 * HOUR, authenticated = null, targets = TARGET_KINDS } = given
  const made = NOW - credential
  const scopes = [...new Set(given.scopes ?? rules.scopes)].sort()
  const claims: EnvelopeClaims = {
    txn: 'txn',
    sub: 'sub',
    aud: rules.topic,
    scope: scopes,
    req_wl: 'case',
    iat: NOW - sealed,
    exp: NOW - sealed + life,
    tctx: {
      tenant: 'tenant',
      principal: given.principal ?? 'user',
      act: [],
      credential: 'session_cookie',
      session: null,
      client: null,
      device: null,
      targets: targets.map((kind) => ({ kind, key: keyOf(kind), version: made })),
      scope_version: made,
      position: POSITION,
    },
    rctx: {
      request_id: null,
      auth_time: authenticated === null ? null : NOW - authenticated,
      acr: given.acr ?? null,
      amr: [],
      ip: null,
      user_agent: null,
      posture: given.posture ?? null,
      risk: given.risk ?? null,
    },
    event: { topic: rules.topic, key: null, id: Buffer.alloc(16), payload_sha256: null },
    depth: 0,
    parent: null,
    relies_on: [],
    succession: null,
  }
  return { claims, chain: [claims], keyId: 'case', targets: claims.tctx.targets, scopes, relied: [] }
}

/** Which session or subject it is makes no difference: a case has one of each kind. */
function keyOf(kind: TargetKind): Buffer {
  return targetKey({
    kind,
    tenant: kind === 'tenant' || kind === 'affiliation' ? 'tenant' : '',
    id: kind === 'tenant' ? '' : 'id',
  })
}

function meets(decision: Decision, { outcome, reason, rule, scopes }: PolicyExpectation): boolean {
  if (decision.outcome !== outcome) return false
  if (reason !== undefined && decision.reason !== reason) return false
  if (rule !== undefined && decision.rule !== rule) return false
  if (scopes === undefined) return true
  const left = decision.outcome === 'allow' ? decision.scopes : []
  return [...new Set(scopes)].sort().join(' ') === left.join(' ')
}

function invalid(publicMessage: string): PolicyError {
  return new PolicyError({ code: 'POLICY_CASES_INVALID', retriable: false, publicMessage })
}
