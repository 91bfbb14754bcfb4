/**
 * Job classes: a consumer's rules for a kind of work, as plain data that can be reviewed, stored and
 * hashed. Owns their validation and version. Invariant: rules are complete and frozen, so deciding
 * never asks for a default.
 */
import { createHash } from 'node:crypto'
import { REASONS, type Reason } from '@countersign/revocation'
import type { PrincipalKind } from '@countersign/schemas'
import { z } from 'zod'
import { PolicyError } from './errors.ts'
import {
  type AuditRule,
  type EffectRule,
  type InFlightRule,
  PRESET_NAMES,
  PRESETS,
  type PresetName,
} from './presets.ts'

/** A job class as it is written down; what is absent comes from the preset. */
export interface JobClassInput {
  /** Name in decisions and metrics: lower case, digits, `.`, `-`, `_`; at most 64. */
  name: string
  /** Logical topic of the work. */
  topic: string
  /** What the class does to the object, such as `export`; recorded with every decision. */
  action: string
  /** Payload field that names the object acted upon. @defaultValue none */
  object?: string | null
  /** @defaultValue `strict` */
  preset?: PresetName
  /** Scopes the work needs, all of them. @defaultValue none */
  scopes?: readonly string[]
  /** Oldest view it may be judged by, milliseconds; at least three checkpoint intervals + ε. */
  stalenessBudgetMs?: number
  /** Longest the notary may have been unable to ask the store, milliseconds; null for any. */
  storeUnseenBudgetMs?: number | null
  /** Wait (at most `maxWaitMs`, then park) or park at once when the view is not fresh. */
  whenNotFresh?: 'wait' | 'park'
  /** Longest wait, milliseconds, 0 to 600,000. */
  maxWaitMs?: number
  /** Principals that may ask for it; null for any. @defaultValue null */
  principals?: readonly PrincipalKind[] | null
  /** Accepted authentication strengths; null for any. @defaultValue null */
  acr?: readonly string[] | null
  /** Oldest authentication at sealing, milliseconds; null for any. @defaultValue null */
  maxAuthAgeMs?: number | null
  /** Accepted device postures; null for any. @defaultValue null */
  posture?: readonly string[] | null
  /** Accepted risk levels; null for any. @defaultValue null */
  risk?: readonly string[] | null
  /** Per reason, what happens to work accepted before the signal; over the preset. */
  inFlight?: {
    queued?: Partial<Record<Reason, InFlightRule>>
    running?: Partial<Record<Reason, InFlightRule>>
  }
  /** `rechecked`: work is done only by what its handler commits through `commitIfAllowed`. */
  effect?: EffectRule
  /** Longest one attempt may take before its signal aborts, milliseconds, at least 1; null for any time. */
  timeoutMs?: number | null
  /** Times the handler is tried in all, 1 to 100. */
  attempts?: number
  /** Wait before the second attempt, milliseconds; doubles each time. */
  backoffMs?: number
  /** Longest wait between attempts, milliseconds. */
  backoffMaxMs?: number
  /** What becomes of work while decisions cannot be recorded: none starts, or they are spooled. @defaultValue `required` */
  audit?: AuditRule
  /** Decide and record, but never block. @defaultValue false */
  observe?: boolean
}

/** A complete job class; made only by {@link defineJobClass}. */
export interface JobClassRules {
  readonly name: string
  readonly topic: string
  readonly action: string
  readonly object: string | null
  readonly scopes: readonly string[]
  readonly stalenessBudgetMs: number
  readonly storeUnseenBudgetMs: number | null
  readonly whenNotFresh: 'wait' | 'park'
  readonly maxWaitMs: number
  readonly principals: readonly PrincipalKind[] | null
  readonly acr: readonly string[] | null
  readonly maxAuthAgeMs: number | null
  readonly posture: readonly string[] | null
  readonly risk: readonly string[] | null
  readonly inFlight: {
    readonly queued: Readonly<Record<Reason, InFlightRule>>
    readonly running: Readonly<Record<Reason, InFlightRule>>
  }
  readonly effect: EffectRule
  readonly timeoutMs: number | null
  readonly attempts: number
  readonly backoffMs: number
  readonly backoffMaxMs: number
  readonly audit: AuditRule
  readonly observe: boolean
}

/** What bounds a job class from outside. */
export interface JobClassLimits {
  /** Interval between checkpoints, milliseconds. @defaultValue 1000 */
  checkpointIntervalMs?: number
  /** Skew tolerance ε, milliseconds. @defaultValue 250 */
  epsilonMs?: number
}

const text = z.string().min(1).max(256)
const list = z.array(text).max(64)
const millis = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const inFlightRules = z.partialRecord(z.enum(REASONS), z.enum(['finish', 'stop']))

