/** What only Kafka can do to its adapter: deleted and recreated topics, bombs, a registry that hangs. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Bounds, EventLog, LogRecord } from '@countersign/event-log'
import { openKafkaLog, planKafka, provisionKafka } from '@countersign/event-log/kafka'
import { exampleCatalogue } from '@countersign/schemas'
import kafkajs from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { kafka } from '../brokers.ts'

const found = kafka()
const patience = { timeout: 20_000, interval: 20 }

describe.skipIf(found === null)('the Kafka adapter under faults', () => {
  const { brokers, registryUrl } = found ?? { brokers: [''], registryUrl: '' }
  const connection = {
    brokers,
    registryUrl,
    clientId: `faults-${randomUUID().slice(0, 8)}`,
    catalogue: exampleCatalogue,
  }
  const client = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING })
  const admin = client.admin()
  let log: EventLog

  const record = (value: string) => ({ key: null, value: Buffer.from(value), headers: [] })

  async function newTopic(partitions = 1): Promise<string> {
    const name = `faults-${randomUUID()}`
    await log.createTopics([{ name, partitions, retentionMs: 86_400_000 }])
    return name
  }

  async function deleteTopic(topic: string): Promise<void> {
    await admin.deleteTopics({ topics: [topic] })
    await vi.waitFor(async () => expect(await admin.listTopics()).not.toContain(topic), patience)
  }

  beforeAll(async () => {
    await admin.connect()
    await provisionKafka({ ...connection, windowMs: 86_400_000 })
    log = await openKafkaLog({ ...connection, registryDeadlineMs: 10_000, appendDeadlineMs: 5_000 })
  })
  afterAll(async () => {
    await log?.close()
    await admin.disconnect()
  })

  it('has nothing left to provision once provisioned', async () => {
    expect(await planKafka({ ...connection, windowMs: 86_400_000 })).toEqual({ topics: [], subjects: [] })
  })

  it('goes on with other topics when one it had sent to is deleted, and with that one when it is back', async () => {
    const [gone, stays] = [await newTopic(), await newTopic()]
    await log.append(gone, [record('1')])
    await log.append(stays, [record('1')])
    await deleteTopic(gone)
    await expect(log.append(gone, [record('2')])).rejects.toMatchObject({ code: 'EVENT_LOG_TOPIC_UNKNOWN' })
    await expect(log.append(stays, [record('2')])).resolves.toMatchObject([{ offset: 1 }])
    await log.createTopics([{ name: gone, partitions: 1, retentionMs: 86_400_000 }])
    await expect(log.append(gone, [record('3')])).resolves.toMatchObject([{ offset: 0 }])
  })

  it('tells a tail that its topic was recreated, and follows the new one when told', async () => {
    const topic = await newTopic()
    await log.append(topic, [record('a'), record('b'), record('c')])
    const seen: LogRecord[] = []
    const out: Bounds[] = []
    const tail = await log.tail({
      topic,
      from: 'start',
      handler: { records: (batch) => void seen.push(...batch), outOfRange: (bounds) => void out.push(bounds) },
    })
    await vi.waitFor(() => expect(seen.length).toBe(3), patience)
    await deleteTopic(topic)
    await log.createTopics([{ name: topic, partitions: 1, retentionMs: 86_400_000 }])
    await log.append(topic, [record('new')])
    await vi.waitFor(() => expect(out.length).toBe(1), patience)
    expect(out[0]?.end, 'it may notice before or after the first new record').toBeLessThanOrEqual(1)
    expect(seen.length, 'nothing of the new log is passed on unasked').toBe(3)
    tail.seek(0)
    await vi.waitFor(() => expect(String(seen.at(-1)?.value)).toBe('new'), patience)
    await tail.stop()
  })

  it('leaves no group behind when a tail stops', async () => {
    const topic = await newTopic()
    const tail = await log.tail({ topic, from: 'start', handler: { records() {}, outOfRange() {} } })
    const mine = async (): Promise<string[]> =>
      (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(connection.clientId))
    await vi.waitFor(async () => expect((await mine()).length).toBeGreaterThan(0), patience)
    await tail.stop()
    await vi.waitFor(async () => expect(await mine()).toEqual([]), patience)
  })

  it('reads what others compressed, and does not inflate without a limit', async () => {
    const topic = `faults-${randomUUID()}`
    await admin.createTopics({ topics: [{ topic, configEntries: [{ name: 'compression.type', value: 'producer' }] }] })
    const producer = client.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
    await producer.connect()
    const send = (value: Buffer) =>
      producer.send({ topic, compression: kafkajs.CompressionTypes.GZIP, messages: [{ partition: 0, value }] })
    await send(Buffer.from('small'))
    const seen: LogRecord[] = []
    const tail = await log.tail({
      topic,
      from: 'start',
      handler: { records: (b) => void seen.push(...b), outOfRange() {} },
    })
    await vi.waitFor(() => expect(seen.length).toBe(1), patience)
    await tail.stop()
    await producer.disconnect()
    const codec = kafkajs.CompressionCodecs[kafkajs.CompressionTypes.GZIP]() as {
      compress(encoder: { buffer: Buffer }): Promise<Buffer>
      decompress(bytes: Buffer): Promise<Buffer>
    }
    const bomb = await codec.compress({ buffer: Buffer.alloc(65 * 1_048_576) })
    expect(bomb.length).toBeLessThan(100_000)
    await expect(codec.decompress(bomb)).rejects.toMatchObject({ code: 'ERR_BUFFER_TOO_LARGE' })
  })

  it('gives up opening when the registry hangs, within its deadline, and says what is missing', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const hanging = { ...connection, registryUrl: `http://127.0.0.1:${port}`, registryDeadlineMs: 600 }
    await expect(openKafkaLog(hanging)).rejects.toMatchObject({ code: 'EVENT_LOG_UNAVAILABLE', retriable: true })
    silent.close()
    const entries = exampleCatalogue.entries.map((entry) => ({ ...entry, name: `never-${entry.name}` }))
    const unknown = { ...connection, catalogue: { ...exampleCatalogue, entries }, registryDeadlineMs: 5_000 }
    await expect(openKafkaLog(unknown)).rejects.toMatchObject({ code: 'EVENT_LOG_SCHEMA_UNKNOWN', retriable: false })
  })

  it('says unavailable, none appended, when no broker listens', async () => {
    const away = await openKafkaLog({
      ...connection,
      brokers: ['127.0.0.1:1'],
      registryDeadlineMs: 5_000,
      appendDeadlineMs: 1_000,
    })
    await expect(away.append('t', [record('v')])).rejects.toMatchObject({
      code: 'EVENT_LOG_UNAVAILABLE',
      retriable: true,
      outcome: 'none',
    })
    await expect(away.bounds('t')).rejects.toMatchObject({ code: 'EVENT_LOG_UNAVAILABLE' })
    await away.close()
  })
})
