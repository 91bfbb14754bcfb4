/** An ordinary kafkajs consumer on a real broker, with the defaults most applications have. */
import { createEnforcer, type Enforcer, type Handler, PermanentError } from '@countersign/enforcer'
import { FakeView, sealedMessage } from '@countersign/enforcer/testing'
import { NOW } from '@countersign/envelope/testing'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { type Clock, systemClock, systemRandom } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { defineJobClass } from '@countersign/policy'
import {
  catalogue as catalogueOf,
  ENVELOPE_HEADER,
  frame,
  type InvoiceExport,
  invoiceExportCodec,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { type Consumer, Kafka, logLevel } from 'kafkajs'
import { afterEach, describe, expect, it } from 'vitest'
import { kafka as found } from '../brokers.ts'

const kafka = found()
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** Where the envelopes of the stand are valid. */
const clock: Clock = { ...systemClock, now: () => NOW + 1_000 }

describe.skipIf(kafka === null)('a kafkajs consumer', () => {
  async function world() {
    const { brokers, registryUrl } = kafka ?? { brokers: [], registryUrl: '' }
    const logical = `enforcer-${systemRandom.bytes(6).toString('hex')}`
    const catalogue = catalogueOf([
      { logical, audience: 'billing-export', payload: invoiceExportCodec.name, partitions: 1 },
    ])
    await provisionKafka({
      brokers,
      registryUrl,
      catalogue,
      clientId: 'test',
      windowMs: 3_600_000,
      registryDeadlineMs: 20_000,
    })
    const log = await openKafkaLog({ brokers, registryUrl, catalogue, clientId: 'test', registryDeadlineMs: 20_000 })
    ends.push(() => log.close())
    const client = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } })
    const id = log.schemas.idOf(invoiceExportCodec.name)

    const send = (numbers: readonly number[]): Promise<unknown> =>
      log.append(
        `${logical}.v1`,
        numbers.map((n) => {
          const value = frame(id, invoiceExportCodec.encode({ invoice_id: `inv-${n}`, format: 'csv', work_ms: 0 }))
          const { key, headers } = sealedMessage(n, { value, event: { topic: logical } })
          return { key, value, headers: [[ENVELOPE_HEADER, headers?.[ENVELOPE_HEADER] as Buffer]] }
        }),
      )

    async function consume(
      handler: Handler<InvoiceExport>,
      append: EventLog['append'] = (topic, records) => log.append(topic, records),
    ): Promise<{ consumer: Consumer; enforcer: Enforcer }> {
      const enforcer = createEnforcer({
        replica: new FakeView(new FakeClock()),
        log: { schemas: log.schemas, append },
        catalogue,
        clock,
        random: systemRandom,
        consumer: logical,
        classes: [defineJobClass({ name: 'export', topic: logical, action: 'export', attempts: 1 })],
        logger: silentLogger,
        heartbeatMs: 200,
      })
      const consumer = client.consumer({ groupId: logical })
      await consumer.connect()
      await consumer.subscribe({ topics: [`${logical}.v1`], fromBeginning: true })
      await consumer.run({ eachBatch: enforcer.eachBatch('export', handler) })
      ends.push(() => consumer.disconnect())
      return { consumer, enforcer }
    }

    async function committed(): Promise<number> {
      const admin = client.admin()
      await admin.connect()
      const [found] = await admin.fetchOffsets({ groupId: logical, topics: [`${logical}.v1`] })
      await admin.disconnect()
      return Number(found?.partitions[0]?.offset)
    }
    return { log, logical, send, consume, committed }
  }

  it('moves on past poison, and gets a batch again whose record did not become durable', async () => {
    const { log, logical, send, consume, committed } = await world()
    const ran: string[] = []
    let appends = 0
    await send([0, 1, 2])
    const { enforcer, consumer } = await consume(
      ({ value }) => {
        ran.push(value.invoice_id)
        if (value.invoice_id === 'inv-1') throw new PermanentError('gone')
      },
      async (topic, records) => {
        // The final record of the first delivery is lost.
        if (topic === 'countersign.decisions.v1' && ++appends === 2) throw new Error('killed')
        return log.append(topic, records)
      },
    )
    await expect.poll(committed, { timeout: 30_000 }).toBe(3)
    expect(ran).toEqual(['inv-0', 'inv-1', 'inv-2', 'inv-0', 'inv-1', 'inv-2'])
    expect((await log.bounds(`${logical}.dead.v1`)).end).toBeGreaterThan(0)
    await Promise.all([enforcer.stop(), consumer.stop()])
  }, 60_000)

  it('that stops in the middle loses nothing: what was not done goes to the next', async () => {
    const { send, consume, committed } = await world()
    await send([0, 1, 2])
    let started = 0
    const first = await consume(async ({ value, signal }) => {
      started++
      if (value.invoice_id !== 'inv-1') return
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    await expect.poll(() => started, { timeout: 30_000 }).toBe(2)
    await Promise.all([first.enforcer.stop(100), first.consumer.disconnect()])
    expect(await committed()).toBe(1)
    const ran: string[] = []
    await consume(({ value }) => void ran.push(value.invoice_id))
    await expect.poll(() => ran, { timeout: 30_000 }).toEqual(['inv-1', 'inv-2'])
    await expect.poll(committed, { timeout: 30_000 }).toBe(3)
  }, 60_000)
})
