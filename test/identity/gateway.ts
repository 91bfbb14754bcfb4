/** The gateway as a process of its own, in front of an identity that is one too. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, Service } from '../day/processes.ts'
import { type IdentitySite, ISSUER, SERVICE_SECRET } from './site.ts'

export interface GatewayOptions {
  readonly identityUrl: string
  /** As in a routes file. */
  readonly routes: readonly object[]
  /** Of the client `gateway`, which introspects. */
  readonly secret: string
  /** Options of Node. */
  readonly nodeOptions?: string
}

/** @param site with a key `gateway` ordered. @returns its public address, once it is ready. */
export async function startGateway(
  site: IdentitySite,
  { identityUrl, routes, secret, nodeOptions = '' }: GatewayOptions,
): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const routesFile = join(site.folder, 'routes.json')
  writeFileSync(routesFile, JSON.stringify(routes))
  const [port, checkPort] = [await freePort(), await freePort()]
  const values = {
    HTTP_PORT: String(port),
    CHECK_PORT: String(checkPort),
    ROUTES_FILE: routesFile,
    LOG_PATH: site.logPath,
    ROOT_KEY_FILE: join(site.keys, 'root.pub'),
    ENVELOPE_KEY_FILE: join(site.keys, 'gateway.key.pem'),
    IDENTITY_URL: identityUrl,
    IDENTITY_SECRET: SERVICE_SECRET,
    INTROSPECTION_CLIENT: 'gateway',
    INTROSPECTION_SECRET: secret,
    ISSUER,
    INSECURE_COOKIES: 'true',
  }
  const env = Object.fromEntries(Object.entries(values).map(([key, value]) => [`COUNTERSIGN_${key}`, value]))
  const plain = nodeOptions === '' ? {} : { NODE_OPTIONS: nodeOptions }
  const spec = { name: 'gateway', service: 'gateway', port: checkPort, env: { ...env, ...plain } }
  const service = new Service(spec, site.folder)
  service.start()
  await service.ready()
  return { url: `http://127.0.0.1:${port}`, stop: () => service.stop() }
}
