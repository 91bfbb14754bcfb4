/** Slows guessing at passwords and codes, per account and per source; both count before the guess is looked at. */
import { createHash } from 'node:crypto'
import { type Clock, days, hours, type Millis, minutes, seconds } from '@countersign/kernel'
import type { AttemptRule, SessionStore } from '@countersign/session-store'

// One household or office shares an address, so it gets more than one account does.
const FREE_PER_ACCOUNT = 5
const FREE_PER_SOURCE = 50
const RULE: Omit<AttemptRule, 'keys'> = { baseMs: seconds(1), maxMs: minutes(5), forgetMs: minutes(30) }
// A code has six digits, and three are good at a time: some 24 guesses a day take decades to find one.
const CODE_RULE: Omit<AttemptRule, 'keys'> = { baseMs: seconds(1), maxMs: hours(1), forgetMs: days(1) }

export interface Attempt {
  /** How long to wait, 0 to go on. */
  readonly wait: Millis | 0
  /** After a success: the account starts anew, the source gets this attempt back. */
  succeeded(): Promise<void>
}

interface AttemptsOptions {
  readonly store: Pick<SessionStore, 'admitAttempt' | 'settleAttempt'>
  readonly clock: Clock
}

/** Counts an attempt against an address, known or not. @throws {SESSION_STORE_UNAVAILABLE}. */
export async function attempt({ store, clock }: AttemptsOptions, email: string, source: string): Promise<Attempt> {
  const byAccount = keyOf('account', email)
  const bySource = keyOf('source', source)
  const keys = [
    { key: byAccount, free: FREE_PER_ACCOUNT },
    { key: bySource, free: FREE_PER_SOURCE },
  ]
  const wait = await store.admitAttempt({ ...RULE, keys, now: clock.now() })
  return { wait, succeeded: () => store.settleAttempt({ cleared: [byAccount], refunded: [bySource] }) }
}

/**
 * Counts a guess at a person's codes, apart from their password: who has that could log in to start anew.
 * @throws {SESSION_STORE_UNAVAILABLE}.
 */
export async function codeAttempt({ store, clock }: AttemptsOptions, sub: string): Promise<Attempt> {
  const key = keyOf('code', sub)
  const wait = await store.admitAttempt({ ...CODE_RULE, keys: [{ key, free: FREE_PER_ACCOUNT }], now: clock.now() })
  return { wait, succeeded: () => store.settleAttempt({ cleared: [key], refunded: [] }) }
}

// What people type into an address field is sometimes their password: only its hash is kept.
function keyOf(kind: string, text: string): string {
  return `${kind}:${createHash('sha256').update(text).digest('base64url')}`
}
