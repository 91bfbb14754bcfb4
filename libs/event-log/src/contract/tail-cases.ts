/** Following a partition by position. */
import assert from 'node:assert/strict'
import { systemClock } from '@countersign/kernel'
import { type Case, numbers, record, records, text, values } from './probe.ts'

export const tailCases: readonly Case[] = [
  {
    name: 'tails from the start, from an offset and from the end',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(10))
      const all = await probe.collect(log, { topic, from: 'start' })
      const some = await probe.collect(log, { topic, from: 7 })
      const fresh = await probe.collect(log, { topic, from: 10 })
      await log.append(topic, [record('10')])
      await probe.until('all three saw the last record', () =>
        [all, some, fresh].every(({ records }) => text(records.at(-1)?.value ?? null) === '10'),
      )
      assert.deepEqual(values(all.records), numbers(11))
      assert.deepEqual(values(some.records), numbers(11).slice(7))
      assert.deepEqual(values(fresh.records), ['10'])
      assert.equal(fresh.tail.position, 11)
    },
  },
  {
    name: 'tails one partition only, with every field of its records',
    async check(probe) {
      const { log, topic } = await probe.topic(3)
      const follower = await probe.log()
      const collected = await probe.collect(follower, { topic, partition: 1, from: 'start' })
      await log.append(topic, records(5, 'not', { partition: 0 }))
      const given = record('v', { key: Buffer.from('k'), partition: 1, headers: [['h', Buffer.from('x')]] })
      const [appended] = await log.append(topic, [given])
      await probe.until('the record came', () => collected.records.length > 0)
      assert.equal(collected.records.length, 1)
      const { key, value, headers, ...rest } = collected.records[0]!
      assert.deepEqual(rest, { topic, partition: 1, offset: 0, timestamp: appended?.timestamp })
      assert.deepEqual([text(key), text(value), headers.map(([n, v]) => [n, text(v)])], ['k', 'v', [['h', 'x']]])
    },
  },
  {
    name: 'sees the appends of other clients, in order, none twice',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const follower = await probe.log()
      const collected = await probe.collect(follower, { topic, from: 'start' })
      for (let i = 0; i < 60; i++) await log.append(topic, records(3, `${i}.`))
      await probe.until('all came', () => collected.records.length >= 180)
      assert.deepEqual(
        collected.records.map(({ offset }) => offset),
        collected.records.map((_, i) => i),
      )
    },
  },
  {
    name: 'never calls its handler twice at once, and waits for it',
    async check(probe) {
      const { log, topic } = await probe.topic()
      let inside = 0
      let most = 0
      let seen = 0
      const tail = await log.tail({
        topic,
        from: 'start',
        handler: {
          async records(batch) {
            most = Math.max(most, ++inside)
            await systemClock.sleep(10)
            inside--
            seen += batch.length
          },
          outOfRange: () => assert.fail('nothing is out of range'),
        },
      })
      for (let i = 0; i < 30; i++) await log.append(topic, records(5))
      await probe.until('all came', () => seen === 150)
      assert.equal(most, 1)
      await tail.stop()
      assert.equal(inside, 0)
    },
  },
  {
    name: 'continues where it is told, also from inside its handler',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(20))
      const seen: number[] = []
      let jumped = false
      const tail = await log.tail({
        topic,
        from: 15,
        handler: {
          records(batch) {
            seen.push(...batch.map(({ offset }) => offset))
            if (!jumped) {
              jumped = true
              tail.seek(3)
            }
          },
          outOfRange: () => assert.fail('nothing is out of range'),
        },
      })
      await probe.until('the end came again', () => seen.filter((offset) => offset === 19).length === 2)
      assert.deepEqual(seen, [15, 16, 17, 18, 19, ...Array.from({ length: 17 }, (_, i) => i + 3)])
      tail.seek(18)
      await probe.until('the end came a third time', () => seen.filter((offset) => offset === 19).length === 3)
      assert.deepEqual(seen.slice(-2), [18, 19])
    },
  },
  {
    name: 'says so when the log ends before the wanted position, and waits to be told',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(5))
      const collected = await probe.collect(log, { topic, from: 9 })
      await probe.until('it was said', () => collected.outOfRange.length > 0)
      await log.append(topic, records(10))
      collected.tail.seek(2)
      await probe.until('the records came', () => collected.records.length >= 13)
      assert.deepEqual(collected.outOfRange, [{ start: 0, end: 5 }])
      assert.equal(collected.records[0]?.offset, 2)
    },
  },
  {
    name: 'says so when the log starts after the wanted position',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(10))
      await probe.harness.cut(topic, 0, 6)
      const collected = await probe.collect(log, { topic, from: 2 })
      await probe.until('it was said', () => collected.outOfRange.length > 0)
      assert.deepEqual(collected.outOfRange, [{ start: 6, end: 10 }])
      assert.deepEqual(collected.records, [])
      const fromStart = await probe.collect(log, { topic, from: 'start' })
      await probe.until('the rest came', () => fromStart.records.length === 4)
      assert.deepEqual(values(fromStart.records), ['6', '7', '8', '9'])
    },
  },
  {
    name: 'is heard from while nothing happens, and restarts where it was',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(3))
      const { tail, records: seen } = await probe.collect(log, { topic, from: 'start' })
      await probe.until('the records came', () => seen.length === 3)
      const heard = tail.lastHeardAt
      await probe.until('it was heard from again', () => tail.lastHeardAt > heard)
      await tail.restart()
      await log.append(topic, [record('3')])
      await probe.until('the next came', () => seen.length >= 4)
      assert.deepEqual(values(seen), numbers(4))
    },
  },
  {
    name: 'gives nothing after it was stopped',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const { tail, records: seen } = await probe.collect(log, { topic, from: 'start' })
      await log.append(topic, [record('before')])
      await probe.until('the record came', () => seen.length === 1)
      await tail.stop()
      await log.append(topic, [record('after')])
      const later = await probe.collect(log, { topic, from: 'start' })
      await probe.until('another tail saw it', () => later.records.length === 2)
      assert.equal(seen.length, 1)
    },
  },
]
