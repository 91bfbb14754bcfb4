/** Which client sends a request: read, authenticated and slowed alike at every endpoint that clients use. */
import type { Journey } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import type { Client, SessionStore } from '@countersign/session-store'
import type { ClientAuthentication } from './client-authentication.ts'
import { CLIENT_UNKNOWN, fault, isFault, type OAuthFault } from './faults.ts'
import type { Parameters } from './parameters.ts'
import type { Slowing } from './slowing.ts'

/** A request as it arrived. */
export interface OAuthRequest {
  readonly id: string
  readonly authorization: string | undefined
  readonly parameters: Parameters
  /** Address it came from. */
  readonly source: string
  /** When, by monotonic time. */
  readonly began: number
}

/** The client a request has shown itself to be from, and what was read together with it. */
export interface Asking<T> {
  readonly client: Client
  readonly read: T
}

export interface ClientsAskingOptions {
  readonly store: Pick<SessionStore, 'client'>
  readonly authentication: ClientAuthentication
  readonly slowing: Slowing
  readonly clock: Clock
  readonly journey: Journey
}

export class ClientsAsking {
  readonly #options: ClientsAskingOptions

  constructor(options: ClientsAskingOptions) {
    this.#options = options
  }

  /**
   * Finds out which client asks.
   * @param begin starts other reads in the same moment, so that the store gets them in one message; what it reads is
   * used only once the client is known.
   * @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async by<T>(request: OAuthRequest, begin: () => Promise<T>): Promise<Asking<T> | OAuthFault> {
    const { store, authentication, slowing, clock } = this.#options
    const { parameters, source } = request
    // RFC 6749 §3.2
    if (parameters.repeated.size > 0) return fault('invalid_request', 'a parameter is given more than once')
    const presented = authentication.read(request.authorization, parameters)
    if (isFault(presented)) return presented
    const wait = slowing.wait(presented.id, source)
    if (wait > 0) return { ...fault('slow_down', 'too many failures; wait and try again'), retryAfterMs: wait }
    const [stored, read] = await Promise.all([store.client(presented.id), begin()])
    const client = await authentication.judge(presented, stored)
    if (client !== null) return { client, read }
    await slowing.failed(presented.id, source)
    this.#options.journey.record('client_refused', {
      actor: 'unknown',
      // A name is told only if it is one: what is sent for a client id may be a secret.
      ...(stored && { client: stored.id }),
      outcome: CLIENT_UNKNOWN.error,
      requestId: request.id,
      latencyMs: clock.monotonic() - request.began,
    })
    return CLIENT_UNKNOWN
  }

  /** Counts what looks like a guess at a code or token. */
  guessed({ id }: Client, { source }: OAuthRequest): Promise<void> {
    return this.#options.slowing.failed(id, source)
  }
}
