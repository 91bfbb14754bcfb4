/** The console beside a day that is over, for whoever wants to look at what is left of it. */
import { randomBytes } from 'node:crypto'
import type { Cast } from './cast.ts'
import { ask } from './people.ts'
import { freePort, Service } from './processes.ts'
import type { Site } from './site.ts'

export interface DayConsole {
  readonly service: Service
  readonly email: string
  readonly password: string
}

const TENANT = 'operations'

/** Makes somebody who operates, a client for the console, and starts it. A password is enough: nobody here has a factor. */
export async function openConsole(site: Site, cast: Cast): Promise<DayConsole> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const email = `operator@${TENANT}.example`
  const password = randomBytes(9).toString('base64url')
  await operate(site, cast, '/v1/accounts', { email, password, affiliations: [{ tenant: TENANT, roles: ['admin'] }] })
  const { secret } = await operate(site, cast, '/v1/clients', {
    ...{ id: 'console', name: 'Console', authMethod: 'client_secret_basic', grants: ['authorization_code'] },
    ...{ redirectUris: [`${url}/signed-in`], audiences: ['console'], tokenFormat: 'opaque' },
  })
  const settings = {
    ...site.logSettings,
    COUNTERSIGN_HTTP_PORT: String(port),
    COUNTERSIGN_IDENTITY_URL: site.identity.url,
    COUNTERSIGN_ISSUER: site.identity.url,
    COUNTERSIGN_CLIENT_SECRET: String(secret),
    COUNTERSIGN_OPERATOR_SECRET: cast.operatorSecret,
    COUNTERSIGN_SUCCESSOR_SECRET: cast.serviceSecret,
    COUNTERSIGN_TENANT: TENANT,
    COUNTERSIGN_ACR: 'pwd',
    COUNTERSIGN_INSECURE_COOKIES: 'true',
  }
  const service = new Service({ name: 'console', service: 'console', port, env: settings }, site.logsFolder)
  service.start()
  await service.ready()
  return { service, email, password }
}

async function operate(site: Site, cast: Cast, path: string, body: object): Promise<Record<string, unknown>> {
  const headers = { authorization: `Bearer ${cast.operatorSecret}` }
  const reply = await ask('POST', `${site.identity.url}${path}`, headers, body)
  if (reply?.status !== 201) throw new Error(`identity answered ${reply?.status ?? 'nothing'} to ${path}`)
  return reply.body
}
