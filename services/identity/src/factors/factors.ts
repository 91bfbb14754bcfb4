/**
 * What people show themselves by besides their password: added by who just did so, removed by who still can, or by an
 * administrator when all is lost. A factor that goes ends what was begun with it.
 */
import type { Journey } from '@countersign/journey'
import { type Clock, type Millis, newHandle, type Random } from '@countersign/kernel'
import { target } from '@countersign/revocation'
import type { Factor, Refusal, Session, SessionStore, WebAuthnCredential } from '@countersign/session-store'
import { type Answer, answerOf, freshId, idText, requestDigest } from '../answers.ts'
import type { Authority } from '../authority.ts'
import type { Asked } from '../people/administration.ts'
import { codeAttempt } from '../people/attempts.ts'
import type { SessionKinds } from '../sessions/kinds.ts'
import { isRecent, type Known, type NewDeviceRule } from '../sessions/sessions.ts'
import type { RecoveryCodes } from './recovery-codes.ts'
import { reaches } from './strength.ts'
import { keyUri, type TotpSecrets } from './totp.ts'

export interface FactorsOptions {
  readonly store: SessionStore
  readonly authority: Pick<Authority, 'end'>
  readonly totp: TotpSecrets
  readonly codes: RecoveryCodes
  readonly clock: Clock
  readonly journey: Journey
  readonly random: Random
  readonly kinds: SessionKinds
  readonly newDevice: NewDeviceRule
  /** Name of this service in authenticator apps. */
  readonly service: string
  /** How long an enrolment waits to be confirmed. */
  readonly waitMs: Millis
}

/** Why a session is not enough for what gives authority. */
export type GivingFault = 'not_permitted' | 'reauthentication_required' | 'step_up_required'

export type FactorFault = Refusal | GivingFault | 'step_up_failed' | 'login_slowed'

/** Shown once. */
export interface TotpEnrolment {
  /** Base32. */
  readonly secret: string
  readonly uri: string
  readonly expiresAt: number
}

export type Added =
  | {
      readonly ok: true
      readonly factor: Factor
      /** Recovery codes that came with the first factor, shown once; null for none. */
      readonly codes: readonly string[] | null
    }
  | { readonly ok: false; readonly code: FactorFault; readonly retryAfterMs?: Millis }

// A person with more keys than this has lost count of them.
const MOST_KEYS = 10

export class Factors {
  readonly #options: FactorsOptions

  constructor(options: FactorsOptions) {
    this.#options = options
  }

  /** @returns a person's factors, oldest first. @throws {SESSION_STORE_UNAVAILABLE}. */
  list(sub: string): Promise<readonly Factor[]> {
    return this.#options.store.factorsOf(sub)
  }

  /**
   * Why this session may not give authority now, or change its person's factors; null when it may. Who has a factor shows
   * it first: else a password, or a cookie left lying about, would be enough. @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async faultOf({ session }: Known): Promise<GivingFault | null> {
    const { store, kinds, newDevice, clock } = this.#options
    if (session.act.length > 0 || (session.kind !== 'browser' && session.kind !== 'admin')) return 'not_permitted'
    const has = (await store.factorsOf(session.sub)).length > 0
    if (has && !reaches(session.acr, 'mfa')) return 'step_up_required'
    if (isRecent(session, { kinds, newDevice, now: clock.now() })) return null
    return has ? 'step_up_required' : 'reauthentication_required'
  }

  /** Begins to add one-time codes: a secret, of no use until a code of it was shown. @throws {SESSION_STORE_UNAVAILABLE}. */
  async beginTotp({ session, account }: Known, name: string): Promise<TotpEnrolment | { readonly fault: FactorFault }> {
    const { store, totp, clock, service, waitMs } = this.#options
    const { sub } = account
    if ((await store.factorsOf(sub)).some(({ kind }) => kind === 'totp')) return { fault: 'factor_exists' }
    const { sealed, text } = totp.make(sub)
    const expiresAt = clock.now() + waitMs
    const begun = { session: session.handle, sub, name, sealedSecret: sealed, challenge: null, expiresAt }
    await store.putEnrolment({ ...begun, kind: 'totp' })
    return { secret: text, uri: keyUri(text, { issuer: service, email: account.email }), expiresAt }
  }

