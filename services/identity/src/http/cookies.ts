/** The cookies of this origin. With `__Host-` no subdomain and no plain HTTP can plant one (RFC 6265bis §4.1.3.2). */
import type { CookieSerializeOptions } from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * - `session`: who one is.
 * - `device`: which machine; says nothing of who.
 * - `administrator`: the own session of who acts as somebody else, beside the one they act with.
 */
export type CookieName = 'session' | 'device' | 'administrator'

const YEAR_S = 31_536_000

export class Cookies {
  readonly #secure: boolean

  /** @param options.secure false only with the insecure development option: names without prefix, sent over plain HTTP. */
  constructor({ secure }: { secure: boolean }) {
    this.#secure = secure
  }

  name(cookie: CookieName): string {
    return this.#secure ? `__Host-${cookie}` : cookie
  }

  /** @returns the value, null when absent. */
  read(request: FastifyRequest, cookie: CookieName): string | null {
    return request.cookies[this.name(cookie)] || null
  }

  /** @param until epoch milliseconds; null for a year. */
  set(reply: FastifyReply, cookie: CookieName, value: string, life: { until: number; now: number } | null): void {
    const maxAge = life === null ? YEAR_S : Math.max(1, Math.ceil((life.until - life.now) / 1000))
    reply.setCookie(this.name(cookie), value, { ...this.#attributes(), maxAge })
  }

  clear(reply: FastifyReply, cookie: CookieName): void {
    reply.clearCookie(this.name(cookie), this.#attributes())
  }

  #attributes(): CookieSerializeOptions {
    return { path: '/', httpOnly: true, secure: this.#secure, sameSite: 'lax' }
  }
}

/** What people recognise a machine by, from its user agent. */
export function deviceName(userAgent: string | undefined): string {
  const text = userAgent ?? ''
  const browser = BROWSERS.find(([pattern]) => pattern.test(text))?.[1]
  const system = SYSTEMS.find(([pattern]) => pattern.test(text))?.[1]
  if (browser !== undefined && system !== undefined) return `${browser} on ${system}`
  return browser ?? system ?? 'Unknown device'
}

// Browsers name those they descend from, so the more particular comes first.
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/Edg(e|A|iOS)?\//, 'Edge'],
  [/OPR\//, 'Opera'],
  [/Firefox\/|FxiOS\//, 'Firefox'],
  [/Chrome\/|CriOS\//, 'Chrome'],
  [/Safari\//, 'Safari'],
  [/curl\//, 'curl'],
]
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/iPhone|iPad/, 'iOS'],
  [/Android/, 'Android'],
  [/Windows/, 'Windows'],
  [/Mac OS X/, 'macOS'],
  [/CrOS/, 'ChromeOS'],
  [/Linux/, 'Linux'],
]
