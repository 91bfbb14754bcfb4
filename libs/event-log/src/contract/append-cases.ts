/** Appending, reading back, bounds, and the errors of both. */
import assert from 'node:assert/strict'
import { isCountersignError, systemClock } from '@countersign/kernel'
import { partitionOf } from '../partition.ts'
import { maxRecordBytes, type NewRecord } from '../port.ts'
import { type Case, numbers, readAll, record, records, text, values } from './probe.ts'

export const appendCases: readonly Case[] = [
  {
    name: 'appends in order, and says where',
    async check(probe) {
      const { log, topic } = await probe.topic(2)
      const appended = await log.append(topic, [...records(3, 'a', { partition: 1 }), record('b', { partition: 0 })])
      assert.deepEqual(
        appended.map(({ partition, offset }) => [partition, offset]),
        [
          [1, 0],
          [1, 1],
          [1, 2],
          [0, 0],
        ],
      )
      assert.deepEqual(values(await readAll(log, topic, 1)), ['a0', 'a1', 'a2'])
      assert.deepEqual(values(await readAll(log, topic, 0)), ['b'])
    },
  },
  {
    name: 'keeps concurrent appends whole, in the order they were asked',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const asked = Array.from({ length: 200 }, (_, i) => log.append(topic, records(1 + (i % 3), `${i}.`)))
      const appended = (await Promise.all(asked)).flat()
      assert.deepEqual(
        appended.map(({ offset }) => offset),
        appended.map((_, i) => i),
      )
      const expected = asked.flatMap((_, i) => numbers(1 + (i % 3), `${i}.`))
      assert.deepEqual(values(await readAll(log, topic)), expected)
    },
  },
  {
    name: 'gives a key the partition Kafka clients give it',
    async check(probe) {
      // From the test vectors of Apache Kafka's UtilsTest, murmur2 modulo partitions after masking the sign.
      const vectors: [string, number][] = [
        ['21', -973932308],
        ['foobar', -790332482],
        ['a-little-bit-long-string', -985981536],
        ['a-little-bit-longer-string', -1486304829],
        ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
      ]
      const { log, topic } = await probe.topic(7)
      for (const [key, hash] of vectors) {
        const expected = (hash & 0x7fffffff) % 7
        const [appended] = await log.append(topic, [record('v', { key: Buffer.from(key) })])
        assert.equal(appended?.partition, expected, key)
        assert.equal(partitionOf(Buffer.from(key), 7), expected, key)
      }
      const [unkeyed] = await log.append(topic, [record('v')])
      assert.equal(unkeyed?.partition, 0)
    },
  },
  {
    name: 'still holds what it acknowledged when opened again',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(50))
      await log.close()
      const again = await probe.log()
      assert.deepEqual(values(await readAll(again, topic)), numbers(50))
      const [next] = await again.append(topic, [record('next')])
      assert.equal(next?.offset, 50)
    },
  },
  {
    name: 'keeps null and empty apart, in keys and values',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const none = null
      const empty = Buffer.alloc(0)
      const given: NewRecord[] = [
        { key: none, value: none, headers: [], partition: 0 },
        { key: empty, value: none, headers: [], partition: 0 },
        { key: none, value: empty, headers: [], partition: 0 },
        { key: empty, value: empty, headers: [], partition: 0 },
      ]
      await log.append(topic, given)
      assert.deepEqual(
        (await readAll(log, topic)).map(({ key, value }) => [key?.length ?? null, value?.length ?? null]),
        [
          [null, null],
          [0, null],
          [null, 0],
          [0, 0],
        ],
      )
    },
  },
  {
    name: 'keeps repeated headers, empty header values and binary bytes',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const binary = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
      const headers: NewRecord['headers'] = [
        ['twice', Buffer.from('1')],
        ['twice', Buffer.from('2')],
        ['empty', Buffer.alloc(0)],
        ['binary', binary],
        ['ünï', Buffer.from('x')],
      ]
      await log.append(topic, [record('v', { headers, key: binary })])
      const [read] = await readAll(log, topic)
      assert.deepEqual(
        read?.headers.map(([name, value]) => [name, Buffer.from(value).toString('hex')]),
        headers.map(([name, value]) => [name, Buffer.from(value).toString('hex')]),
      )
      assert.ok(binary.equals(read?.key ?? Buffer.alloc(0)))
    },
  },
  {
    name: 'stamps records with the time of appending',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const before = systemClock.now()
      const [appended] = await log.append(topic, [record('v')])
      const after = systemClock.now()
      const [read] = await readAll(log, topic)
      assert.equal(read?.timestamp, appended?.timestamp)
      assert.ok(appended !== undefined && appended.timestamp >= before && appended.timestamp <= after)
    },
  },
  {
    name: 'knows its bounds, empty, filled and cut',
    async check(probe) {
      const { log, topic } = await probe.topic()
      assert.deepEqual(await log.bounds(topic), { start: 0, end: 0 })
      await log.append(topic, records(10))
      assert.deepEqual(await log.bounds(topic), { start: 0, end: 10 })
      await probe.harness.cut(topic, 0, 10)
      assert.deepEqual(await log.bounds(topic), { start: 10, end: 10 })
      const [next] = await log.append(topic, [record('next')])
      assert.equal(next?.offset, 10, 'positions never start again')
    },
  },
  {
    name: 'reads a range, and no more than it holds',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(5_000))
      const read: string[] = []
      for await (const chunk of log.read({ topic, from: 10, to: 4_990 })) {
        for (const { value } of chunk) read.push(text(value) ?? '')
      }
      assert.deepEqual(read, numbers(5_000).slice(10, 4_990))
      for await (const _ of log.read({ topic, from: 5_000, to: 6_000 })) assert.fail('there is nothing there')
      await probe.harness.cut(topic, 0, 100)
      let first = -1
      for await (const chunk of log.read({ topic, from: 0, to: 200 })) if (first < 0) first = chunk[0]?.offset ?? -1
      assert.equal(first, 100)
    },
  },
  {
    name: 'refuses unknown topics and partitions for good',
    async check(probe) {
      const { log, topic } = await probe.topic()
      for (const attempt of [
        () => log.append(`${topic}-not`, [record('v')]),
        () => log.append(topic, [record('v', { partition: 1 })]),
        () => log.bounds(`${topic}-not`),
        () => log.bounds(topic, 1),
        () => log.tail({ topic: `${topic}-not`, from: 'start', handler: { records() {}, outOfRange() {} } }),
        () => probe.member(log, 'g', `${topic}-not`).run({ eachMessage: async () => {} }),
      ]) {
        await assert.rejects(attempt, { code: 'EVENT_LOG_TOPIC_UNKNOWN', retriable: false, outcome: 'none' })
      }
      await log.append(topic, [record('v')])
    },
  },
  {
    name: 'refuses a record that is too large, and all that came with it',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const fits = record(null, { value: Buffer.alloc(maxRecordBytes, 7) })
      const over = record(null, { value: Buffer.alloc(maxRecordBytes - 4), headers: [['h', Buffer.alloc(4)]] })
      await assert.rejects(log.append(topic, [record('v'), over]), {
        code: 'EVENT_LOG_RECORD_TOO_LARGE',
        retriable: false,
        outcome: 'none',
      })
      await log.append(topic, [fits])
      const read = await readAll(log, topic)
      assert.deepEqual(
        read.map(({ value }) => value?.length),
        [maxRecordBytes],
      )
    },
  },
  {
    name: 'appends more than fits one request, in order',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const big = Array.from({ length: 30 }, (_, i) => record(null, { value: Buffer.alloc(200_000, i) }))
      await log.append(topic, big)
      await log.append(topic, records(1_300))
      const read = await readAll(log, topic)
      assert.deepEqual(
        read.slice(0, 30).map(({ value }) => value?.[0]),
        big.map((_, i) => i),
      )
      assert.deepEqual(values(read.slice(30)), numbers(1_300))
    },
  },
  {
    name: 'appends nothing for no records, and nothing once closed',
    async check(probe) {
      const { log, topic } = await probe.topic()
      assert.deepEqual(await log.append(topic, []), [])
      assert.deepEqual(await log.bounds(topic), { start: 0, end: 0 })
      await log.close()
      await assert.rejects(log.append(topic, [record('v')]), (error) => {
        assert.ok(isCountersignError(error))
        return error.code === 'EVENT_LOG_CLOSED'
      })
    },
  },
  {
    name: 'creates topics that are missing, and alters none',
    async check(probe) {
      const { log, topic } = await probe.topic(3)
      const other = `${topic}-other`
      const spec = { partitions: 5, retentionMs: 1_000_000 }
      assert.deepEqual(
        await log.createTopics([
          { ...spec, name: topic },
          { ...spec, name: other },
        ]),
        [other],
      )
      assert.deepEqual(await log.createTopics([{ ...spec, name: other }]), [])
      const found = (await log.topics()).filter(({ name }) => name === topic || name === other)
      assert.deepEqual(
        found.map(({ name, partitions, retentionMs, cleanupPolicy, timestampType }) => ({
          name,
          partitions,
          retentionMs,
          cleanupPolicy,
          timestampType,
        })),
        [
          {
            name: topic,
            partitions: 3,
            retentionMs: 86_400_000,
            cleanupPolicy: 'delete',
            timestampType: 'LogAppendTime',
          },
          {
            name: other,
            partitions: 5,
            retentionMs: 1_000_000,
            cleanupPolicy: 'delete',
            timestampType: 'LogAppendTime',
          },
        ],
      )
    },
  },
  {
    name: 'gives every schema of the catalogue an id, and no other',
    async check(probe) {
      const log = await probe.log()
      for (const name of ['countersign.Signal', 'countersign.Checkpoint', 'countersign.InvoiceExport']) {
        const id = log.schemas.idOf(name)
        assert.equal(log.schemas.schemaOf(id)?.name, name)
      }
      assert.throws(() => log.schemas.idOf('countersign.None'), { code: 'EVENT_LOG_SCHEMA_UNKNOWN' })
      assert.equal(log.schemas.schemaOf(0x7fffffff), undefined)
    },
  },
]
