/** Sessions for programs: a person hands a bearer to a machine of theirs, narrowed and named. */

import type { Journey } from '@countersign/journey'
import { newHandle, type Random } from '@countersign/kernel'
import type { Refusal, Session, SessionStore } from '@countersign/session-store'
import { factorOf } from '../factors/strength.ts'
import { mintBearer, mintDevice } from './credentials.ts'
import type { SessionEndings } from './session-endings.ts'
import type { Known, Sessions } from './sessions.ts'

export interface ApiSessionRequest {
  /** Session it is asked from. */
  readonly known: Known
  /** Name of the machine it is for; it shows among the person's devices. */
  readonly name: string
  /** Null for all the person's roles grant. */
  readonly scopes: readonly string[] | null
  /** Epoch milliseconds; null for the life of the kind. */
  readonly notAfter: number | null
  readonly requestId?: string
}

export type ApiSessionResult =
  | { readonly ok: true; readonly bearer: string; readonly session: Session }
  | { readonly ok: false; readonly code: Refusal | 'view_starting' | 'not_acceptable' | 'credential_invalid' }

export interface ApiSessionsOptions {
  readonly store: Pick<SessionStore, 'session'>
  readonly sessions: Sessions
  readonly sessionEndings: SessionEndings
  readonly clock: { now(): number }
  readonly random: Random
  readonly journey: Journey
}

export class ApiSessions {
  readonly #options: ApiSessionsOptions

  constructor(options: ApiSessionsOptions) {
    this.#options = options
  }

  /** Begins one. Its bearer is shown once; only its hash is kept. @throws {SESSION_STORE_UNAVAILABLE}. */
  async begin({ known, name, scopes, notAfter, requestId }: ApiSessionRequest): Promise<ApiSessionResult> {
    const { store, sessions, sessionEndings, clock, random, journey } = this.#options
    const { handle, sub, tenant, authTime, amr, acr } = known.session
    if (scopes?.some((scope) => !known.scopes.includes(scope))) return { ok: false, code: 'not_acceptable' }
    const bearer = mintBearer(random)
    const begun = await sessions.begin({
      kind: 'api',
      credential: { kind: 'secret', hash: bearer.hash },
      sub,
      tenant,
      // The machine has no cookie, so nobody learns this secret.
      device: { handle: newHandle(random, 'dev'), secretHash: mintDevice(random).hash, name },
      factor: factorOf(known.session),
      scope: scopes,
      authTime,
      amr,
      acr,
      ...(notAfter === null ? {} : { notAfter }),
    })
    if (!begun.ok) return begun
    const { session } = begun
    // What ended the session it was asked from, after that was looked at, did not see this one. Nobody has the bearer yet.
    if ((await store.session(handle, clock.now())) === null) {
      await sessionEndings.end(sub, session.handle, { id: null, initiator: 'system:api-sessions' })
      return { ok: false, code: 'credential_invalid' }
    }
    journey.issuance({
      actor: sub,
      sub,
      tenant,
      session: session.handle,
      device: session.device,
      scopes: scopes ?? [],
      cause: 'api_session',
      outcome: 'issued',
      latencyMs: 0,
      ...(requestId !== undefined && { requestId }),
    })
    return { ok: true, bearer: bearer.value, session }
  }
}
