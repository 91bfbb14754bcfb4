/**
 * An OAuth client as others wrote it, unmodified, is told by a service that its person has to show more, leads them there,
 * and comes back with a token that will do (RFC 9470); and what is queued is decided by how it was authorised.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Identity } from '@countersign/identity'
import { systemClock } from '@countersign/kernel'
import * as oauth from 'oauth4webapi'
import { Secret, TOTP } from 'otpauth'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasRedis, RedisServer } from '../../redis-server.ts'
import { CALLBACK, findIdentity, plain } from '../found-identity.ts'
import { PASSWORD, until } from '../site.ts'
import { type Payroll, type Queued, RECENT_MS, startPayroll } from './payroll.ts'

const APP = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'
const client: oauth.Client = { client_id: 'desk' }

describe.each(['sqlite', 'redis'] as const)('on %s', (store) => {
  describe.skipIf(store === 'redis' && !hasRedis())('a client whose person has to show more', () => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-step-up-'))
    let redis: RedisServer | null = null
    let identity: Identity
    let issuer: URL
    let server: oauth.AuthorizationServer
    let payroll: Payroll

    beforeAll(async () => {
      if (store === 'redis') redis = await RedisServer.start()
      const found = await findIdentity(folder, redis, 'payroll', { SEED: JSON.stringify(SEED) })
      ;({ identity, issuer, server } = found)
      const { keys, logPath } = found
      payroll = await startPayroll({ logPath, keys, issuer: issuer.origin, jwks: server.jwks_uri as string })
    }, 60_000)
    afterAll(async () => {
      await payroll?.close()
      await identity?.close()
      await redis?.stop()
      rmSync(folder, { recursive: true, force: true })
    })

    test('follows the challenge of RFC 9470, and its person, to an answer', async () => {
      const person = new Person('bob', issuer)
      expect(server.acr_values_supported).toEqual(['pwd', 'mfa', 'phr'])
      const weak = await authorize(person)
      const challenged = await refused(weak, 'GET', '/salaries')
      expect(challenged).toMatchObject({ error: 'insufficient_user_authentication', acr_values: 'mfa phr' })
      expect(challenged).not.toHaveProperty('max_age')

      const strong = await authorize(person, challenged)
      expect(person.shown).toEqual(['password', 'factor'])
      const answer = await ask(strong, 'GET', '/salaries')
      expect(answer.status).toBe(200)
      expect(await answer.json()).toEqual({ sub: 'sub_bob', acr: 'mfa', amr: ['pwd', 'otp', 'mfa'] })

      // Strong still, but not of just now.
      await sleep(RECENT_MS + 300)
      const late = await refused(strong, 'POST', '/salaries/pay')
      expect(late).toEqual({ ...challenged, max_age: String(RECENT_MS / 1000) })
      const fresh = await authorize(person, late)
      expect(person.shown).toEqual(['password', 'factor', 'factor'])
      const paid = await ask(fresh, 'POST', '/salaries/pay')
      expect(paid.status).toBe(200)
      expect(await payroll.outcome((await paid.json()) as Queued)).toBe('executed')
      // The token of before ended with the session that was stepped up from.
      const refusal = async (): Promise<string> => (await refused(weak, 'GET', '/salaries')).error ?? ''
      await until('the first token is refused', async () => (await refusal()) === 'invalid_token')
    }, 60_000)

    test('queues work that is done only if authorised strongly, and lately, enough', async () => {
      const person = new Person('cem', issuer)
      const exported = async (token: string): Promise<string> => {
        const answer = await ask(token, 'POST', '/salaries/export')
        return payroll.outcome((await answer.json()) as Queued)
      }
      expect(await exported(await authorize(person))).toBe('denied acr_insufficient')
      const strong = await authorize(person, { acr_values: 'mfa' })
      expect(await exported(strong)).toBe('executed')
      await sleep(RECENT_MS + 300)
      expect(await exported(strong)).toBe('denied authentication_too_old')
      expect(await exported(await authorize(person, { acr_values: 'mfa', max_age: '1' }))).toBe('executed')
    }, 60_000)

    test('is told when its person has nothing of that strength', async () => {
      const error = 'unmet_authentication_requirements'
      await expect(authorize(new Person('bob', issuer), { acr_values: 'phr' })).rejects.toMatchObject({ error })
      await expect(authorize(new Person('dot', issuer), { acr_values: 'mfa phr' })).rejects.toMatchObject({ error })
    })

    /** Has a person authorise the client. @param more as the challenge asks. @returns an access token. */
    async function authorize(person: Person, more: Readonly<Record<string, string>> = {}): Promise<string> {
      const verifier = oauth.generateRandomCodeVerifier()
      const state = oauth.generateRandomState()
      const { acr_values, max_age } = more
      const asked = { ...(acr_values && { acr_values }), ...(max_age && { max_age }) }
      const url = new URL(server.authorization_endpoint as string)
      url.search = new URLSearchParams({
        ...{ response_type: 'code', client_id: client.client_id, redirect_uri: CALLBACK, state, ...asked },
        ...{ code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' },
      }).toString()
      const called = oauth.validateAuthResponse(server, client, await person.open(url), state)
      const by = oauth.None()
      const answer = await oauth.authorizationCodeGrantRequest(server, client, by, called, CALLBACK, verifier, plain)
      return (await oauth.processAuthorizationCodeResponse(server, client, answer)).access_token
    }

    function ask(token: string, method: string, path: string): Promise<Response> {
      const url = new URL(path, payroll.address)
      return oauth.protectedResourceRequest(token, method, url, new Headers(), null, plain)
    }

    /** @returns the parameters of the challenge. */
    async function refused(token: string, method: string, path: string): Promise<Record<string, string>> {
      const error = await ask(token, method, path).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(oauth.WWWAuthenticateChallengeError)
      const { status, cause } = error as oauth.WWWAuthenticateChallengeError
      expect([status, cause.length, cause[0]?.scheme]).toEqual([401, 1, 'bearer'])
      return { ...cause[0]?.parameters } as Record<string, string>
    }
  })
})