const input = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'lower case letters, digits, dot, dash or underscore, at most 64'),
  topic: text,
  action: text,
  object: text.nullable().default(null),
  preset: z.enum(PRESET_NAMES).default('strict'),
  scopes: list.default([]),
  stalenessBudgetMs: millis.optional(),
  storeUnseenBudgetMs: millis.nullable().optional(),
  whenNotFresh: z.enum(['wait', 'park']).optional(),
  maxWaitMs: millis.max(600_000).optional(),
  principals: z
    .array(z.enum(['user', 'service', 'webhook', 'schedule', 'system']))
    .min(1)
    .nullable()
    .default(null),
  acr: list.min(1).nullable().default(null),
  maxAuthAgeMs: millis.nullable().default(null),
  posture: list.min(1).nullable().default(null),
  risk: list.min(1).nullable().default(null),
  inFlight: z.strictObject({ queued: inFlightRules.default({}), running: inFlightRules.default({}) }).optional(),
  effect: z.enum(['any', 'rechecked']).optional(),
  timeoutMs: millis.min(1).nullable().optional(),
  attempts: z.number().int().min(1).max(100).optional(),
  backoffMs: millis.optional(),
  backoffMaxMs: millis.optional(),
  audit: z.enum(['required', 'spooled']).optional(),
  observe: z.boolean().default(false),
})

/**
 * Turns written rules into complete, frozen ones. Unknown keys are refused by name.
 *
 * @param data a {@link JobClassInput}, typed or as parsed from JSON.
 * @throws {POLICY_CLASS_INVALID} naming each field that is wrong, or a staleness budget below three intervals + ε.
 */
export function defineJobClass(data: JobClassInput, limits?: JobClassLimits): JobClassRules
export function defineJobClass(data: unknown, limits?: JobClassLimits): JobClassRules
export function defineJobClass(data: unknown, limits: JobClassLimits = {}): JobClassRules {
  const parsed = input.safeParse(data)
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error))
  const given = parsed.data
  const preset = PRESETS[given.preset]
  const stalenessBudgetMs = given.stalenessBudgetMs ?? preset.stalenessBudgetMs
  const least = 3 * (limits.checkpointIntervalMs ?? 1_000) + (limits.epsilonMs ?? 250)
  if (stalenessBudgetMs < least) {
    throw invalid(
      `stalenessBudgetMs of ${given.name} is ${stalenessBudgetMs}; at least ${least} (three checkpoint intervals and the skew)`,
    )
  }
  return deepFreeze({
    name: given.name,
    topic: given.topic,
    action: given.action,
    object: given.object,
    scopes: [...new Set(given.scopes)].sort(),
    stalenessBudgetMs,
    storeUnseenBudgetMs:
      given.storeUnseenBudgetMs === undefined ? preset.storeUnseenBudgetMs : given.storeUnseenBudgetMs,
    whenNotFresh: given.whenNotFresh ?? preset.whenNotFresh,
    maxWaitMs: given.maxWaitMs ?? preset.maxWaitMs,
    principals: given.principals,
    acr: given.acr,
    maxAuthAgeMs: given.maxAuthAgeMs,
    posture: given.posture,
    risk: given.risk,
    inFlight: {
      queued: { ...preset.queued, ...given.inFlight?.queued } as Record<Reason, InFlightRule>,
      running: { ...preset.running, ...given.inFlight?.running } as Record<Reason, InFlightRule>,
    },
    effect: given.effect ?? preset.effect,
    timeoutMs: given.timeoutMs === undefined ? preset.timeoutMs : given.timeoutMs,
    attempts: given.attempts ?? preset.attempts,
    backoffMs: given.backoffMs ?? preset.backoffMs,
    backoffMaxMs: given.backoffMaxMs ?? preset.backoffMaxMs,
    audit: given.audit ?? preset.audit,
    observe: given.observe,
  })
}

/** @returns 32 hexadecimal digits that change exactly when a rule does, whatever the order of keys. */
export function ruleVersion(rules: JobClassRules): string {
  return ruleVersionOf(canonicalRules(rules))
}

/** What `ruleVersion` is the hash of: the rules as JSON with sorted keys and no blanks; `defineJobClass` reads it back. */
export function canonicalRules(rules: JobClassRules): string {
  return canonical(rules)
}

/** @param canonicalJson from `canonicalRules`, of this process or another. */
export function ruleVersionOf(canonicalJson: string): string {
  return createHash('sha256').update('countersign.job-class.v1\0').update(canonicalJson).digest('hex').slice(0, 32)
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, part]) => `${JSON.stringify(key)}:${canonical(part)}`).join(',')}}`
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (part !== null && typeof part === 'object') deepFreeze(part)
  return Object.freeze(value)
}

function invalid(publicMessage: string): PolicyError {
  return new PolicyError({ code: 'POLICY_CLASS_INVALID', retriable: false, publicMessage })
}
