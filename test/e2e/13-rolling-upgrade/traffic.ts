/** People and programs at work while instances are replaced: whoever is signed out by it is counted. */
import { systemClock } from '@countersign/kernel'
import { Pool } from 'undici'
import { begin, type ClientCredentials, form, login, personEmail } from '../../identity/people.ts'
import { SERVICE_SECRET } from '../../identity/site.ts'

export interface Counts {
  logins: number
  resolved: number
  refreshed: number
  introspected: number
  /** Requests that had to be sent again: a broken connection, or a retriable error. */
  again: number
  /** Each a person or a program that lost what it had. */
  readonly signedOut: string[]
}

interface Family {
  refreshToken: string
  accessToken: string
}

const SCOPE = 'reports:read'
/** Below the most sessions of a kind a person may have. */
const LOGINS_EACH = 8
const PAUSE_MS = 5

export class Traffic {
  readonly counts: Counts = { logins: 0, resolved: 0, refreshed: 0, introspected: 0, again: 0, signedOut: [] }
  readonly #base: string
  readonly #app: ClientCredentials
  readonly #resource: ClientCredentials
  readonly #people: number
  readonly #pool: Pool
  readonly #cookies: string[] = []
  readonly #families: Family[] = []
  readonly #stopping = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(o: { base: string; app: ClientCredentials; resource: ClientCredentials; people: number }) {
    this.#base = o.base
    this.#app = o.app
    this.#resource = o.resource
    this.#people = o.people
    // No keep-alive: every request is balanced anew.
    this.#pool = new Pool(o.base, { pipelining: 0, connections: 16 })
  }

  /** Signs one session and one family in per person, then keeps all kinds of traffic going. */
  async start(): Promise<void> {
    for (let i = 0; i < this.#people; i++) {
      const cookie = await this.#login(i)
      const tokens = await begin(this.#base, cookie, this.#app, SCOPE)
      this.#families.push({ refreshToken: tokens.refresh_token, accessToken: tokens.access_token })
    }
    this.#running = Promise.all([
      this.#keep((i) => (i < this.#people * (LOGINS_EACH - 1) ? this.#login(i % this.#people) : this.#idle()), 100),
      this.#keep((i) => this.#resolve(this.#cookies[i % this.#cookies.length] as string)),
      this.#keep((i) => this.#refresh(this.#families[i % this.#families.length] as Family)),
      this.#keep((i) => this.#introspect(this.#families[i % this.#families.length] as Family)),
    ])
  }

  /** Waits until each kind of traffic has been served `more` times more. */
  async passes(more: number): Promise<void> {
    const { resolved, refreshed, introspected } = { ...this.counts }
    while (
      this.counts.resolved < resolved + more ||
      this.counts.refreshed < refreshed + more ||
      this.counts.introspected < introspected + more
    ) {
      await Promise.race([systemClock.sleep(20), this.#running])
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
    await this.#pool.destroy()
  }

  async #keep(act: (i: number) => Promise<unknown>, pauseMs = PAUSE_MS): Promise<void> {
    for (let i = 0; !this.#stopping.signal.aborted; i++) {
      await act(i)
      await systemClock.sleep(pauseMs)
    }
  }

  async #login(person: number): Promise<string> {
    for (;;) {
      const cookie = await login(this.#base, personEmail(person)).catch((error: Error) => {
        if (/^login: (?!503)/.test(error.message)) this.counts.signedOut.push(error.message)
        this.counts.again++
        return null
      })
      if (cookie === null) continue
      this.#cookies.push(cookie)
      this.counts.logins++
      return cookie
    }
  }

  async #resolve(cookie: string): Promise<void> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${SERVICE_SECRET}` }
    const body = JSON.stringify({ cookie: cookie.slice('session='.length) })
    const { status, text } = await this.#answered('/v1/sessions/resolve', { headers, body })
    if (status === 200) this.counts.resolved++
    else this.counts.signedOut.push(`a session resolved: ${status} ${text}`)
  }

  async #refresh(family: Family): Promise<void> {
    const fields = { grant_type: 'refresh_token', refresh_token: family.refreshToken }
    const { status, text } = await this.#answered('/token', form(this.#app, fields))
    if (status !== 200) {
      this.counts.signedOut.push(`a refresh: ${status} ${text}`)
      return
    }
    const tokens = JSON.parse(text) as { refresh_token: string; access_token: string }
    family.refreshToken = tokens.refresh_token
    family.accessToken = tokens.access_token
    this.counts.refreshed++
  }

  async #introspect(family: Family): Promise<void> {
    const { status, text } = await this.#answered('/introspect', form(this.#resource, { token: family.accessToken }))
    if (status === 200 && (JSON.parse(text) as { active: boolean }).active) this.counts.introspected++
    else this.counts.signedOut.push(`an introspection: ${status} ${text}`)
  }

  /** Asks until an answer comes that is not to be asked for again. */
  async #answered(
    path: string,
    request: { headers: Record<string, string>; body: string },
  ): Promise<{ status: number; text: string }> {
    for (;;) {
      try {
        const reply = await this.#pool.request({ path, method: 'POST', ...request })
        const text = await reply.body.text()
        if (reply.statusCode !== 503) return { status: reply.statusCode, text }
      } catch {
        // The connection broke: ask again, as any client does.
      }
      this.counts.again++
      await systemClock.sleep(PAUSE_MS)
    }
  }

  #idle(): Promise<void> {
    return systemClock.sleep(100, this.#stopping.signal)
  }
}
