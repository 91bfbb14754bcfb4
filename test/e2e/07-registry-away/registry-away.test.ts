/** On a real broker: the schema registry goes away after the start, and nothing notices. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { createEnforcer } from '@countersign/enforcer'
import { FakeView, sealedMessage } from '@countersign/enforcer/testing'
import { NOW } from '@countersign/envelope/testing'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { type Clock, systemClock, systemRandom } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { defineJobClass } from '@countersign/policy'
import {
  catalogue as catalogueOf,
  decisionBatchCodec,
  ENVELOPE_HEADER,
  frame,
  invoiceExportCodec,
  unframe,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { Kafka, logLevel } from 'kafkajs'
import { afterEach, describe, expect, it } from 'vitest'
import { kafka as found } from '../../brokers.ts'

const kafka = found()
const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** Where the envelopes of the stand are valid. */
const clock: Clock = { ...systemClock, now: () => NOW + 1_000 }

describe.skipIf(kafka === null)('a registry that goes away after the start', () => {
  it('stops neither sealing nor deciding, under schemas looked up before', async () => {
    const { brokers, registryUrl } = kafka ?? { brokers: [], registryUrl: '' }
    const registry = await Passage.to(registryUrl)
    ends.push(() => registry.close())
    const logical = `registry-away-${systemRandom.bytes(6).toString('hex')}`
    const catalogue = catalogueOf([
      { logical, audience: 'billing-export', payload: invoiceExportCodec.name, partitions: 1 },
    ])
    const at = { brokers, registryUrl: registry.url, catalogue, clientId: 'test', registryDeadlineMs: 20_000 }
    await provisionKafka({ ...at, windowMs: 3_600_000 })
    const [producer, worker] = await Promise.all([openKafkaLog(at), openKafkaLog(at)])
    for (const log of [producer, worker]) ends.push(() => log.close())
    expect(registry.passed).toBeGreaterThan(0)

    await registry.close()
    await expect(openKafkaLog({ ...at, registryDeadlineMs: 1_000 })).rejects.toMatchObject({ retriable: true })

    const ran: string[] = []
    const enforcer = createEnforcer({
      replica: new FakeView(new FakeClock()),
      log: worker,
      catalogue,
      clock,
      random: systemRandom,
      consumer: logical,
      classes: [defineJobClass({ name: 'export', topic: logical, action: 'export' })],
      logger: silentLogger,
    })
    const consumer = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { initialRetryTime: 50 } }).consumer({
      groupId: logical,
    })
    await consumer.connect()
    ends.push(() => consumer.disconnect())
    await consumer.subscribe({ topics: [`${logical}.v1`], fromBeginning: true })
    const eachMessage = enforcer.eachMessage<{ invoice_id: string }>('export', ({ value }) => {
      ran.push(value.invoice_id)
    })
    await consumer.run({ eachMessage })
    const id = producer.schemas.idOf(invoiceExportCodec.name)
    const job = (n: number) => {
      const value = frame(id, invoiceExportCodec.encode({ invoice_id: `inv-${n}`, format: 'csv', work_ms: 0 }))
      const { key, headers } = sealedMessage(n, { value, event: { topic: logical } })
      return { key, value, headers: [[ENVELOPE_HEADER, headers?.[ENVELOPE_HEADER] as Buffer]] as const }
    }
    await producer.append(`${logical}.v1`, [job(0), { ...job(1), headers: [] }, job(2)])
    await expect.poll(() => ran, { timeout: 30_000 }).toEqual(['inv-0', 'inv-2'])

    // What it recorded can be read by whoever knows the ids: by the same catalogue, without the registry.
    const decided = async (): Promise<number[]> => {
      const { start, end } = await producer.bounds('countersign.decisions.v1', 0)
      const offsets: number[] = []
      for await (const records of producer.read({ topic: 'countersign.decisions.v1', from: start, to: end })) {
        for (const { value } of records) {
          const framed = unframe(value)
          expect(producer.schemas.schemaOf(framed?.id ?? -1)?.name).toBe(decisionBatchCodec.name)
          const { topic, phase, allowed, exceptions } = decisionBatchCodec.decode(framed?.body ?? Buffer.alloc(0))
          if (topic !== `${logical}.v1` || phase !== 'final') continue
          offsets.push(...allowed.map(({ first }) => first), ...exceptions.map(({ offset }) => offset))
        }
      }
      return offsets
    }
    await expect.poll(decided, { timeout: 30_000 }).toEqual([0, 1, 2])
    expect((await producer.bounds(`${logical}.dead.v1`)).end).toBe(1)
    await enforcer.stop()
  }, 120_000)
})

/** A way to the registry that can be shut. */
class Passage {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly url: string
  /** Connections let through. */
  passed = 0

  private constructor(server: Server, url: string) {
    this.#server = server
    this.url = url
  }

  static async to(target: string): Promise<Passage> {
    const { hostname, port, pathname } = new URL(target)
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const own = address !== null && typeof address === 'object' ? address.port : 0
    const passage = new Passage(server, `http://127.0.0.1:${own}${pathname}`)
    server.on('connection', (near) => {
      passage.passed++
      const far = connect(Number(port), hostname)
      for (const socket of [near, far]) {
        passage.#sockets.add(socket)
        socket.on('error', () => socket.destroy())
      }
      near.pipe(far).pipe(near)
    })
    return passage
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}
