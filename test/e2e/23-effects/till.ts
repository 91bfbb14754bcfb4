/** A service behind the gateway that neither seals nor sends: it takes Txn-Tokens, and pays by the class of its jobs. */
import { createHttpEnforcer, fastifyEnforce, type HttpWork } from '@countersign/enforcer/fastify'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { JourneySink, journeyLog } from '@countersign/journey'
import { systemClock as clock, systemRandom as random } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { exampleCatalogue as catalogue } from '@countersign/schemas'
import { createLogger, createMetrics } from '@countersign/telemetry'
import fastify from 'fastify'
import { type Site, TRUST_DOMAIN, until } from '../site.ts'

export interface Till {
  readonly url: string
  /** Tokens as they came. */
  readonly tokens: string[]
  /** Who paid. */
  readonly paid: string[]
  /** Called between the start of a payment and its commit. */
  meanwhile: (work: HttpWork) => Promise<unknown>
  close(): Promise<void>
}

export async function startTill(site: Site, port: number): Promise<Till> {
  const logger = createLogger({ name: 'till', level: 'silent' })
  const metrics = createMetrics()
  const log = await openSqliteLog({ path: site.logPath, catalogue, create: false })
  const rootKeys = [Buffer.from(site.rootKey.trim(), 'base64')]
  const replica = new Replica({ log, clock, logger, rootKeys, consumer: 'till' })
  await replica.start()
  const sink = new JourneySink({ log, clock, random, logger, metrics })
  sink.start()
  const payment = defineJobClass({
    ...{ name: 'payment', topic: 'payments.run', action: 'pay', preset: 'money', scopes: ['payments:run'] },
  })
  const http = createHttpEnforcer({
    ...{ replica, clock, logger, metrics, journey: journeyLog(logger, sink), classes: [payment] },
    txnTokens: { trustDomain: TRUST_DOMAIN },
  })
  const till = {
    url: '',
    tokens: [] as string[],
    paid: [] as string[],
    meanwhile: async (_: HttpWork): Promise<unknown> => null,
  }
  const app = fastify()
  app.addHook('onRequest', async ({ headers }) => void till.tokens.push(String(headers['txn-token'])))
  app.post('/till/:id', { onRequest: fastifyEnforce(http, 'payment') }, async ({ work, headers }) => {
    if (headers['txn-token'] !== undefined) throw new Error('the token is still there')
    await till.meanwhile(work)
    work.commitIfAllowed(() => till.paid.push(work.identity.sub))
    return { paid: true }
  })
  await until('the till can judge', () => replica.freshness().proven)
  till.url = await app.listen({ host: '127.0.0.1', port })
  return Object.assign(till, {
    async close() {
      http.stop()
      await app.close()
      await sink.close()
      await replica.stop()
      await log.close()
    },
  })
}
