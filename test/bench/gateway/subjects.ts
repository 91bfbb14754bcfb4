/**
 * The subjects, all in front of one upstream and one identity: real, on a Redis that keeps an append-only file, its
 * notary in another process. The gateway is configured as for production, but for cookies without TLS.
 */
import { randomBytes } from 'node:crypto'
import { startGateway } from '../../identity/gateway.ts'
import { basic, begin, type ClientCredentials, login, personEmail, REDIRECT_URI } from '../../identity/people.ts'
import { IdentitySite } from '../../identity/site.ts'
import { WorkerProcess } from '../worker-process.ts'
import type { ProxyTask } from './proxy.ts'
import { AUDIENCE, type Credential, type IntrospectedBy, SCOPE, type Subject } from './subject.ts'

const PEOPLE = 64

export interface Subjects {
  readonly all: readonly Subject[]
  /** Headers that show fresh credentials, one of each person. */
  shown(credential: Credential): Promise<readonly Readonly<Record<string, string>>[]>
  stop(): Promise<void>
}

/** @param nodeOptions options of Node for the gateway. */
export async function startSubjects(nodeOptions: string): Promise<Subjects> {
  const secret = randomBytes(32).toString('base64url')
  const stops: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0).reverse()) await each()
  }
  try {
    const site = await startSite(secret)
    stops.push(() => site.stop())
    const identity = await site.identity('identity')
    const introspection = { url: `${identity.url}/introspect`, authorization: basic('gateway', secret) }
    const behind = new WorkerProcess('./gateway/upstream.ts')
    stops.push(() => behind.stop())
    const upstream = await behind.next<string>()
    const proxy = async (asks: IntrospectedBy | null): Promise<string> => {
      const process = new WorkerProcess('./gateway/proxy.ts')
      stops.push(() => process.stop())
      return process.ask<string>({ upstream, introspection: asks } satisfies ProxyTask)
    }
    const bare = await proxy(null)
    const introspecting = await proxy(introspection)
    const route = { name: 'invoices', path: '/invoices/*', upstream, audience: AUDIENCE, scopes: [SCOPE] }
    const gateway = await startGateway(site, { identityUrl: identity.url, routes: [route], secret, nodeOptions })
    stops.push(() => gateway.stop())
    const cookies: string[] = []
    for (let i = 0; i < PEOPLE; i++) cookies.push(await login(identity.url, personEmail(i)))
    return {
      all: [
        { name: 'gateway', url: gateway.url },
        { name: 'bare', url: bare },
        { name: 'introspecting', url: introspecting },
        { name: 'direct', url: upstream },
      ],
      async shown(credential) {
        if (credential === 'cookie') return cookies.map((cookie) => ({ cookie }))
        const client: ClientCredentials = { id: `app-${credential}`, secret }
        const tokens = cookies.map((cookie) => begin(identity.url, cookie, client, SCOPE))
        return (await Promise.all(tokens)).map(({ access_token }) => ({ authorization: `Bearer ${access_token}` }))
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function startSite(secret: string): Promise<IdentitySite> {
  const client = { secret, authMethod: 'client_secret_basic', redirectUris: [REDIRECT_URI], scopes: [SCOPE] }
  const app = (tokenFormat: string): object => ({
    ...client,
    id: `app-${tokenFormat}`,
    name: `App, ${tokenFormat}`,
    grants: ['authorization_code', 'refresh_token'],
    audiences: [AUDIENCE],
    tokenFormat,
  })
  const gateway = { ...client, id: 'gateway', name: 'Gateway', grants: [], scopes: [], redirectUris: [] }
  return IdentitySite.start({
    store: 'redis',
    people: PEOPLE,
    clients: [app('jwt'), app('opaque'), { ...gateway, introspects: [AUDIENCE] }],
    orders: [{ name: 'gateway', use: 'envelope', tenants: ['*'], topics: ['*'] }],
  })
}
