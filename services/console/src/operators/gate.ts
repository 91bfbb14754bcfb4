/** Lets operators in: sign-in, sign-out, and the questions every page asks before it is shown. */
import type { Clock, Millis, Random } from '@countersign/kernel'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { html } from '../pages/html.ts'
import { bareLayout, sendPage } from '../pages/layout.ts'
import { problem } from '../problems.ts'
import type { Audit } from '../system/audit.ts'
import type { IdentityAdmin } from '../system/identity-admin.ts'
import type { Known } from '../system/known.ts'
import type { Operator, Operators } from './operators.ts'
import type { Leaving, SignedIn, SignIn, SignInFault } from './sign-in.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; null on the few pages that are for anybody. */
    operator: Operator | null
  }
}

export interface GateOptions {
  readonly signIn: SignIn
  readonly operators: Operators
  readonly identity: Pick<IdentityAdmin, 'person'>
  /** Whether identity answers at all. */
  readonly identityAlive: Pick<Known<true>, 'tell'>
  readonly audit: Audit
  readonly clock: Clock
  readonly random: Random
  readonly tenant: string
  readonly role: string
  readonly recentMs: Millis
  readonly reproveMs: Millis
  /** Asked for when it is needed: it may be the address we listen on. */
  readonly publicUrl: () => string
  readonly secureCookies: boolean
}

/** Between leaving and coming back. */
const LEAVING_MS = 600_000
const MOST_LEAVING = 1_000
const UNSAFE = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

export class Gate {
  readonly #options: GateOptions
  readonly #leaving = new Map<string, Leaving & { readonly until: number }>()
  readonly #cookies: { readonly session: string; readonly leaving: string }

  constructor(options: GateOptions) {
    this.#options = options
    const prefix = options.secureCookies ? '__Host-' : ''
    this.#cookies = { session: `${prefix}console`, leaving: `${prefix}console-leaving` }
  }

