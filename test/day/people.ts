/** A person at a browser or a program with their session: plain HTTP, a cookie jar of one cookie. */
import type { Role } from './cast.ts'

const TIMEOUT_MS = 8_000

/** An answer, or null when nobody answered in time. */
export interface Reply {
  readonly status: number
  readonly body: Record<string, unknown>
  readonly setCookie: string | null
  readonly at: number
}

/** One request as JSON. Never throws: a service that is down is part of the day. */
export async function ask(
  method: string,
  url: string,
  headers: Record<string, string>,
  body?: unknown,
): Promise<Reply | null> {
  try {
    const response = await fetch(url, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const text = await response.text()
    const parsed = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {}
    return { status: response.status, body: parsed, setCookie: response.headers.get('set-cookie'), at: Date.now() }
  } catch {
    return null
  }
}

export class Person {
  readonly role: Role
  readonly #door: string
  #cookie: string | null = null
  #session: string | null = null
  #password: string

  /** @param door where everything begins: the gateway. */
  constructor(role: Role, door: string) {
    this.role = role
    this.#door = door
    this.#password = role.password
  }

  get loggedIn(): boolean {
    return this.#cookie !== null
  }

  /** Handle of the session, null while logged out. */
  get session(): string | null {
    return this.#session
  }

  /** What the browser holds; null while logged out. */
  get cookie(): string | null {
    return this.#cookie
  }

  async login(): Promise<boolean> {
    const { email, tenant } = this.role
    const reply = await ask('POST', `${this.#door}/login`, {}, { email, password: this.#password, tenant })
    const cookie = /^session=([^;]+)/.exec(reply?.setCookie ?? '')?.[1]
    if (reply?.status !== 200 || cookie === undefined) return false
    this.#cookie = cookie
    this.#session = String(reply.body.session)
    return true
  }

  async logout(): Promise<Reply | null> {
    const reply = await ask('POST', `${this.#door}/logout`, this.#headers())
    if (reply !== null && reply.status < 300) this.forget()
    return reply
  }

  async resetPassword(code: string, password: string): Promise<Reply | null> {
    const reply = await ask('POST', `${this.#door}/password-reset`, {}, { code, password })
    if (reply !== null && reply.status < 300) {
      this.#password = password
      this.forget()
    }
    return reply
  }

  /** Asks for work. @returns jobs accepted; the session is forgotten when it is no longer one. */
  async work(path: string, body: unknown): Promise<number> {
    const reply = await ask('POST', this.#door + path, this.#headers(), body)
    if (reply?.status === 401) this.forget()
    return reply?.status === 202 && Array.isArray(reply.body.jobs) ? reply.body.jobs.length : 0
  }

  forget(): void {
    this.#cookie = null
    this.#session = null
  }

  #headers(): Record<string, string> {
    return this.#cookie === null ? {} : { cookie: `session=${this.#cookie}` }
  }
}
