/** What operators ask of identity. Every call ends by its deadline; none follows a redirect with the secret. */
import { type AnswerState, askIdentity, type IdentityReply, stateOf } from '@countersign/evidence'
import type { Secret } from '@countersign/kernel'

export type RevocationAnswer = AnswerState

export interface PersonPlace {
  readonly tenant: string
  readonly roles: readonly string[]
  readonly state: string
}

export interface Person {
  readonly sub: string
  readonly principal: string
  readonly state: string
  readonly affiliations: readonly PersonPlace[]
}

export interface LiveSession {
  readonly session: string
  readonly kind: string
  readonly tenant: string
  readonly client: string | null
  readonly act: readonly { readonly sub: string }[]
  readonly createdAt: number
  readonly lastSeenAt: number
  readonly authTime: number
  readonly expiresAt: number
}

export interface IdentityAdminOptions {
  readonly url: string
  readonly secret: Secret
  readonly timeoutMs: number
}

export class IdentityAdmin {
  readonly #options: IdentityAdminOptions

  constructor(options: IdentityAdminOptions) {
    this.#options = options
  }

  /** @returns null for nobody of that name. @throws {Error} when identity does not answer. */
  async person(sub: string): Promise<Person | null> {
    const { status, body } = await this.#call('GET', `/v1/accounts/${encodeURIComponent(sub)}`)
    if (status === 404) return null
    return expected<Person>(status, body)
  }

  /** @returns live sessions, newest first. @throws {Error} when identity does not answer. */
  async sessions(sub: string): Promise<readonly LiveSession[]> {
    const { status, body } = await this.#call('GET', `/v1/subjects/${encodeURIComponent(sub)}/sessions`)
    return status === 404 ? [] : expected<{ sessions: readonly LiveSession[] }>(status, body).sessions
  }

  /** @param requestId names this act in identity's journey too. Never throws. */
  endSession(sub: string, session: string, id: string, requestId: string): Promise<RevocationAnswer> {
    const path = `/v1/subjects/${encodeURIComponent(sub)}/sessions/${encodeURIComponent(session)}`
    return this.#act('DELETE', path, { id }, requestId)
  }

  /** Ends all there is of a person: they log in again wherever they are. Never throws. */
  endAll(sub: string, id: string, requestId: string): Promise<RevocationAnswer> {
    return this.#act('POST', `/v1/subjects/${encodeURIComponent(sub)}/reauthenticate`, { id }, requestId)
  }

  /** @returns how a revocation stands, null for one that is not known. @throws {Error} when identity does not answer. */
  async revocation(id: string): Promise<RevocationAnswer | null> {
    const reply = await this.#call('GET', `/v1/revocations/${encodeURIComponent(id)}`)
    return reply.status === 404 ? null : stateOf(id, reply)
  }

  /** @returns what it says of how long its credentials live, as it comes. @throws {Error} when identity does not answer. */
  async lives(): Promise<unknown> {
    const { status, body } = await this.#call('GET', '/v1/lives')
    return expected<unknown>(status, body)
  }

  /** @throws {Error} when identity does not answer that it is there. */
  async alive(signal: AbortSignal): Promise<true> {
    const { url, timeoutMs } = this.#options
    const ended = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    const response = await fetch(new URL('/healthz', url), { redirect: 'error', signal: ended })
    await response.arrayBuffer()
    return expected<true>(response.status, true)
  }

  async #act(method: string, path: string, body: { id: string }, requestId: string): Promise<RevocationAnswer> {
    try {
      return stateOf(body.id, await this.#call(method, path, body, requestId))
    } catch {
      // Asked or not: only asking again with the id tells.
      return { state: 'unknown', id: body.id }
    }
  }

  #call(method: string, path: string, body?: object, requestId?: string): Promise<IdentityReply> {
    const { url, secret, timeoutMs } = this.#options
    return askIdentity({ url, secret: secret.reveal(), timeoutMs }, method, path, { body, requestId })
  }
}

function expected<T>(status: number, body: unknown): T {
  if (status !== 200 || body === null) throw new Error(`identity answered ${status}`)
  return body as T
}
