/** Presents refresh tokens as a client on a bad network does: it learns an answer, or nothing. */
import { Pool } from 'undici'
import { form, type Tokens } from '../identity/people.ts'

/** What a client learns from one attempt. */
export type Outcome =
  | { readonly kind: 'tokens'; readonly refreshToken: string; readonly accessToken: string }
  /** RFC 6749 §5.2 `invalid_grant`: this token is worth nothing any more. */
  | { readonly kind: 'refused' }
  /** A retriable error: 503 or 429. */
  | { readonly kind: 'again' }
  /** The connection broke: it may have happened or not. */
  | { readonly kind: 'lost' }
  /** Anything else is wrong. */
  | { readonly kind: 'wrong'; readonly what: string }

export const CLIENT = 'app'

export class Refresher {
  readonly #pool: Pool

  /** @param port where an identity, or a proxy before it, listens on loopback. */
  constructor(port: number) {
    this.#pool = new Pool(`http://127.0.0.1:${port}`, { connections: 256, pipelining: 1, headersTimeout: 20_000 })
  }

  async refresh(refresh_token: string): Promise<Outcome> {
    const reply = await this.#post('/token', { grant_type: 'refresh_token', refresh_token })
    if (reply === null) return { kind: 'lost' }
    if (reply.status === 503 || reply.status === 429) return { kind: 'again' }
    const answer = parsed(reply.text)
    if (reply.status === 400 && answer?.error === 'invalid_grant') return { kind: 'refused' }
    const tokens = answer as Partial<Tokens> | null
    if (reply.status !== 200 || !tokens?.refresh_token || !tokens.access_token) {
      return { kind: 'wrong', what: `${reply.status} ${reply.text.slice(0, 200)}` }
    }
    return { kind: 'tokens', refreshToken: tokens.refresh_token, accessToken: tokens.access_token }
  }

  /** RFC 7009. @returns the status, null when the connection broke. */
  async revoke(token: string): Promise<number | null> {
    return (await this.#post('/revoke', { token }))?.status ?? null
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }

  async #post(path: string, fields: Record<string, string>): Promise<{ status: number; text: string } | null> {
    const { headers, body } = form({ id: CLIENT, secret: null }, fields)
    try {
      const reply = await this.#pool.request({ path, method: 'POST', headers, body })
      return { status: reply.statusCode, text: await reply.body.text() }
    } catch {
      return null
    }
  }
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return null
  }
}