  /** Confirms it by a code: whoever has that has the secret. @throws {SESSION_STORE_UNAVAILABLE}. */
  async confirmTotp({ session, account: { sub } }: Known, code: string, requestId?: string): Promise<Added> {
    const { store, totp, clock } = this.#options
    const begun = await store.enrolment(session.handle, clock.now())
    if (begun?.sealedSecret == null || begun.sub !== sub) return { ok: false, code: 'enrolment_unknown' }
    const { wait, succeeded } = await codeAttempt(this.#options, sub)
    if (wait > 0) return { ok: false, code: 'login_slowed', retryAfterMs: wait }
    const judged = totp.judge(begun.sealedSecret, sub, code, clock.now())
    if (judged === null) return { ok: false, code: 'step_up_failed' }
    const sealedSecret = judged.resealed ?? begun.sealedSecret
    // The code that confirms it is used up by that.
    const made = { ...this.#blank(sub, 'totp', begun.name), totp: { sealedSecret, usedStep: judged.step } }
    const added = await this.#add(session, made, requestId)
    if (added.ok) await succeeded()
    return added
  }

  /** Adds a key that was just verified against the session's enrolment, and uses that up. @throws {SESSION_STORE_UNAVAILABLE}. */
  async addKey({ session }: Known, name: string, webauthn: WebAuthnCredential, requestId?: string): Promise<Added> {
    return this.#add(session, { ...this.#blank(session.sub, 'webauthn', name), webauthn }, requestId)
  }

  /** New recovery codes in place of all there were; shown once. @throws {SESSION_STORE_UNAVAILABLE}. */
  async renewCodes({ session }: Known, requestId?: string): Promise<Added> {
    const { store, codes } = this.#options
    const { sub } = session
    const found = (await store.factorsOf(sub)).find(({ kind }) => kind === 'recovery')
    if (found === undefined) return { ok: false, code: 'factor_unknown' }
    const { shown, kept } = codes.make(sub)
    const renewed = await store.replaceCodes({ sub, factor: found.handle, codes: kept })
    if ('refused' in renewed) return { ok: false, code: renewed.refused }
    this.#tell(session, renewed, 'codes_renewed', requestId)
    return { ok: true, factor: renewed, codes: shown }
  }

  /** @throws {SESSION_STORE_UNAVAILABLE}. */
  async rename(sub: string, factor: string, name: string): Promise<Added> {
    const renamed = await this.#options.store.renameFactor({ sub, factor, name })
    return 'refused' in renamed ? { ok: false, code: renamed.refused } : { ok: true, factor: renamed, codes: null }
  }

  /** A person removes a factor of theirs, and recovery codes with the last: what was begun with it ends. */
  async remove(sub: string, handle: string, asked: Asked): Promise<Answer> {
    const all = await this.#options.store.factorsOf(sub)
    const left = all.filter((factor) => factor.handle !== handle)
    const going = left.some(({ kind }) => kind !== 'recovery') ? [] : left
    const also = all.length === left.length ? [] : going.map((factor) => factor.handle)
    return this.#options.authority.end('factor_removal', {
      ...given(asked, this.#options.random),
      request: requestDigest(['factor_removal', sub, handle]),
      tenant: null,
      sub,
      change: { kind: 'factors_removed', sub, factors: [handle, ...also] },
      facts: { target: target('device', handle) },
      others: also.map((one) => target('device', one)),
    })
  }

  /** Removes all factors of a person who lost them. They log in anew, with their password alone. */
  async removeAll(sub: string, asked: Asked): Promise<Answer> {
    const { store } = this.#options
    if (asked.id !== null) {
      const before = await store.revocation(asked.id)
      if (before?.request.equals(requestToRemoveAll(sub))) return answerOf(before)
    }
    const answer = await this.#removeAll(sub, await store.factorsOf(sub), asked)
    if (answer.state !== 'acknowledged' && answer.state !== 'pending') return answer
    // One that was added meanwhile goes too: its session has ended, and no other is there yet.
    const late = await store.factorsOf(sub)
    if (late.length === 0) return answer
    return this.#removeAll(sub, late, { ...asked, id: null })
  }

  async #removeAll(sub: string, factors: readonly Factor[], asked: Asked): Promise<Answer> {
    const { authority, random } = this.#options
    const run = given(asked, random)
    const handles = factors.map(({ handle }) => handle)
    if (handles.length === 0) return { state: 'refused', id: idText(run.id), code: 'factor_unknown' }
    return authority.end('factors_removal_by_administrator', {
      ...run,
      request: requestToRemoveAll(sub),
      tenant: null,
      sub,
      change: { kind: 'factors_removed', sub, factors: handles },
      facts: { target: target('subject', sub) },
      others: handles.map((handle) => target('device', handle)),
    })
  }

  async #add(session: Session, factor: Factor, requestId: string | undefined): Promise<Added> {
    const { store, codes, clock } = this.#options
    const { sub } = factor
    // Who loses their only factor has these.
    const first = !(await store.factorsOf(sub)).some(({ kind }) => kind === 'recovery')
    const made = first ? codes.make(sub) : null
    const also = made && { ...this.#blank(sub, 'recovery', 'Recovery codes'), codes: made.kept }
    const factors = also ? [factor, also] : [factor]
    const added = await store.addFactors({ factors, enrolment: session.handle, most: MOST_KEYS, now: clock.now() })
    if ('refused' in added) return { ok: false, code: added.refused }
    for (const one of added) this.#tell(session, one, 'factor_added', requestId)
    return { ok: true, factor, codes: made?.shown ?? null }
  }

  #tell({ sub, tenant, handle }: Session, factor: Factor, cause: string, requestId: string | undefined): void {
    const about = { actor: sub, sub, tenant, session: handle, device: factor.handle, cause, rule: factor.kind }
    const asked = requestId === undefined ? {} : { requestId }
    this.#options.journey.record('administration', { ...about, ...asked, outcome: 'done', latencyMs: 0 })
  }

  #blank(sub: string, kind: Factor['kind'], name: string): Factor {
    const { clock, random } = this.#options
    const made = { handle: newHandle(random, 'fac'), sub, kind, name, createdAt: clock.now(), lastUsedAt: null }
    return { ...made, totp: null, codes: null, webauthn: null }
  }
}

function requestToRemoveAll(sub: string): Buffer {
  return requestDigest(['factors_removal_by_administrator', sub])
}

function given(
  { id, initiator, requestId }: Asked,
  random: Random,
): { id: Buffer; initiator: string; requestId?: string } {
  const run = { id: id ?? freshId(random), initiator }
  return requestId === undefined ? run : { ...run, requestId }
}
