/** Workers and gateways that are wrong in one way each, on a real log and in front of a real gateway. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEnforcer, type EnforcerOptions } from '@countersign/enforcer'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { Secret, systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass, type JobClassInput } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { exampleCatalogue } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { jobClassRoutes } from '@countersign/worker'
import fastify from 'fastify'
import { PROBE_SECRET, type Site, until } from '../site.ts'

export interface Running {
  readonly address: string
  close(): Promise<void>
}

export interface PlantedWorker {
  /** As it is listed. */
  readonly listed?: Partial<JobClassInput>
  /** As it is enforced, where that differs. */
  readonly enforced?: Partial<JobClassInput>
  readonly catalogue?: EnforcerOptions['catalogue']
  /** A view in which nothing was ever ended. */
  readonly blind?: boolean
}

const EXPORT: JobClassInput = {
  ...{ name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'] },
  principals: ['user'],
}

export async function plantedWorker(site: Site, planted: PlantedWorker): Promise<Running> {
  const { catalogue = exampleCatalogue, listed, enforced = listed, blind } = planted
  const log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue, create: false })
  const about = { clock: systemClock, logger: silentLogger, consumer: 'planted' }
  const replica = new Replica({ ...about, log, rootKeys: [Buffer.from(site.rootKey, 'base64')] })
  await replica.start()
  await until('view proven', () => replica.freshness().proven)
  if (blind) Object.assign(replica, { floors: () => [] })
  const classes = [defineJobClass({ ...EXPORT, ...enforced })]
  const enforcer = createEnforcer({ ...about, replica, log, catalogue, random: systemRandom, classes })
  const app = fastify()
  const shown = [defineJobClass({ ...EXPORT, ...listed })]
  await app.register(jobClassRoutes, { classes: shown, enforcer, probeSecret: new Secret(PROBE_SECRET) })
  return {
    address: await app.listen({ host: '127.0.0.1', port: 0 }),
    async close() {
      await app.close()
      await enforcer.stop(0)
      await replica.stop()
      await log.close()
    },
  }
}

/** What the gateway said, and to whom. */
export interface Said {
  readonly status: number
  readonly token: string
  readonly path: string
}

/** A gateway's inside listener that changes what the real one says. @param flaw the status to say instead. */
export async function plantedGateway(site: Site, flaw: (said: Said) => number): Promise<Running> {
  const server = createServer((request, response) => {
    void answer(site, request, flaw).then(({ status, headers, body }) => response.writeHead(status, headers).end(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => new Promise((resolve) => server.close(() => resolve()).closeAllConnections()),
  }
}

async function answer(
  site: Site,
  { method = 'GET', url: path = '/', headers: { authorization = '' } }: IncomingMessage,
  flaw: (said: Said) => number,
): Promise<{ status: number; headers: Record<string, string>; body: string }> {
  const sent = { method, headers: authorization === '' ? {} : { authorization } }
  const real = await fetch(`${site.gateway.checkAddress}${path}`, sent)
  const said = { status: real.status, token: authorization.replace(/^Bearer /, ''), path }
  const headers = { 'www-authenticate': real.headers.get('www-authenticate') ?? '' }
  return { status: path === '/v1/routes' ? real.status : flaw(said), headers, body: await real.text() }
}

/** Of a self-contained token. */
export function claimsOf(token: string): { readonly aud?: string; readonly scope?: string } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? 'e30', 'base64url').toString() || '{}')
}
