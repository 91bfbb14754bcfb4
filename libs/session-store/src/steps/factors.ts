/** Second factors: enrolled, used once for each proof, removed; and who was asked for one. */
import type { FactorUse, NewSession, Refusal, Refused, SessionStore } from '../port.ts'
import type { Enrolment, Factor, StepUp } from '../records.ts'
import { ACCOUNT, ENROLMENT, FACTOR, FACTOR_CREDENTIAL, SESSION, STEP_UP } from './kinds.ts'
import { indexOf, type Kept, keyOf } from './layout.ts'
import { shown } from './shown.ts'
import { stands } from './targets.ts'
import type { Step, Tx } from './tx.ts'

export function* factorsOf(tx: Tx, sub: string): Step<Factor[]> {
  const all = yield* tx.all(FACTOR, yield* tx.range(indexOf('factors', sub)))
  return all.map((factor) => shown.factor(factor))
}

export function* putEnrolment(tx: Tx, enrolment: Enrolment): Step<void> {
  const before = yield* tx.get(ENROLMENT, enrolment.session)
  tx.put(ENROLMENT, { ...before, ...shown.enrolment(enrolment) })
}

export function* enrolment(tx: Tx, session: string, now: number): Step<Enrolment | null> {
  const found = yield* tx.get(ENROLMENT, session)
  return found !== null && now < found.expiresAt ? shown.enrolment(found) : null
}

export function* addFactors(
  tx: Tx,
  { factors, enrolment: session, most, now }: Parameters<SessionStore['addFactors']>[0],
): Step<readonly Factor[] | Refused> {
  const credentials = factors.flatMap(({ webauthn }) => (webauthn === null ? [] : [webauthn.id]))
  yield* tx.load(
    ...factors.flatMap(({ handle, sub }) => [keyOf(FACTOR, handle), keyOf(ACCOUNT, sub)]),
    ...credentials.map((id) => keyOf(FACTOR_CREDENTIAL, id)),
  )
  if (session !== null) {
    const begun = yield* enrolment(tx, session, now)
    if (begun === null || factors.some(({ sub }) => sub !== begun.sub)) return { refused: 'enrolment_unknown' }
    if (!(yield* isLive(tx, session, now))) return { refused: 'session_unknown' }
    if (!(yield* standsOnOne(tx, session, begun.sub))) return { refused: 'enrolment_unknown' }
    tx.drop(ENROLMENT, session)
  }
  for (const factor of factors) {
    const refused = yield* mayHave(tx, factor, most)
    if (refused !== null) return { refused }
    tx.put(FACTOR, shown.factor(factor))
    if (factor.webauthn !== null) tx.put(FACTOR_CREDENTIAL, { id: factor.webauthn.id, handle: factor.handle })
  }
  return factors.map((factor) => shown.factor(factor))
}

function* mayHave(tx: Tx, { sub, kind, handle, webauthn }: Factor, most: number): Step<Refusal | null> {
  const person = yield* tx.get(ACCOUNT, sub)
  if (person === null) return 'account_unknown'
  if (person.state !== 'active') return 'account_not_active'
  if ((yield* tx.get(FACTOR, handle)) !== null) return 'factor_exists'
  if (webauthn !== null && (yield* tx.get(FACTOR_CREDENTIAL, webauthn.id)) !== null) return 'factor_exists'
  const alike = (yield* factorsOf(tx, sub)).filter((factor) => factor.kind === kind).length
  if (kind === 'webauthn') return alike >= most ? 'factor_limit' : null
  return alike > 0 ? 'factor_exists' : null
}

export function* renameFactor(
  tx: Tx,
  { sub, factor, name }: Parameters<SessionStore['renameFactor']>[0],
): Step<Factor | Refused> {
  const found = yield* tx.get(FACTOR, factor)
  if (found?.sub !== sub) return { refused: 'factor_unknown' }
  tx.put(FACTOR, { ...found, name })
  return shown.factor({ ...found, name })
}

export function* replaceCodes(
  tx: Tx,
  { sub, factor, codes }: Parameters<SessionStore['replaceCodes']>[0],
): Step<Factor | Refused> {
  const found = yield* tx.get(FACTOR, factor)
  if (found?.sub !== sub || found.kind !== 'recovery') return { refused: 'factor_unknown' }
  tx.put(FACTOR, { ...found, codes })
  return shown.factor({ ...found, codes })
}

