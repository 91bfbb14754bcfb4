/**
 * Step-up: a session whose person shows a factor goes on under a new id, as strong as what was shown (RFC 9470 §4). Who was
 * asked is noted in the store, so that an answer counts once, for the session it was asked of, and none is forgotten.
 */

import type { Journey } from '@countersign/journey'
import type { Clock, Millis, Random } from '@countersign/kernel'
import type { Factor, FactorKind, FactorUse, Session, SessionStore, StepUp } from '@countersign/session-store'
import type { Metrics } from '@countersign/telemetry'
import { codeAttempt } from '../people/attempts.ts'
import type { Browser, LoginResult, Logins } from '../sessions/logins.ts'
import type { Known } from '../sessions/sessions.ts'
import type { RecoveryCodes } from './recovery-codes.ts'
import { type Acr, canReach, strengthOf } from './strength.ts'
import type { TotpSecrets } from './totp.ts'

export interface StepUpsOptions {
  readonly store: SessionStore
  readonly logins: Pick<Logins, 'stepUp'>
  readonly totp: TotpSecrets
  readonly codes: RecoveryCodes
  readonly clock: Clock
  readonly random: Random
  readonly metrics: Metrics
  readonly journey: Journey
  /** How long a step-up waits before it counts as abandoned. */
  readonly waitMs: Millis
}

/** What a person is asked for. */
export interface Asking {
  readonly acr: Acr
  /** Client on whose behalf; null for pages of our own. */
  readonly client?: string | null
  readonly requestId?: string
}

export type Asked =
  | {
      readonly ok: true
      readonly stepUp: StepUp
      /** Factors of the person that show as much. */
      readonly factors: readonly Factor[]
    }
  /** Nobody can show with what they do not have. */
  | { readonly ok: false; readonly code: 'step_up_unmet' | 'not_permitted' }

export type StepUpResult =
  | Extract<LoginResult, { ok: true }>
  | {
      readonly ok: false
      readonly code: Extract<LoginResult, { ok: false }>['code'] | 'step_up_failed' | 'not_permitted'
      readonly retryAfterMs?: Millis
    }

interface From {
  readonly known: Known
  readonly browser: Browser
  readonly requestId?: string
}

/** What a key has shown, verified already. */
export interface KeyShown extends From {
  readonly factor: Factor
  /** True when it knew its person, not merely that somebody was there. */
  readonly userVerified: boolean
  /** The one it signed: it counts only if it is the one given out last. */
  readonly challenge: Buffer
  readonly counter: number
}

const CHALLENGE_BYTES = 32
const BATCH = 100

export class StepUps {
  readonly #options: StepUpsOptions

  constructor(options: StepUpsOptions) {
    this.#options = options
  }

  /** Notes that a person is asked; each time with a new challenge, in place of the one before. @throws {SESSION_STORE_UNAVAILABLE}. */
  async begin({ session }: Known, { acr, client = null, requestId }: Asking): Promise<Asked> {
    const { store, clock, random, waitMs } = this.#options
    if (!canBeSteppedUp(session)) return { ok: false, code: 'not_permitted' }
    const factors = (await store.factorsOf(session.sub)).filter((factor) => canReach(factor, acr))
    const about = { ...aboutOf(session), client, ...(requestId !== undefined && { requestId }) }
    if (!factors.some(({ kind }) => kind !== 'recovery')) {
      this.#tell('unmet', about)
      return { ok: false, code: 'step_up_unmet' }
    }
    const now = clock.now()
    const { handle, sub, tenant } = session
    const challenge = random.bytes(CHALLENGE_BYTES)
    const asked = { session: handle, sub, tenant, client, acr, challenge, startedAt: now, expiresAt: now + waitMs }
    const { stepUp, isNew, abandoned } = await store.beginStepUp(asked, now)
    if (abandoned) this.#abandoned(abandoned)
    if (isNew) this.#tell('prompted', about)
    return { ok: true, stepUp, factors }
  }

  /** @returns what this session waits for, null for nothing. @throws {SESSION_STORE_UNAVAILABLE}. */
  waiting({ session }: Known): Promise<StepUp | null> {
    return this.#options.store.stepUp(session.handle, this.#options.clock.now())
  }

  /** Judges a one-time code or a recovery code. @throws {SESSION_STORE_UNAVAILABLE}. */
  byCode(from: From & { readonly code: string }): Promise<StepUpResult> {
    return this.#told(from, () => this.#byCode(from))
  }

  /** Takes what a key has shown. @throws {SESSION_STORE_UNAVAILABLE}. */
  byKey(shown: KeyShown): Promise<StepUpResult> {
    const { known, factor, userVerified, challenge, counter } = shown
    const use: FactorUse = { kind: 'webauthn', stepUp: known.session.handle, challenge, counter }
    return this.#told(shown, () => this.#goOn(shown, factor.handle, use, userVerified))
  }

