/** Secrets of services and operators, and how guesses are slowed. */
import type { AttemptRule } from '../port.ts'
import type { Secret } from '../records.ts'
import { ATTEMPT, SECRET, SECRET_NAME } from './kinds.ts'
import { keyOf } from './layout.ts'
import { shown } from './shown.ts'
import type { Step, Tx } from './tx.ts'

// Keys come from whoever knocks: forgotten ones go, a few with each attempt, so that there are never many.
const FORGOTTEN_AT_ONCE = 8

export function* putSecret(tx: Tx, secret: Secret): Step<void> {
  yield* tx.load(keyOf(SECRET, secret.name), keyOf(SECRET_NAME, secret.hash))
  const before = yield* tx.get(SECRET, secret.name)
  if (before !== null) {
    yield* tx.get(SECRET_NAME, before.hash)
    tx.drop(SECRET_NAME, before.hash)
  }
  tx.put(SECRET, { ...before, ...shown.secret(secret) })
  tx.put(SECRET_NAME, { hash: secret.hash, name: secret.name })
}

export function* secret(tx: Tx, hash: Buffer): Step<Secret | null> {
  yield* tx.follow(keyOf(SECRET_NAME, hash))
  const named = yield* tx.get(SECRET_NAME, hash)
  return named === null ? null : shown.secret(yield* tx.get(SECRET, named.name))
}

export function* admitAttempt(
  tx: Tx,
  { keys, now, baseMs, maxMs, forgetMs }: AttemptRule & { now: number },
): Step<number> {
  yield* tx.load(...keys.map(({ key }) => keyOf(ATTEMPT, key)))
  const counts: { key: string; free: number; attempts: number }[] = []
  let wait = 0
  for (const { key, free } of keys) {
    const held = yield* tx.get(ATTEMPT, key)
    // A clock stepped back must not leave a key resting for longer than the rule can ask.
    const usable = held !== null && now - held.lastAt < forgetMs && held.restsUntil - now <= maxMs
    counts.push({ key, free, attempts: usable ? held.attempts : 0 })
    if (usable) wait = Math.max(wait, held.restsUntil - now)
  }
  if (wait > 0) return wait
  for (const { key, free, attempts } of counts) {
    const count = attempts + 1
    // Not `now`, where nothing rests: steps of the same moment are written in any order of their clocks.
    const restsUntil = count < free ? 0 : now + Math.min(maxMs, baseMs * 2 ** (count - free))
    tx.put(ATTEMPT, { ...(yield* tx.get(ATTEMPT, key)), key, attempts: count, restsUntil, lastAt: now })
  }
  const idle = yield* tx.range('attempts', { to: now - forgetMs, limit: FORGOTTEN_AT_ONCE })
  for (const { key, lastAt } of yield* tx.all(ATTEMPT, idle)) if (lastAt <= now - forgetMs) tx.drop(ATTEMPT, key)
  return 0
}

export function* settleAttempt(
  tx: Tx,
  { cleared, refunded }: { cleared: readonly string[]; refunded: readonly string[] },
): Step<void> {
  yield* tx.load(...[...cleared, ...refunded].map((key) => keyOf(ATTEMPT, key)))
  for (const key of cleared) tx.drop(ATTEMPT, key)
  for (const key of refunded) {
    const held = yield* tx.get(ATTEMPT, key)
    if (held !== null) tx.put(ATTEMPT, { ...held, attempts: Math.max(0, held.attempts - 1), restsUntil: 0 })
  }
}
