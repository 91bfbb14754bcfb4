/** Whatever may be used once, and what is forgotten when its time has passed. */
import type { Refusal, SessionStore } from '../port.ts'
import type { AuthorizationCode } from '../records.ts'
import { dropReset } from './accounts.ts'
import { CODE, ENROLMENT, ONCE, RESET, RESET_CODE, TOKEN } from './kinds.ts'
import { keyOf } from './layout.ts'
import { shown } from './shown.ts'
import type { Step, Tx } from './tx.ts'

export function* putCode(tx: Tx, hash: Buffer, code: AuthorizationCode): Step<void> {
  // Said again, it stays used.
  if ((yield* tx.get(CODE, hash)) === null) tx.put(CODE, { ...shown.code(code), hash })
}

export function* code(tx: Tx, hash: Buffer, now: number): Step<AuthorizationCode | null> {
  const found = yield* tx.get(CODE, hash)
  return found !== null && now < found.expiresAt ? shown.code(found) : null
}

/** Uses a code up for a session. @returns why not, null when done. */
export function* useCode(tx: Tx, hash: Buffer, session: string, now: number): Step<Refusal | null> {
  const found = yield* tx.get(CODE, hash)
  if (found === null || found.expiresAt <= now) return 'code_unknown'
  if (found.usedFor !== null) return 'code_used'
  tx.put(CODE, { ...found, usedFor: session })
  return null
}

export function* takeOnce(tx: Tx, o: Parameters<SessionStore['takeOnce']>[0]): Step<boolean> {
  const { key, expiresAt, now } = o
  const taken = yield* tx.get(ONCE, key)
  if (taken !== null && taken.expiresAt > now) return false
  tx.put(ONCE, { ...taken, key, expiresAt })
  return true
}

export function* dropExpired(tx: Tx, now: number, limit: number): Step<number> {
  const keys = yield* tx.range('expiring', { to: now, limit })
  yield* tx.load(...keys)
  const of = (name: string): string[] => keys.filter((key) => key.startsWith(`${name}:`))
  const over = ({ expiresAt }: { expiresAt: number }): boolean => expiresAt <= now
  const tokens = (yield* tx.all(TOKEN, of(TOKEN.name))).filter(over)
  for (const { hash } of tokens) tx.drop(TOKEN, hash)
  const codes = (yield* tx.all(CODE, of(CODE.name))).filter(over)
  for (const { hash } of codes) tx.drop(CODE, hash)
  const once = (yield* tx.all(ONCE, of(ONCE.name))).filter(over)
  for (const { key } of once) tx.drop(ONCE, key)
  const enrolments = (yield* tx.all(ENROLMENT, of(ENROLMENT.name))).filter(over)
  for (const { session } of enrolments) tx.drop(ENROLMENT, session)
  const resets = (yield* tx.all(RESET, of(RESET.name))).filter(over)
  yield* tx.load(...resets.map(({ codeHash }) => keyOf(RESET_CODE, codeHash)))
  for (const { sub } of resets) yield* dropReset(tx, sub)
  return tokens.length + codes.length + once.length + enrolments.length + resets.length
}

export function* putResetCode(tx: Tx, o: Parameters<SessionStore['putResetCode']>[0]): Step<void> {
  const { sub, codeHash, expiresAt } = o
  yield* tx.load(keyOf(RESET, sub), keyOf(RESET_CODE, codeHash))
  yield* dropReset(tx, sub)
  tx.put(RESET, { sub, codeHash, expiresAt })
  tx.put(RESET_CODE, { hash: codeHash, sub })
}

export function* resetCodeOwner(tx: Tx, codeHash: Buffer, now: number): Step<string | null> {
  yield* tx.follow(keyOf(RESET_CODE, codeHash))
  const owner = yield* tx.get(RESET_CODE, codeHash)
  return owner !== null && (yield* isResetCode(tx, owner.sub, codeHash, now)) ? owner.sub : null
}

/** True for the unused, unexpired code of this person. */
export function* isResetCode(tx: Tx, sub: string, codeHash: Buffer, now: number): Step<boolean> {
  const reset = yield* tx.get(RESET, sub)
  if (reset === null || reset.expiresAt <= now) return false
  return reset.codeHash.equals(codeHash)
}
