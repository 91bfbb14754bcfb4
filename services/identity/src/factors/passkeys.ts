/**
 * Passkeys of people: added by who may, shown to step up. Each challenge belongs to one session, is good for one answer,
 * right or wrong, and expires. Whatever is wrong with an answer, it is told in one way.
 */
import { createHash } from 'node:crypto'
import type { Clock, Millis, Random } from '@countersign/kernel'
import type { SessionStore } from '@countersign/session-store'
import type { Logger } from '@countersign/telemetry'
import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/server'
import type { Browser } from '../sessions/logins.ts'
import type { Known } from '../sessions/sessions.ts'
import type { Added, Factors } from './factors.ts'
import type { StepUpResult, StepUps } from './step-ups.ts'
import { ACRS, reaches } from './strength.ts'
import type { WebAuthn } from './webauthn.ts'

export interface PasskeysOptions {
  readonly store: Pick<SessionStore, 'putEnrolment' | 'enrolment'>
  readonly factors: Pick<Factors, 'list' | 'addKey'>
  readonly stepUps: Pick<StepUps, 'begin' | 'waiting' | 'byKey' | 'failed'>
  readonly webauthn: WebAuthn
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** How long an enrolment waits to be confirmed. */
  readonly waitMs: Millis
}

export interface PasskeyShown {
  readonly known: Known
  readonly response: AuthenticationResponseJSON
  readonly browser: Browser
  readonly requestId: string
}

const CHALLENGE_BYTES = 32
const REFUSED = { ok: false, code: 'step_up_failed' } as const

export class Passkeys {
  readonly #options: PasskeysOptions

  constructor(options: PasskeysOptions) {
    this.#options = options
  }

  /** Begins to add a passkey, in place of anything this session had begun to add. @throws {SESSION_STORE_UNAVAILABLE}. */
  async beginEnrolment(known: Known, name: string): Promise<PublicKeyCredentialCreationOptionsJSON> {
    const { factors, webauthn, waitMs } = this.#options
    const { sub, email } = known.account
    const challenge = await this.#challenge(known, name)
    const existing = (await factors.list(sub)).flatMap((factor) => factor.webauthn ?? [])
    return webauthn.enrolment({ userHandle: userHandle(sub), email, challenge, existing, timeoutMs: waitMs })
  }

  /** Adds the passkey that answered. @throws {SESSION_STORE_UNAVAILABLE}. */
  async enrol(known: Known, response: RegistrationResponseJSON, requestId: string): Promise<Added> {
    const { store, factors, webauthn, clock } = this.#options
    const begun = await store.enrolment(known.session.handle, clock.now())
    if (begun?.challenge == null || begun.sub !== known.account.sub) return REFUSED
    const { name, challenge } = begun
    const credential = await webauthn.enrolled(response, challenge)
    const added = credential === null ? REFUSED : await factors.addKey(known, name, credential, requestId)
    if (added.ok) return added
    await this.#challenge(known, name)
    // That a key is there already, maybe somebody else's, is not told.
    return added.code === 'factor_limit' ? added : REFUSED
  }

  /**
   * What to ask the browser of a session that waits for a step-up: under a new challenge, in place of the one before.
   * @returns null when nothing waits, or no passkey of the person will do. @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async beginStepUp(known: Known, requestId: string): Promise<PublicKeyCredentialRequestOptionsJSON | null> {
    const asked = await this.#askAnew(known, requestId)
    const existing = asked?.factors.flatMap((factor) => factor.webauthn ?? []) ?? []
    if (asked === null || existing.length === 0) return null
    const { challenge, acr, expiresAt } = asked.stepUp
    const timeoutMs = Math.max(1, expiresAt - this.#options.clock.now()) as Millis
    return this.#options.webauthn.assertion({ challenge, existing, verified: reaches(acr, 'phr'), timeoutMs })
  }

  /** Steps up the session by the passkey that answered. @throws {SESSION_STORE_UNAVAILABLE}. */
  async stepUp(shown: PasskeyShown): Promise<StepUpResult> {
    const { known, requestId } = shown
    const result = await this.#stepUp(shown)
    // A challenge that was answered wrongly is answered by nothing more.
    if (!result.ok) await this.#askAnew(known, requestId)
    return result
  }

  async #stepUp({ known, response, browser, requestId }: PasskeyShown): Promise<StepUpResult> {
    const { factors, stepUps, webauthn, logger } = this.#options
    const { sub } = known.account
    const waiting = await stepUps.waiting(known)
    const factor = (await factors.list(sub)).find((one) => one.webauthn?.id === response.id)
    const failed = { known, requestId }
    if (waiting === null || !factor?.webauthn) {
      stepUps.failed(failed)
      return REFUSED
    }
    const { challenge, acr } = waiting
    const expected = { challenge, passkey: factor.webauthn, userHandle: userHandle(sub) }
    const judged = await webauthn.asserted(response, { ...expected, verified: reaches(acr, 'phr') })
    if (!judged.ok) {
      if (judged.why === 'counter_behind')
        logger.warn(
          { sub, factor: factor.handle, requestId },
          'a passkey counts backwards: its key may be in two places',
        )
      stepUps.failed(failed, judged.why)
      return REFUSED
    }
    const { userVerified, counter } = judged
    const result = await stepUps.byKey({ ...failed, browser, factor, userVerified, challenge, counter })
    // Overtaken by another answer: told as any other that does not hold.
    return result.ok || result.code !== 'factor_used' ? result : REFUSED
  }

  async #askAnew(
    known: Known,
    requestId: string,
  ): Promise<Extract<Awaited<ReturnType<StepUps['begin']>>, { ok: true }> | null> {
    const { stepUps } = this.#options
    const waiting = await stepUps.waiting(known)
    if (waiting === null) return null
    const { client } = waiting
    const acr = ACRS.find((one) => one === waiting.acr)
    if (acr === undefined) return null
    const asked = await stepUps.begin(known, { acr, client, requestId })
    return asked.ok ? asked : null
  }

  async #challenge({ session, account }: Known, name: string): Promise<Buffer> {
    const { store, clock, random, waitMs } = this.#options
    const challenge = random.bytes(CHALLENGE_BYTES)
    const expiresAt = clock.now() + waitMs
    const begun = { session: session.handle, sub: account.sub, name, sealedSecret: null, challenge, expiresAt }
    await store.putEnrolment({ ...begun, kind: 'webauthn' })
    return challenge
  }
}

/** What an authenticator knows a person by: says nothing of them, and is theirs for ever (§14.6.1). */
export function userHandle(sub: string): Buffer {
  return createHash('sha256').update('countersign.passkey-user.v1\0').update(sub).digest()
}