  /** Every route registered after this on `app` is for operators alone. */
  guard(app: FastifyInstance): void {
    app.addHook('onRequest', async (request, reply) => {
      if (isCrossSite(request)) return problem(reply, 'cross_site')
      const judged = this.#options.operators.judge(request.cookies[this.#cookies.session])
      if (!judged.ok) return this.#turnAway(request, reply, judged.code)
      request.operator = judged.operator
      // Asked again now and then while pages are looked at, so that the session at identity stays in use with them.
      const { clock, reproveMs } = this.#options
      const isPage = request.method === 'GET' && !isStream(request)
      if (isPage && clock.now() - judged.operator.provenAt >= reproveMs && (await this.#isIdentityThere()))
        return this.#leave(reply, onwardOf(request), null)
    })
  }

  /**
   * Whether an act may go on. False after the browser was sent to show its person again, to come back to `onward`, or was
   * told that its person may operate no more.
   */
  async recent(request: FastifyRequest, reply: FastifyReply, onward: string): Promise<boolean> {
    const { clock, recentMs, operators, audit } = this.#options
    const { operator } = request
    if (operator === null || clock.now() - operator.authTime >= recentMs) {
      await this.#leave(reply, onward, recentMs)
      return false
    }
    // With a role that grants no scope of its own nothing is lost that the log would tell of.
    if ((await this.#faultOf(operator)) !== 'not_permitted') return true
    operators.end(request.cookies[this.#cookies.session] ?? '')
    audit.note(request, { outcome: 'not_permitted', cause: 'console_act' })
    this.#refuse(reply, 'not_permitted')
    return false
  }

  /** True while who asked may still be told. */
  stands(request: FastifyRequest): boolean {
    return this.#options.operators.judge(request.cookies[this.#cookies.session]).ok
  }

  routes(app: FastifyInstance): void {
    app.get('/signed-in', { exposeHeadRoute: false }, (request, reply) => this.#arrive(request, reply))
    app.get('/signed-out', (_request, reply) =>
      sendPage(
        reply,
        200,
        bareLayout(
          'Signed out',
          html`<p role="status">You are signed out here. Your session at identity goes on until you log out there.</p><p><a href="/">Sign in again</a></p>`,
        ),
      ),
    )
    app.post('/sign-out', async (request, reply) => {
      if (isCrossSite(request)) return problem(reply, 'cross_site')
      const { operators, audit } = this.#options
      const secret = request.cookies[this.#cookies.session]
      const judged = operators.judge(secret)
      if (judged.ok) {
        const { sub, tenant } = judged.operator
        audit.note(request, { actor: sub, sub, tenant, outcome: 'signed_out', cause: 'console_sign_out' })
      }
      operators.end(secret ?? '')
      return reply.clearCookie(this.#cookies.session, this.#attributes()).redirect('/signed-out', 303)
    })
  }

  async #turnAway(
    request: FastifyRequest,
    reply: FastifyReply,
    code: 'none' | 'ended' | 'stale',
  ): Promise<FastifyReply> {
    if (isStream(request)) return problem(reply, 'not_signed_in')
    if (!(await this.#isIdentityThere())) {
      const why =
        code === 'stale'
          ? 'The log cannot be followed now either, so nobody can say whether you may still be here.'
          : ''
      return sendPage(
        reply,
        503,
        bareLayout(
          'Identity does not answer',
          html`<p role="alert">Nobody can sign in while identity is away. ${why}</p><p><a href="${onwardOf(request)}">Try again</a></p>`,
        ),
      )
    }
    return this.#leave(reply, onwardOf(request), null)
  }

  async #isIdentityThere(): Promise<boolean> {
    const { value, overdue } = await this.#options.identityAlive.tell()
    return value === true && !overdue
  }

  async #leave(reply: FastifyReply, onward: string, recentMs: number | null): Promise<FastifyReply> {
    const { signIn, random, clock } = this.#options
    const { url, leaving } = await signIn.leave(onward, this.#redirectUri, recentMs)
    const key = random.bytes(24).toString('base64url')
    for (const [oldest, { until }] of this.#leaving) {
      if (this.#leaving.size < MOST_LEAVING && until > clock.now()) break
      this.#leaving.delete(oldest)
    }
    this.#leaving.set(key, { ...leaving, until: clock.now() + LEAVING_MS })
    return reply
      .setCookie(this.#cookies.leaving, key, { ...this.#attributes(), maxAge: LEAVING_MS / 1000 })
      .redirect(url, 303)
  }

  async #arrive(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { signIn, operators, clock } = this.#options
    const key = request.cookies[this.#cookies.leaving] ?? ''
    const leaving = this.#leaving.get(key)
    this.#leaving.delete(key)
    reply.clearCookie(this.#cookies.leaving, this.#attributes())
    // A page that was left open, or a link that was passed on: begun anew, it may well go through.
    if (leaving === undefined || leaving.until <= clock.now()) return reply.redirect('/', 303)
    const called = new URL(request.url, this.#options.publicUrl())
    const found = await signIn.arrive(called, leaving, this.#redirectUri)
    const fault = 'fault' in found ? found.fault : await this.#faultOf(found)
    // Whoever was here before is here anew, or no more; that identity cannot tell takes nothing from them.
    if (fault !== 'unavailable') operators.end(request.cookies[this.#cookies.session] ?? '')
    if ('fault' in found || fault !== null) {
      this.#options.audit.note(request, { ...nobodyOr(found), outcome: `sign_in_${fault}`, cause: 'console_sign_in' })
      return this.#refuse(reply, fault ?? 'refused')
    }
    const secret = operators.begin(found)
    this.#options.audit.note(request, {
      actor: found.sub,
      sub: found.sub,
      tenant: found.tenant,
      acr: found.acr,
      outcome: 'signed_in',
      cause: 'console_sign_in',
    })
    return reply.setCookie(this.#cookies.session, secret, this.#attributes()).redirect(leaving.onward, 303)
  }

  #refuse(reply: FastifyReply, fault: SignInFault | 'not_permitted'): FastifyReply {
    const { status, says } = FAULTS[fault]
    const told = html`<p role="alert">${says}</p><p><a href="/">Try again</a></p>`
    return sendPage(reply, status, bareLayout('You are not signed in', told))
  }

  /** Why who has logged in may not operate; null when they may. */
  async #faultOf({ sub, tenant }: Pick<SignedIn, 'sub' | 'tenant'>): Promise<SignInFault | 'not_permitted' | null> {
    if (tenant !== this.#options.tenant) return 'not_permitted'
    const person = await this.#options.identity.person(sub).catch(() => undefined)
    if (person === undefined) return 'unavailable'
    const place = person?.affiliations.find((one) => one.tenant === tenant)
    const isActive = person?.state === 'active' && place?.state === 'active'
    return isActive && place.roles.includes(this.#options.role) ? null : 'not_permitted'
  }

  get #redirectUri(): string {
    return new URL('/signed-in', this.#options.publicUrl()).href
  }

  #attributes(): { path: string; httpOnly: true; secure: boolean; sameSite: 'lax' } {
    return { path: '/', httpOnly: true, secure: this.#options.secureCookies, sameSite: 'lax' }
  }
}

const FAULTS: Readonly<Record<SignInFault | 'not_permitted', { readonly status: number; readonly says: string }>> = {
  refused: { status: 403, says: 'Identity did not confirm the login.' },
  not_strong: { status: 403, says: 'The console asks for more than a password. Set up a factor at identity first.' },
  not_permitted: { status: 403, says: 'The console is for administrators of the tenant that operates this system.' },
  unavailable: { status: 503, says: 'Identity did not answer in time.' },
}

function nobodyOr(found: SignedIn | { fault: SignInFault }): {
  actor: string
  sub: string | null
  tenant: string | null
} {
  return 'fault' in found
    ? { actor: 'unknown', sub: null, tenant: null }
    : { actor: found.sub, sub: found.sub, tenant: found.tenant }
}

/** Where a request that was turned away goes on after signing in: a page again, never an act. */
function onwardOf(request: FastifyRequest): string {
  return request.method === 'GET' && /^\/(?!\/)[^\\\s]*$/.test(request.url) ? request.url : '/'
}

function isStream({ url }: FastifyRequest): boolean {
  return url.startsWith('/live/')
}

/** True for an act that was not asked for by a page of this console. */
function isCrossSite({ method, headers }: FastifyRequest): boolean {
  if (!UNSAFE.has(method)) return false
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin'
  return headers.origin === undefined || !URL.canParse(headers.origin) || new URL(headers.origin).host !== headers.host
}
