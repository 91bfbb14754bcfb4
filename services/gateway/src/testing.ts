/** For tests of this package: the gateway over a view that tests move, in front of an upstream that says what it got. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { BoundaryOptions } from '@countersign/boundary'
import { COOKIE, FakeView, NOW, person } from '@countersign/boundary/testing'
import { testAuthority } from '@countersign/envelope/testing'
import type { JourneyEvent } from '@countersign/journey'
import { systemRandom } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { MemoryLog } from '@countersign/replica/testing'
import { exampleCatalogue } from '@countersign/schemas'
import { createLogger, createMetrics, type Metrics, silentLogger } from '@countersign/telemetry'
import { Boundaries, type BoundariesOptions } from './boundaries.ts'
import { createGateway, type GatewayOptions, type Listeners } from './gateway.ts'
import { readRoutes } from './routes/route.ts'

export { COOKIE, NOW, person } from '@countersign/boundary/testing'

/** What an upstream got. */
export interface Got {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  readonly body: string
}

/** A server on loopback, with everything it was asked. */
export interface Upstream {
  readonly url: string
  readonly server: Server
  readonly got: Got[]
  answer: (request: IncomingMessage, response: ServerResponse, got: Got) => void
  close(): Promise<void>
}

export async function upstream(): Promise<Upstream> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('error', () => {})
    request.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = request
      const got = { method, url, headers, rawHeaders, body: Buffer.concat(chunks).toString() }
      made.got.push(got)
      made.answer(request, response, got)
    })
  })
  const made: Upstream = {
    url: '',
    server,
    got: [],
    answer: (_request, response) => response.end('ok'),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(made, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

export interface Stand extends Listeners {
  readonly address: string
  readonly checkAddress: string
  readonly view: FakeView
  readonly clock: FakeClock
  readonly metrics: Metrics
  /** Lines of the log, each an object. */
  readonly lines: readonly Readonly<Record<string, unknown>>[]
  /** Steps of the journey. */
  readonly steps: readonly JourneyEvent[]
  /** What identity answers for `COOKIE`. */
  answer: Awaited<ReturnType<NonNullable<BoundaryOptions['sessions']>['resolve']>>
}

type More = Omit<Partial<GatewayOptions>, 'clock'> & {
  readonly clock?: FakeClock
  readonly judging?: Partial<BoundariesOptions>
  readonly identityUrl?: string
}

/** @param routes as in a routes file. */
export async function stand(routes: readonly object[], { judging, identityUrl, ...more }: More = {}): Promise<Stand> {
  const read = readRoutes(JSON.stringify(routes), identityUrl ?? 'http://127.0.0.1:9')
  if ('faults' in read) throw new Error(read.faults.join('\n'))
  const authority = testAuthority()
  const clock = more.clock ?? new FakeClock(NOW)
  const view = new FakeView(authority)
  const metrics = more.metrics ?? createMetrics()
  const lines: Record<string, unknown>[] = []
  const steps: JourneyEvent[] = []
  const made = { answer: { ok: true, identity: person() } as Stand['answer'] }
  const base: BoundariesOptions['base'] = {
    replica: view,
    log: new MemoryLog(clock),
    catalogue: exampleCatalogue,
    key: authority.keys.envelope,
    workload: 'gateway',
    clock,
    random: systemRandom,
    sessions: {
      resolve: async (cookie) => (cookie === COOKIE ? made.answer : { ok: false, code: 'credential_invalid' }),
    },
    logger: silentLogger,
    metrics,
  }
  const options = { base, issuers: [], introspection: null, trustDomain: 'trust.example', rememberMs: 0 }
  const listeners = await createGateway({
    routes: read.routes,
    boundaries: new Boundaries({ ...options, ...judging }),
    exchange: null,
    trustDomain: options.trustDomain,
    insecureCookies: false,
    upstreams: { connectMs: 500, silenceMs: 1000, connections: 8 },
    clock,
    random: systemRandom,
    logger: createLogger({
      name: 'gateway',
      level: 'debug',
      destination: { write: (line) => void lines.push(JSON.parse(line)) },
    }),
    metrics,
    journey: { enforcement: (event) => void steps.push(event) },
    ...more,
  })
  const checkAddress = await listeners.inside.listen({ host: '127.0.0.1', port: 0 })
  const address = await listeners.outside.listen({ host: '127.0.0.1', port: 0 })
  return Object.assign(made, { ...listeners, address, checkAddress, view, clock, metrics, lines, steps })
}

export const signedIn = { cookie: `__Host-session=${COOKIE}` }

/** Claims of a token, unverified. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}
