/** How the services of a team hold a person's authority: four kinds of a person's own, and one handed from service to service. */
import { begin, form } from '../../identity/people.ts'
import {
  bearer,
  cookie,
  credentials,
  jwt,
  loggedOut,
  none,
  opaque,
  type Pattern,
  rotated,
  SCOPE,
} from '../12-credential-patterns/patterns.ts'
import { TOKEN_EXCHANGE } from '../site.ts'

/** The person's token is for the portal; the portal exchanges it for one that is for the api and may less (RFC 8693). */
export const exchanged: Pattern = {
  name: 'exchange with narrowed audience',
  ending: 'logout of the session it began with',
  asked: false,
  refreshes: false,
  async begin(site, person) {
    const session = await site.login(person)
    const origin = (await begin(site.door, session, credentials('portal-page'), SCOPE)).access_token
    const fields = {
      grant_type: TOKEN_EXCHANGE,
      subject_token: origin,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'api',
      scope: 'invoices:export payments:run',
    }
    const answer = await fetch(`${site.door}/token`, { method: 'POST', ...form(credentials('portal'), fields) })
    if (answer.status !== 200) throw new Error(`exchange: ${answer.status} ${await answer.text()}`)
    const { access_token } = (await answer.json()) as { access_token: string }
    const secrets = [session, origin, access_token]
    return { shown: () => bearer(access_token), renew: none, end: () => loggedOut(site, session), secrets }
  },
}

/** Patterns whose credential the gateway exchanges for an access token of the service behind. */
export const EXCHANGED_AT_THE_GATEWAY: readonly Pattern[] = [jwt, opaque].map((pattern) => ({
  ...pattern,
  name: `${pattern.name}, exchanged at the gateway`,
}))

export const GATEWAY_PATTERNS: readonly Pattern[] = [cookie, jwt, rotated, opaque, exchanged]
