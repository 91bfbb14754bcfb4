/** A resource server and its consumer, which ask for more than a password: on a real boundary and a real enforcer. */
import { createBoundary } from '@countersign/boundary'
import { fastifyDemand, fastifyHook } from '@countersign/boundary/fastify'
import { createEnforcer } from '@countersign/enforcer'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { readRootPublicKey, readSigningKey } from '@countersign/identity'
import { systemClock as clock, systemRandom as random } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { exampleCatalogue as catalogue, decisionBatchCodec, unframe } from '@countersign/schemas'
import { createLogger, createMetrics } from '@countersign/telemetry'
import fastify from 'fastify'
import { until } from '../site.ts'

const STRONG = ['mfa', 'phr'] as const
/** How long ago somebody may have shown themselves to have salaries paid. */
export const RECENT_MS = 3_000
const DECISIONS = 'countersign.decisions.v1'

/** Where a job stands. */
export interface Queued {
  readonly partition: number
  readonly offset: number
}

export interface Payroll {
  readonly address: string
  /** What became of a job, with the reason. */
  outcome(job: Queued): Promise<string>
  close(): Promise<void>
}

const SALARIES = defineJobClass({
  ...{ name: 'salaries', topic: 'invoices.export', action: 'export', object: 'invoice_id' },
  ...{ scopes: ['invoices:export'], acr: [...STRONG], maxAuthAgeMs: RECENT_MS },
})

export async function startPayroll(o: {
  readonly logPath: string
  readonly keys: string
  readonly issuer: string
  readonly jwks: string
}): Promise<Payroll> {
  const logger = createLogger({ name: 'payroll', level: 'silent' })
  const log = await openSqliteLog({ path: o.logPath, catalogue, create: false })
  const shared = { log, clock, logger, consumer: 'payroll' }
  const rootKeys = [readRootPublicKey(o.keys)]
  const replica = new Replica({ ...shared, rootKeys, metrics: createMetrics(), epsilonMs: 250 })
  const token = { audience: 'payroll', algorithms: ['ES256'], typ: 'at+jwt', maxAgeS: 300 } as const
  const boundary = createBoundary({
    ...{ replica, log, catalogue, clock, random, key: readSigningKey(o.keys, 'payroll'), workload: 'payroll' },
    issuers: [{ identifiers: 'own', issuer: o.issuer, keys: o.jwks, ...token }],
  })
  const enforcer = createEnforcer({ ...shared, replica, catalogue, random, classes: [SALARIES] })
  await replica.start()

  const app = fastify()
  app.addHook('onRequest', fastifyHook(boundary))
  const strong = { preHandler: fastifyDemand(boundary, { acr: STRONG }) }
  const strict = { preHandler: fastifyDemand(boundary, { acr: STRONG, maxAuthAgeMs: RECENT_MS }) }
  app.get('/salaries', strong, async ({ identity: { sub, acr, amr } }) => ({ sub, acr, amr }))
  app.post('/salaries/pay', strict, async ({ identity }) => queue(identity))
  // Asks for nothing itself: that is left to whoever does the work.
  app.post('/salaries/export', async ({ identity }) => queue(identity))

  async function queue(identity: Parameters<typeof boundary.demand>[0]): Promise<Queued> {
    const value = { invoice_id: 'acme-1001', format: 'csv', work_ms: 0 }
    return boundary.jobs.send({ topic: 'invoices.export', key: 'acme-1001', value, identity })
  }

  async function decided({ partition, offset }: Queued): Promise<string | null> {
    const { start, end } = await log.bounds(DECISIONS, partition)
    for await (const records of log.read({ topic: DECISIONS, partition, from: start, to: end })) {
      for (const { value } of records) {
        const batch = decisionBatchCodec.decode(unframe(value)?.body ?? Buffer.alloc(0))
        if (batch.phase !== 'final') continue
        const refused = batch.exceptions.find((one) => one.offset === offset)
        if (refused) return `${refused.outcome} ${refused.reason}`
        if (batch.allowed.some(({ first, last }) => first <= offset && offset <= last)) return 'executed'
      }
    }
    return null
  }

  await until('the boundary can judge', () => boundary.notReady().length === 0)
  const jobs = log.jobs({ group: 'payroll', topics: [catalogue.jobTopic('invoices.export')?.name ?? ''] })
  await jobs.run({ eachBatch: enforcer.eachBatch('salaries', async () => {}) })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    address,
    async outcome(job) {
      let found: string | null = null
      await until(`a decision on ${JSON.stringify(job)}`, async () => {
        found = await decided(job)
        return found !== null
      })
      return found ?? ''
    },
    async close() {
      await app.close()
      await enforcer.stop()
      await jobs.stop()
      await replica.stop()
      await log.close()
    },
  }
}