/** Takes factors from a person. @returns why not, null when done. */
export function* removeFactors(tx: Tx, sub: string, handles: readonly string[]): Step<Refusal | null> {
  const found = yield* tx.all(
    FACTOR,
    handles.map((handle) => keyOf(FACTOR, handle)),
  )
  if (found.length === 0 || found.length < handles.length || found.some((factor) => factor.sub !== sub))
    return 'factor_unknown'
  for (const factor of found) yield* dropFactor(tx, factor)
  return null
}

export function* dropFactor(tx: Tx, { handle, webauthn }: Factor): Step<void> {
  tx.drop(FACTOR, handle)
  if (webauthn === null) return
  yield* tx.get(FACTOR_CREDENTIAL, webauthn.id)
  tx.drop(FACTOR_CREDENTIAL, webauthn.id)
}

/** Judges what a session to begin stands on, and uses it up. @returns why not, null when done. */
export function* standOn(tx: Tx, { factor, sub, now }: NewSession): Step<Refusal | null> {
  if (factor === null) return null
  const found = yield* tx.get(FACTOR, factor.handle)
  if (found?.sub !== sub) return 'factor_unknown'
  const { use } = factor
  if (use === null) return null
  const asked = yield* stepUp(tx, use.stepUp, now)
  if (asked?.sub !== sub) return 'step_up_unknown'
  // Else what ends it just now would be outlived by what it was stepped up to.
  if (!(yield* isLive(tx, use.stepUp, now))) return 'session_unknown'
  if (use.kind === 'webauthn' && !asked.challenge.equals(use.challenge)) return 'step_up_unknown'
  const used = usedUp(found, use)
  if (used === null) return 'factor_used'
  tx.put(FACTOR, { ...used, lastUsedAt: Math.max(found.lastUsedAt ?? 0, now) })
  tx.drop(STEP_UP, use.stepUp)
  return null
}

/** The factor with this use noted; null when it has been used so before. */
function usedUp(factor: Kept<Factor>, use: FactorUse): Kept<Factor> | null {
  const { totp, codes, webauthn } = factor
  switch (use.kind) {
    case 'totp':
      if (totp === null || use.step <= totp.usedStep) return null
      return {
        ...factor,
        totp: { ...totp, usedStep: use.step, ...(use.resealed && { sealedSecret: use.resealed }) },
      }
    case 'recovery':
      if (!codes?.includes(use.code)) return null
      return { ...factor, codes: codes.filter((code) => code !== use.code) }
    case 'webauthn':
      if (webauthn === null || (use.counter <= webauthn.counter && use.counter + webauthn.counter > 0)) return null
      return { ...factor, webauthn: { ...webauthn, counter: use.counter } }
  }
}

function* isLive(tx: Tx, handle: string, now: number): Step<boolean> {
  yield* tx.follow(keyOf(SESSION, handle))
  const session = yield* tx.get(SESSION, handle)
  return session !== null && (yield* stands(tx, session.targets, now))
}

/** True for a session begun with a factor of its person, and while they have none: the first may come from anywhere. */
function* standsOnOne(tx: Tx, handle: string, sub: string): Step<boolean> {
  const has = new Set((yield* factorsOf(tx, sub)).map((factor) => factor.handle))
  const targets = (yield* tx.get(SESSION, handle))?.targets ?? []
  return has.size === 0 || targets.some(({ kind, id }) => kind === 'device' && has.has(id))
}

export function* beginStepUp(
  tx: Tx,
  asked: StepUp,
  now: number,
): Step<{ stepUp: StepUp; isNew: boolean; abandoned: StepUp | null }> {
  const before = yield* tx.get(STEP_UP, asked.session)
  if (before === null || before.expiresAt <= now) {
    tx.put(STEP_UP, { ...before, ...shown.stepUp(asked) })
    return { stepUp: shown.stepUp(asked), isNew: true, abandoned: before && shown.stepUp(before) }
  }
  const { acr, client, challenge } = asked
  const next = { ...before, acr, client, challenge }
  tx.put(STEP_UP, next)
  return { stepUp: shown.stepUp(next), isNew: false, abandoned: null }
}

export function* stepUp(tx: Tx, session: string, now: number): Step<StepUp | null> {
  const found = yield* tx.get(STEP_UP, session)
  return found !== null && now < found.expiresAt ? shown.stepUp(found) : null
}

export function* takeAbandonedStepUps(tx: Tx, now: number, limit: number): Step<StepUp[]> {
  const found = yield* tx.all(STEP_UP, yield* tx.range('step-ups', { to: now, limit }))
  const abandoned = found.filter(({ expiresAt }) => expiresAt <= now)
  for (const { session } of abandoned) tx.drop(STEP_UP, session)
  return abandoned.map((one) => shown.stepUp(one))
}
