/**
 * Every path that ends or lowers authority, in one table. The code reads it: a path raises what its row
 * says and nothing else. A test drives each path and compares.
 */

import { reasonEffect, scopeEffect, TARGET_KINDS, type Target } from '@countersign/revocation'
import type { Reason, TargetKind } from '@countersign/schemas'
import type { Raise } from '@countersign/session-store'

/** What one path takes, and from whom. */
export interface EndingRow {
  /** Kinds of target it hits; each target of a run is of one of them. */
  readonly kinds: readonly TargetKind[]
  /** The reason it gives; `removed scopes`: one signal per scope lost; `as asked`: what the caller names. */
  readonly effect: Reason | 'removed scopes' | 'as asked'
  /** Reason a reader applies that does not know the effect. */
  readonly fallback: Reason
  /** When it is taken, for people. */
  readonly when: string
}

export const ENDINGS = {
  logout: { kinds: ['session'], effect: 'logout', fallback: 'logout', when: 'a person logs out' },
  relogin: {
    kinds: ['session'],
    effect: 'logout',
    fallback: 'logout',
    when: 'a login replaces the session of the same browser',
  },
  session_end: {
    kinds: ['session', 'family'],
    effect: 'logout',
    fallback: 'logout',
    when: 'a person ends one of their sessions, or all but the one they use',
  },
  sessions_end_all: {
    kinds: ['subject'],
    effect: 'logout',
    fallback: 'logout',
    when: 'a person ends all of their sessions',
  },
  session_end_by_administrator: {
    kinds: ['session', 'family'],
    effect: 'admin',
    fallback: 'admin',
    when: "an administrator or operator ends a person's session",
  },
  session_limit: {
    kinds: ['session', 'family'],
    effect: 'limit',
    fallback: 'limit',
    when: 'a new session is one too many of its kind, and this one goes',
  },
  reauthentication_forced: {
    kinds: ['session', 'family', 'subject'],
    effect: 'policy',
    fallback: 'policy',
    when: 'an administrator or operator has a person log in again',
  },
  expiry: {
    kinds: ['session', 'family'],
    effect: 'expiry',
    fallback: 'expiry',
    when: 'a session was idle for too long, or reached its absolute end',
  },
  password_reset: {
    kinds: ['subject'],
    effect: 'password_reset',
    fallback: 'password_reset',
    when: 'a reset code was used',
  },
  account_suspension: {
    kinds: ['subject'],
    effect: 'suspension',
    fallback: 'suspension',
    when: 'an operator suspends a person everywhere',
  },
  account_deletion: {
    kinds: ['subject'],
    effect: 'offboarding',
    fallback: 'offboarding',
    when: 'an operator deletes a person',
  },
  affiliation_suspension: {
    kinds: ['affiliation'],
    effect: 'suspension',
    fallback: 'suspension',
    when: 'an administrator suspends a person in their tenant',
  },
  affiliation_removal: {
    kinds: ['affiliation'],
    effect: 'offboarding',
    fallback: 'offboarding',
    when: 'an administrator removes a person from their tenant',
  },
  role_change: {
    kinds: ['affiliation'],
    effect: 'removed scopes',
    fallback: 'role_change',
    when: 'new roles grant less than the old ones did',
  },
  device_loss: {
    kinds: ['device'],
    effect: 'device_lost',
    fallback: 'device_lost',
    when: 'a person gives one of their devices up as lost',
  },
  factor_removal: {
    kinds: ['device'],
    effect: 'device_lost',
    fallback: 'device_lost',
    when: 'a person removes a factor; recovery codes go with the last',
  },
  factors_removal_by_administrator: {
    kinds: ['device', 'subject'],
    effect: 'device_lost',
    fallback: 'device_lost',
    when: 'an administrator or operator removes the factors of a person who lost them',
  },
  client_disable: {
    kinds: ['client'],
    effect: 'suspension',
    fallback: 'suspension',
    when: 'an operator disables a client',
  },
  client_secret_rotation: {
    kinds: ['client'],
    effect: 'password_reset',
    fallback: 'password_reset',
    when: 'a client gets a new secret',
  },
  client_narrowing: {
    kinds: ['client'],
    effect: 'role_change',
    fallback: 'role_change',
    when: 'a client loses scopes, audiences, redirect URIs or grants',
  },
  token_revocation: {
    kinds: ['token', 'family'],
    effect: 'logout',
    fallback: 'logout',
    when: 'a client gives a token back (RFC 7009)',
  },
  token_reuse: {
    kinds: ['family'],
    effect: 'token_reuse',
    fallback: 'token_reuse',
    when: 'a used-up refresh token comes back after its grace',
  },
  family_rollback: {
    kinds: ['family'],
    effect: 'token_reuse',
    fallback: 'token_reuse',
    when: 'a refresh token is newer than its family: the store lost rotations',
  },
  code_reuse: {
    kinds: ['family'],
    effect: 'token_reuse',
    fallback: 'token_reuse',
    when: 'an authorization code comes a second time (RFC 6749 §4.1.2)',
  },
  key_compromise: {
    kinds: ['client'],
    effect: 'compromise',
    fallback: 'compromise',
    when: 'an operator gives up a key that signs',
  },
  revocation: {
    kinds: TARGET_KINDS,
    effect: 'as asked',
    fallback: 'admin',
    when: 'an operator or administrator revokes by name',
  },
  store_rollback: {
    kinds: ['tenant'],
    effect: 'compromise',
    fallback: 'compromise',
    when: 'the store lost signals that the log no longer holds',
  },
} as const satisfies Record<string, EndingRow>

export type EndingPath = keyof typeof ENDINGS

/** What a path needs to know besides its row. */
export interface EndingFacts {
  readonly target: Target
  /** For `removed scopes`. */
  readonly scopes?: readonly string[]
  /** For `as asked`. */
  readonly effect?: string
  readonly fallback?: Reason
  /** Version the target was made under, where the store keeps none: the floor is above it, whatever the clock says. */
  readonly version?: number
  /** Highest version or floor of the target on the own view. */
  readonly atLeast: number
}

/** Says what a path raises. A test plants another one to show that a missing emission is noticed. */
export type RaisesOf = (path: EndingPath, facts: EndingFacts) => Raise[]

/**
 * The raises of one run of a path on one target, as its row says.
 * @throws {TypeError} when the target is not of a kind the row names: a fault of the calling code.
 */
export function raisesOf(path: EndingPath, facts: EndingFacts): Raise[] {
  const row: EndingRow = ENDINGS[path]
  const { target, atLeast } = facts
  if (!row.kinds.includes(target.kind)) throw new TypeError(`${path} does not hit a ${target.kind}`)
  const raise = (effect: string, fallback: Reason): Raise => ({ target, effect, fallback, atLeast })
  switch (row.effect) {
    case 'removed scopes':
      return (facts.scopes ?? []).map((scope) => raise(scopeEffect(scope), row.fallback))
    case 'as asked':
      return facts.effect === undefined ? [] : [raise(facts.effect, facts.fallback ?? row.fallback)]
    default:
      return [raise(reasonEffect(row.effect), row.fallback)]
  }
}
