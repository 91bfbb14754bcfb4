/** A queue that users have and that is not Kafka: BullMQ on a real Redis, by the recipe of the enforcer's README. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stand } from '@countersign/boundary/testing'
import { createEnforcer, type Work } from '@countersign/enforcer'
import { FakeView } from '@countersign/enforcer/testing'
import { NOW, testAuthority } from '@countersign/envelope/testing'
import { type EventLog, openLog } from '@countersign/event-log'
import { systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { exampleCatalogue as catalogue, type InvoiceExport } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { Queue, QueueEvents, Worker } from 'bullmq'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { enqueuer, processor } from '../examples/bullmq/invoice-exports.ts'
import { hasRedis, RedisServer } from '../redis-server.ts'

/** Where the envelopes of the stand are valid. */
const clock = { ...systemClock, now: () => NOW + 1_000 }

it('is what the README shows', () => {
  const recipe = readFileSync(join(import.meta.dirname, '../examples/bullmq/invoice-exports.ts'), 'utf8')
  const readme = readFileSync(join(import.meta.dirname, '../../libs/enforcer/README.md'), 'utf8')
  expect(readme).toContain(recipe.slice(recipe.indexOf('export function')).trim())
})

describe.skipIf(!hasRedis())('jobs through BullMQ', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bullmq-'))
  const boundary = stand({}, testAuthority(7))
  const view = new FakeView(systemClock)
  const ran: string[] = []
  let redis: RedisServer
  let log: EventLog
  let queue: Queue
  let worker: Worker
  let events: QueueEvents

  beforeAll(async () => {
    redis = await RedisServer.start()
    log = await openLog({ logPath: join(folder, 'log.db') }, { catalogue, clientId: 'exports' })
    const shared = { replica: view, log, catalogue, clock, random: systemRandom, logger: silentLogger }
    const rules = { name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'] }
    const enforcer = createEnforcer({ ...shared, consumer: 'exports-1', classes: [defineJobClass(rules)] })
    const connection = { host: '127.0.0.1', port: redis.port, maxRetriesPerRequest: null }
    // Where the clock of the enforcer is.
    queue = new Queue('exports', { connection, defaultJobOptions: { timestamp: NOW + 1_000 } })
    events = new QueueEvents('exports', { connection })
    await events.waitUntilReady()
    const handler = ({ identity, value }: Work<InvoiceExport>): void =>
      void ran.push(`${value.invoice_id} ${identity.sub}`)
    worker = new Worker('exports', processor(enforcer, handler), { connection, concurrency: 2 })
  }, 60_000)

  afterAll(async () => {
    for (const part of [worker, events, queue, log]) await part?.close()
    await redis?.kill()
    rmSync(folder, { recursive: true, force: true })
  })

  const invoice = (n: number): InvoiceExport => ({ invoice_id: `inv-${n}`, format: 'csv', work_ms: 0 })
  const enqueue = async (n: number) =>
    enqueuer(boundary.boundary, queue)(await boundary.identityOf({ sub: `person-${n}` }), invoice(n))

  it('run with the identity they were sealed for', async () => {
    const job = await enqueue(1)
    expect(await job.waitUntilFinished(events)).toMatchObject({ outcome: 'executed' })
    expect(ran).toEqual(['inv-1 person-1'])
  })

  it('are refused when they are not what was sealed, and when there is nothing sealed', async () => {
    await worker.pause()
    const job = await enqueue(2)
    await job.updateData({ ...job.data, value: (await enqueue(3)).data.value })
    const foreign = await queue.add('export', { anything: true })
    worker.resume()
    expect(await job.waitUntilFinished(events)).toMatchObject({ reason: 'envelope_payload_mismatch' })
    await expect(foreign.waitUntilFinished(events)).rejects.toThrow('not a job of ours')
    expect(ran).not.toContain('inv-2 person-2')
  })

  it('free their place while they cannot be judged, and run when they can', async () => {
    const { fresh } = view
    view.fresh = { ...fresh, ageMs: 60_000 }
    const job = await enqueue(4)
    await expect.poll(() => job.getState(), { timeout: 10_000 }).toBe('delayed')
    view.fresh = fresh
    expect(await job.waitUntilFinished(events)).toMatchObject({ outcome: 'executed' })
    expect(ran.filter((one) => one === 'inv-4 person-4')).toHaveLength(1)
  })
})
