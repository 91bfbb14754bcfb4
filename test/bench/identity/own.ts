/**
 * Identity as a subject of the bench: one process on a Redis that keeps an append-only file, with its outbox, delivery
 * and sweeper at work, the notary in another process, both on an embedded log. Configured as for production, but for
 * the cost of passwords and cookies without TLS.
 */
import { randomBytes } from 'node:crypto'
import { basic, begin, login, personEmail, personSub, REDIRECT_URI } from '../../identity/people.ts'
import { IdentitySite, type StoreKind } from '../../identity/site.ts'
import { type Endpoint, type Family, FORMATS, RESOURCE, SCOPE, type Subject } from './subject.ts'

const PEOPLE = 128

export interface OwnOptions {
  readonly store: StoreKind
  /** Options of Node for the identity process. */
  readonly nodeOptions?: string
}

export async function startOwn({ store, nodeOptions }: OwnOptions): Promise<Subject> {
  const secret = randomBytes(32).toString('base64url')
  const client = { secret, authMethod: 'client_secret_basic', redirectUris: [REDIRECT_URI], scopes: [SCOPE] }
  const grants = ['authorization_code', 'refresh_token']
  const site = await IdentitySite.start({
    store,
    people: PEOPLE,
    clients: [
      ...FORMATS.map((format) => ({
        ...client,
        id: `app-${format}`,
        name: `App, ${format}`,
        grants,
        audiences: [RESOURCE],
        tokenFormat: format,
      })),
      {
        ...client,
        id: 'resource',
        name: 'Resource',
        grants: [],
        scopes: [],
        redirectUris: [],
        introspects: [RESOURCE],
      },
    ],
  })
  const service = await site.identity('identity', nodeOptions ? { plain: { NODE_OPTIONS: nodeOptions } } : {})
  const cookies = new Map<number, string>()
  const endpoint = (path: string, id: string): Endpoint => ({
    url: `${service.url}${path}`,
    authorization: basic(id, secret),
  })
  let next = 0
  const family = async (format: string): Promise<Family> => {
    const person = next++ % PEOPLE
    const cookie = cookies.get(person) ?? (await login(service.url, personEmail(person)))
    cookies.set(person, cookie)
    const { refresh_token } = await begin(service.url, cookie, { id: `app-${format}`, secret }, SCOPE)
    return { sub: personSub(person), refreshToken: refresh_token }
  }
  return {
    name: 'identity',
    token: (format) => endpoint('/token', `app-${format}`),
    introspection: endpoint('/introspect', 'resource'),
    async families(format, count) {
      const made: Family[] = []
      while (made.length < count) made.push(await family(format))
      return made
    },
    async stop() {
      await service.stop()
      await site.stop()
    },
  }
}
