/** Doctor's own tokens: asked for as its client at identity, and ended when it is done. */
import { ask, textOf } from './asking.ts'

export interface DoctorClient {
  /** Base URL of identity. */
  readonly identity: string
  readonly id: string
  readonly secret: string
  readonly timeoutMs: number
}

export interface OwnToken {
  readonly text: string
  readonly scopes: readonly string[]
}

/** Every token made is remembered until it is ended. */
export class OwnTokens {
  readonly #client: DoctorClient
  readonly #made = new Map<string, OwnToken>()

  constructor(client: DoctorClient) {
    this.#client = client
  }

  /**
   * A token by client credentials (RFC 6749 §4.4), the same for the same question.
   * @param audience as in RFC 8707; null for the client's own.
   * @returns a token, or the error identity gave. @throws {OPS_PROBE_UNREACHABLE}
   */
  async token(audience: string | null, scopes: readonly string[] | null): Promise<OwnToken | { error: string }> {
    const question = JSON.stringify([audience, scopes])
    const known = this.#made.get(question)
    if (known !== undefined) return known
    const fields = {
      grant_type: 'client_credentials',
      ...(audience !== null && { resource: audience }),
      ...(scopes !== null && { scope: scopes.join(' ') }),
    }
    const { status, body } = await this.#post('/token', fields)
    const text = textOf(body, 'access_token')
    if (status !== 200 || text === null) return { error: textOf(body, 'error') ?? `http_${status}` }
    const granted = textOf(body, 'scope')?.split(' ').filter(Boolean)
    const made = { text, scopes: granted ?? scopes ?? [] }
    this.#made.set(question, made)
    return made
  }

  /** Ends one (RFC 7009). @returns whether identity says that it is ended. @throws {OPS_PROBE_UNREACHABLE} */
  async end(token: OwnToken): Promise<boolean> {
    const { status } = await this.#post('/revoke', { token: token.text })
    for (const [question, made] of this.#made) if (made.text === token.text) this.#made.delete(question)
    return status === 200
  }

  /** Ends all that are left; what cannot be ended expires in minutes. */
  async endAll(): Promise<void> {
    await Promise.allSettled([...this.#made.values()].map((token) => this.end(token)))
  }

  #post(path: string, fields: Record<string, string>): ReturnType<typeof ask> {
    const { identity, id, secret, timeoutMs } = this.#client
    const encoded = [id, secret].map((part) => encodeURIComponent(part).replaceAll('%20', '+')).join(':')
    const authorization = `Basic ${Buffer.from(encoded).toString('base64')}`
    const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' }
    const body = new URLSearchParams(fields).toString()
    return ask(new URL(path, identity), timeoutMs, { method: 'POST', headers, body })
  }
}
