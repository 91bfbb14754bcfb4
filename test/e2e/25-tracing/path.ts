/** A request through a gateway, whose job derives another: what both tests of this folder send. */
import { readFileSync } from 'node:fs'
import { startEnforcer } from '@countersign/enforcer'
import { ed25519Key } from '@countersign/envelope'
import { type EventLog, type LogRecord, openLog } from '@countersign/event-log'
import { systemClock } from '@countersign/kernel'
import { exampleCatalogue } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { Site, until } from '../site.ts'

export const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
export const CALLER_SPAN = '00f067aa0ba902b7'
export const CALLER: Readonly<Record<string, string>> = {
  traceparent: `00-${TRACE_ID}-${CALLER_SPAN}-01`,
  tracestate: 'vendor=t61rcWkgMzE',
  // Must go nowhere.
  baggage: 'user=ann%40example.com,canary=baggage',
}

export interface Consumer {
  /** Trace ids and correlation ids that handlers saw, by class. */
  readonly seen: Map<string, { trace: string | null; state: string | null; correlation: string | null }>
  close(): Promise<void>
}

/** A site with a gateway; its own worker is stopped, so that `startConsumer` has the jobs. */
export async function startSite(): Promise<Site> {
  const site = await Site.start({ gateways: 1 })
  await site.stopWorker()
  return site
}

/** Takes payments, and derives a mail from each; takes mails; its reports are for nobody weakly logged in. */
export async function startConsumer(site: Site): Promise<Consumer> {
  const seen: Consumer['seen'] = new Map()
  const key = ed25519Key('api', readFileSync(site.keyFile('api'), 'utf8'))
  const { enforcer, replica, log, stop } = await startEnforcer({
    logPath: site.logPath,
    rootKeys: [site.rootKey],
    catalogue: exampleCatalogue,
    consumer: 'consumer-1',
    logger: silentLogger,
    deriving: { key, workload: 'consumer' },
    classes: [
      { name: 'payment', topic: 'payments.run', action: 'pay', scopes: ['payments:run'] },
      { name: 'email', topic: 'emails.send', action: 'send' },
      { name: 'report', topic: 'reports.build', action: 'build', acr: ['phr'] },
      { name: 'export', topic: 'invoices.export', action: 'export', attempts: 1 },
    ],
  })
  await until('the view to be proven', () => replica.freshness().proven)
  const jobs = ['payment', 'email', 'report', 'export'].map((name) => {
    const topic = { payment: 'payments.run', email: 'emails.send', report: 'reports.build', export: 'invoices.export' }[
      name
    ]
    const consumer = log.jobs({ group: `tracing.${name}`, topics: [`${topic}.v1`] })
    const eachBatch = enforcer.eachBatch(name, async ({ trace, correlationId, derive }) => {
      seen.set(name, { trace: trace?.traceId ?? null, state: trace?.state ?? null, correlation: correlationId })
      if (name === 'export') throw new Error('canary: of a handler')
      if (name !== 'payment') return
      // Behind something else that is waited for, as handlers are.
      await systemClock.sleep(1)
      const value = { invoice_id: 'acme-1001', template: 'paid', work_ms: 0 }
      await derive({ topic: 'emails.send', value, scope: [] })
    })
    return { consumer, running: consumer.run({ eachBatch }) }
  })
  await Promise.all(jobs.map(({ running }) => running))
  return {
    seen,
    async close() {
      await Promise.all([stop(), ...jobs.map(({ consumer }) => consumer.stop())])
    },
  }
}

/** Logs in and asks for a payment at the gateway. @returns the correlation id that was answered to nobody, but logged. */
export async function pay(site: Site, correlation: string): Promise<{ status: number }> {
  const cookie = await site.login('ann')
  return send(site, cookie, '/payments', { invoice_id: 'acme-1001', amount_cents: 100, work_ms: 0 }, correlation)
}

export async function send(site: Site, cookie: string, path: string, body: object, correlation: string) {
  const headers = { cookie, ...CALLER, 'x-correlation-id': correlation }
  return site.post(path, headers, body, site.gateway)
}

/** Every record of a topic. */
export async function recordsOf(site: Site, topic: string): Promise<readonly LogRecord[]> {
  const log: EventLog = await openLog({ logPath: site.logPath }, { catalogue: exampleCatalogue, clientId: 'test' })
  const { partitions = 0 } = exampleCatalogue.byName(topic) ?? {}
  const found: LogRecord[] = []
  try {
    for (let partition = 0; partition < partitions; partition++) {
      const { start, end } = await log.bounds(topic, partition)
      for await (const chunk of log.read({ topic, partition, from: start, to: end })) found.push(...chunk)
    }
  } finally {
    await log.close()
  }
  return found
}

/** Headers of a record, as text. */
export function texts({ headers }: LogRecord): Record<string, string> {
  return Object.fromEntries(headers.map(([name, value]) => [name, Buffer.from(value).toString('latin1')]))
}