/** Somebody at a browser without script, who fills in whatever page they are shown. */
class Person {
  /** What they showed, in order. */
  readonly shown: string[] = []
  readonly #name: string
  readonly #origin: URL
  readonly #app = new TOTP({ secret: Secret.fromBase32(APP) })
  readonly #cookies = new Map<string, string>()
  #step = -1

  constructor(name: string, origin: URL) {
    this.#name = name
    this.#origin = origin
  }

  /** Follows links and forms until it comes back to the client. */
  async open(url: URL): Promise<URL> {
    let next: { url: URL; form?: URLSearchParams } = { url }
    for (let pages = 0; pages < 9; pages++) {
      const response = await this.#send(next)
      const location = response.headers.get('location')
      if (location === null) next = this.#fill(await response.text())
      else if (new URL(location, this.#origin).origin === this.#origin.origin)
        next = { url: new URL(location, this.#origin) }
      else return new URL(location)
    }
    throw new Error('sent in circles')
  }

  #fill(page: string): { url: URL; form: URLSearchParams } {
    const action = /<form method="post" action="([^"]*)"/.exec(page)?.[1] ?? ''
    const onward = /name="continue" value="([^"]*)"/.exec(page)?.[1] ?? ''
    const form = new URLSearchParams({
      continue: onward.replaceAll(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code))),
    })
    if (action === '/login') {
      this.shown.push('password')
      form.set('email', `${this.#name}@example.com`)
      form.set('password', PASSWORD)
    } else if (action === '/step-up') {
      this.shown.push('factor')
      // Each code once: that of the step before, of now, of the one after.
      form.set('code', this.#app.generate({ timestamp: systemClock.now() + this.#step++ * 30_000 }))
    } else throw new Error(`a page that asks for nothing: ${page}`)
    return { url: new URL(action, this.#origin), form }
  }

  async #send({ url, form }: { url: URL; form?: URLSearchParams }): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const posted = form === undefined ? {} : { method: 'POST', body: form }
    const response = await fetch(url, { headers: { cookie }, redirect: 'manual', ...posted })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      this.#cookies.set(name, value)
    }
    return response
  }
}

function account(name: string, more: object): object {
  const affiliations = [{ tenant: 'acme', roles: ['member'] }]
  return { sub: `sub_${name}`, email: `${name}@example.com`, password: PASSWORD, affiliations, ...more }
}

const SEED = {
  accounts: [account('bob', { totp: APP }), account('cem', { totp: APP }), account('dot', {})],
  clients: [
    {
      ...{ id: 'desk', name: 'Desk', authMethod: 'none', grants: ['authorization_code'], redirectUris: [CALLBACK] },
      ...{ scopes: ['invoices:export'], audiences: ['payroll'] },
    },
  ],
}