  /** Counts a proof that was judged elsewhere and did not hold. @param rule why, for the journey alone. */
  failed({ known, requestId }: Pick<From, 'known' | 'requestId'>, rule?: string): void {
    this.#tell('failed', {
      ...aboutOf(known.session),
      ...(rule !== undefined && { rule }),
      ...(requestId !== undefined && { requestId }),
    })
  }

  /** Counts those that were asked and never answered, each once among all instances. @throws {SESSION_STORE_UNAVAILABLE}. */
  async sweep(): Promise<void> {
    const { store, clock } = this.#options
    for (;;) {
      const abandoned = await store.takeAbandonedStepUps(clock.now(), BATCH)
      for (const stepUp of abandoned) this.#abandoned(stepUp)
      if (abandoned.length < BATCH) return
    }
  }

  async #byCode(from: From & { readonly code: string }): Promise<StepUpResult> {
    const { session } = from.known
    const { store, clock } = this.#options
    if (!canBeSteppedUp(session)) return { ok: false, code: 'not_permitted' }
    if ((await this.waiting(from.known)) === null) {
      const asked = await this.begin(from.known, { acr: 'mfa' })
      // Reads as a wrong code does, and says no more of the person.
      if (!asked.ok) return { ok: false, code: 'step_up_failed' }
    }
    const { wait, succeeded } = await codeAttempt(this.#options, session.sub)
    if (wait > 0) return { ok: false, code: 'login_slowed', retryAfterMs: wait }
    const used = this.#judge(await store.factorsOf(session.sub), session, from.code, clock.now())
    if (used === null) return { ok: false, code: 'step_up_failed' }
    const result = await this.#goOn(from, used.handle, used.use, false)
    if (result.ok) await succeeded()
    return result
  }

  #judge(
    factors: readonly Factor[],
    { sub, handle: stepUp }: Session,
    typed: string,
    now: number,
  ): { readonly handle: string; readonly use: FactorUse } | null {
    const { totp, codes } = this.#options
    const code = typed.replaceAll(/\s/g, '')
    for (const factor of factors) {
      const { handle } = factor
      if (factor.totp !== null && /^\d{6}$/.test(code)) {
        const judged = totp.judge(factor.totp.sealedSecret, sub, code, now)
        if (judged !== null) return { handle, use: { kind: 'totp', stepUp, ...judged } }
      } else if (factor.codes !== null) {
        const found = codes.find(factor.codes, sub, code)
        if (found !== null) return { handle, use: { kind: 'recovery', stepUp, code: found } }
      }
    }
    return null
  }

  async #goOn({ known, browser }: From, handle: string, use: FactorUse, verified: boolean): Promise<StepUpResult> {
    if (!canBeSteppedUp(known.session)) return { ok: false, code: 'not_permitted' }
    const strength = strengthOf(use.kind satisfies FactorKind, verified)
    const result = await this.#options.logins.stepUp({ known, strength, factor: { handle, use }, browser })
    return result.ok || result.code !== 'login_failed' ? result : { ok: false, code: 'step_up_failed' }
  }

  async #told({ known, requestId }: From, judge: () => Promise<StepUpResult>): Promise<StepUpResult> {
    const { clock } = this.#options
    const began = clock.monotonic()
    const result = await judge()
    const about = aboutOf(result.ok ? result.session : known.session)
    const latencyMs = clock.monotonic() - began
    this.#tell(result.ok ? 'passed' : 'failed', {
      ...about,
      latencyMs,
      ...(result.ok ? {} : { rule: result.code }),
      ...(requestId !== undefined && { requestId }),
    })
    return result
  }

  #abandoned({ session, sub, tenant, client, acr }: StepUp): void {
    this.#tell('abandoned', { session, sub, tenant, client, rule: acr })
  }

  #tell(outcome: Outcome, about: About): void {
    const { metrics, journey } = this.#options
    metrics.counter('countersign_step_ups_total', { outcome }).add()
    journey.record('step_up', { actor: about.sub, latencyMs: 0, ...about, outcome })
  }
}

type Outcome = 'prompted' | 'passed' | 'failed' | 'abandoned' | 'unmet'

interface About {
  readonly sub: string
  readonly tenant: string
  readonly session: string
  readonly client?: string | null
  /** Strength asked for, or the code of what went wrong. */
  readonly rule?: string
  readonly latencyMs?: number
  readonly requestId?: string
}

function aboutOf({ sub, tenant, handle }: Session): About {
  return { sub, tenant, session: handle }
}

/** A program has nobody to ask, and nobody shows themselves for another. */
function canBeSteppedUp({ kind, act }: Session): boolean {
  return act.length === 0 && (kind === 'browser' || kind === 'admin')
}
