/**
 * The sentence: what a stolen credential is still good for, per kind of credential and job class, computed from what is
 * configured and from what was measured. Pure.
 */
import type { JobClassRules } from '@countersign/policy'
import type { CredentialKind } from '@countersign/schemas'
import { arithmetic, boundOf, type Term } from './bound.ts'
import { CREDENTIAL_KINDS, CREDENTIALS, type CredentialLife } from './credentials.ts'
import type { Exposures, Measured } from './measured.ts'

/** A consumer as it is registered. */
export interface SentenceConsumer {
  readonly consumer: string
  readonly instance: Uint8Array
  readonly classes: readonly JobClassRules[]
  /** Skew it judges by, milliseconds. */
  readonly epsilonMs: number
  /** It has said goodbye: its rules count only where nobody else has the class. */
  readonly gone: boolean
}

/** One kind of credential under one job class. */
export interface Sentence {
  readonly credential: CredentialKind
  readonly jobClass: string
  /** From a revocation's place on the log to the last start of work under it, milliseconds; null when nothing bounds it. */
  readonly boundMs: number | null
  readonly terms: readonly Term[]
  /** The bound as a sum, for people. */
  readonly arithmetic: string
  readonly measured: Measured | null
  /** Of `measured`, milliseconds. */
  readonly p99Ms: number | null
  /** Of `measured`. */
  readonly revocations: number
  /** How long it lives when nobody revokes it; empty when that is not known. */
  readonly unrevoked: readonly CredentialLife[]
  /** What holds beside the number, for people. */
  readonly beside: readonly string[]
  readonly text: string
}

export interface SentenceInput {
  readonly consumers: readonly SentenceConsumer[]
  readonly exposures: Pick<Exposures, 'of'>
  /** As identity tells them; empty when it was not asked. */
  readonly lives: readonly CredentialLife[]
  /** Of the bundle in force: a JWT of another issuer is taken for so long at most. Null without one. */
  readonly windowMs: number | null
}

/** @returns by class, then by kind of credential in the order of the schema; empty without consumers. */
export function sentencesOf({ consumers, exposures, lives, windowMs }: SentenceInput): Sentence[] {
  const names = [...new Set(consumers.flatMap(({ classes }) => classes.map(({ name }) => name)))].sort()
  return names.flatMap((jobClass) => {
    const having = consumers.filter(({ classes }) => classes.some(({ name }) => name === jobClass))
    const present = having.filter(({ gone }) => !gone)
    const inForce = (present.length > 0 ? present : having).flatMap(({ classes, epsilonMs }) =>
      classes.filter(({ name }) => name === jobClass).map((rules) => ({ rules, epsilonMs })),
    )
    const bound = boundOf(inForce)
    const instances = having.map(({ instance }) => instance)
    return CREDENTIAL_KINDS.filter((kind) => inForce.some(({ rules }) => takes(rules, kind))).map((credential) => {
      const measured = exposures.of(instances, CREDENTIALS[credential].endedBy, bound.ms)
      const unrevoked = livesOf(credential, lives, windowMs)
      const { ms: boundMs, terms, beside } = bound
      const row = { credential, jobClass, boundMs, terms, arithmetic: arithmetic(bound), measured, unrevoked, beside }
      const figures = { p99Ms: measured?.p99 ?? null, revocations: measured?.revocations ?? 0 }
      return { ...row, ...figures, text: textOf(row) }
    })
  })
}

function takes({ principals }: JobClassRules, credential: CredentialKind): boolean {
  return principals === null || CREDENTIALS[credential].principals.some((one) => principals.includes(one))
}

function livesOf(
  credential: CredentialKind,
  lives: readonly CredentialLife[],
  windowMs: number | null,
): readonly CredentialLife[] {
  const own = lives.filter((life) => life.credential === credential)
  if (credential !== 'jwt' || windowMs === null) return own
  return [...own, { credential, name: 'JWT of another issuer', idleMs: null, absoluteMs: windowMs }]
}

function textOf(row: Omit<Sentence, 'text' | 'p99Ms' | 'revocations'>): string {
  const { credential, jobClass, boundMs, measured, unrevoked, beside } = row
  const { name } = CREDENTIALS[credential]
  const for_ = `${name} stays useful for ${jobClass}`
  const bounded =
    boundMs === null
      ? `${for_} whatever is revoked`
      : `${for_} for at most ${spoken(boundMs)} after its revocation (${row.arithmetic})`
  const seen =
    measured === null
      ? 'not measured yet'
      : `measured: p99 ${spoken(measured.p99)} over the last ${counted(measured.revocations)}`
  const lived = unrevoked.map((life) => `${spoken(life.absoluteMs)} (${life.name})`).join(', ')
  const said = [`${bounded}; ${seen}.`]
  if (beside.length > 0) said.push(`${capital(beside.join('; '))}.`)
  if (lived !== '') said.push(`If nobody revokes it: ${lived}.`)
  return said.join(' ')
}

function counted(n: number): string {
  return n === 1 ? 'revocation' : `${n.toLocaleString('en')} revocations`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

const UNITS = [
  ['days', 86_400_000],
  ['hours', 3_600_000],
  ['minutes', 60_000],
  ['s', 1_000],
] as const

/** `3.5 s`, `29 ms`, `12 hours`: the largest unit that leaves at most two decimals of seconds, and none of the others. */
export function spoken(ms: number): string {
  for (const [unit, size] of UNITS) {
    const n = ms / size
    if (n < 1 || (unit !== 's' && !Number.isInteger(n))) continue
    return n === 1 && unit !== 's' ? `1 ${unit.slice(0, -1)}` : `${Math.round(n * 100) / 100} ${unit}`
  }
  return `${ms} ms`
}
