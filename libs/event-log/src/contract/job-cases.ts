/** Groups: each message to one member, at least once. */
import assert from 'node:assert/strict'
import { systemClock } from '@countersign/kernel'
import type { EachMessagePayload, EventLog, JobConsumer, JobHandlers } from '../port.ts'
import { type Case, newGroup, numbers, type Probe, record, records, text } from './probe.ts'

async function consume(
  probe: Probe,
  log: EventLog,
  group: string,
  topic: string,
  handlers: JobHandlers,
): Promise<JobConsumer> {
  const consumer = probe.member(log, group, topic)
  probe.atEnd(() => consumer.stop())
  await consumer.run(handlers)
  return consumer
}

const each = (handle: (value: string, payload: EachMessagePayload) => void | Promise<void>): JobHandlers => ({
  eachMessage: async (payload) => handle(text(payload.message.value) ?? '', payload),
})

export const jobCases: readonly Case[] = [
  {
    name: 'hands a new group everything from the start, in order per partition',
    async check(probe) {
      const { log, topic } = await probe.topic(3)
      await log.append(
        topic,
        [0, 1, 2].flatMap((partition) => records(40, `${partition}.`, { partition })),
      )
      const seen: string[][] = [[], [], []]
      await consume(
        probe,
        log,
        newGroup(),
        topic,
        each((value, { partition }) => void seen[partition]?.push(value)),
      )
      await log.append(topic, [record('0.40', { partition: 0 })])
      await probe.until('all came', () => seen.flat().length === 121)
      assert.deepEqual(seen, [numbers(41, '0.'), numbers(40, '1.'), numbers(40, '2.')])
    },
  },
  {
    name: 'hands messages in the shape of kafkajs',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const headers = [
        ['one', Buffer.from('1')],
        ['two', Buffer.from('a')],
        ['two', Buffer.from('b')],
      ] as const
      const [, appended] = await log.append(topic, [record('skip'), record('v', { key: Buffer.from('k'), headers })])
      const seen: EachMessagePayload[] = []
      await consume(
        probe,
        log,
        newGroup(),
        topic,
        each((_, payload) => void seen.push(payload)),
      )
      await probe.until('both came', () => seen.length === 2)
      const { message, ...rest } = seen[1]!
      assert.deepEqual([rest.topic, rest.partition], [topic, 0])
      assert.ok(Buffer.isBuffer(message.key) && Buffer.isBuffer(message.value))
      assert.deepEqual(
        [message.key.toString(), message.value.toString(), message.offset, message.timestamp],
        ['k', 'v', '1', String(appended?.timestamp)],
      )
      const one = message.headers?.one
      const two = message.headers?.two
      assert.ok(Buffer.isBuffer(one) && one.toString() === '1')
      assert.ok(Array.isArray(two))
      assert.deepEqual(two.map(String), ['a', 'b'])
      await rest.heartbeat()
    },
  },
  {
    name: 'hands a message again when the handler threw, before those behind it',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(6))
      const seen: string[] = []
      let failures = 2
      await consume(
        probe,
        log,
        newGroup(),
        topic,
        each((value) => {
          seen.push(value)
          if (value === '3' && failures-- > 0) throw new TypeError('the handler failed')
        }),
      )
      await probe.until('the last came', () => seen.includes('5'))
      assert.deepEqual(seen.slice(0, 4), ['0', '1', '2', '3'])
      assert.deepEqual(seen.slice(-3), ['3', '4', '5'])
      assert.ok(seen.filter((value) => value === '3').length >= 3)
    },
  },
  {
    name: 'hands again what a batch handler left unresolved',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(10))
      const batches: string[][] = []
      await consume(probe, log, newGroup(), topic, {
        async eachBatch({ batch, resolveOffset }) {
          batches.push(batch.messages.map(({ value }) => text(value) ?? ''))
          for (const { offset } of batches.length === 1 ? batch.messages.slice(0, 4) : batch.messages)
            resolveOffset(offset)
        },
      })
      await probe.until('two batches came', () => batches.flat().length >= 16)
      assert.deepEqual(batches[0]?.slice(0, 4), ['0', '1', '2', '3'])
      assert.equal(batches[1]?.[0], '4')
    },
  },
  {
    name: 'continues a group after what it had committed, and starts another from the start',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const group = newGroup()
      await log.append(topic, records(10))
      const first: string[] = []
      const consumer = await consume(
        probe,
        log,
        group,
        topic,
        each((value) => void first.push(value)),
      )
      await probe.until('ten came', () => first.length === 10)
      await consumer.stop()
      await log.append(topic, records(3, 'next'))
      const reopened = await probe.log()
      const second: string[] = []
      const other: string[] = []
      await consume(
        probe,
        reopened,
        group,
        topic,
        each((value) => void second.push(value)),
      )
      await consume(
        probe,
        reopened,
        newGroup(),
        topic,
        each((value) => void other.push(value)),
      )
      await probe.until('the rest came', () => second.length >= 3 && other.length >= 13)
      assert.deepEqual(second, numbers(3, 'next'))
      assert.deepEqual(other, [...numbers(10), ...numbers(3, 'next')])
    },
  },
  {
    name: 'finishes what runs before it stops, and hands it to nobody else',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const group = newGroup()
      await log.append(topic, records(5))
      const events: string[] = []
      let started = (): void => {}
      const running = new Promise<void>((resolve) => {
        started = resolve
      })
      const consumer = await consume(
        probe,
        log,
        group,
        topic,
        each(async (value) => {
          started()
          await systemClock.sleep(300)
          events.push(`done ${value}`)
        }),
      )
      await running
      await consumer.stop()
      events.push('stopped')
      assert.equal(events.at(-1), 'stopped')
      const done = events.length - 1
      assert.ok(done >= 1)
      const again: string[] = []
      await consume(
        probe,
        log,
        group,
        topic,
        each((value) => void again.push(value)),
      )
      await probe.until('the rest came', () => again.includes('4'))
      assert.deepEqual(again, numbers(5).slice(done))
    },
  },
  {
    name: 'loses nothing while members come and go',
    async check(probe) {
      const { log, topic } = await probe.topic(6)
      const group = newGroup()
      const seen = new Map<string, string[]>()
      const handle = (who: string): JobHandlers =>
        each((value) => {
          seen.set(value, [...(seen.get(value) ?? []), who])
        })
      const put = (prefix: string): Promise<unknown> =>
        log.append(
          topic,
          [0, 1, 2, 3, 4, 5].flatMap((partition) => records(20, `${prefix}${partition}.`, { partition })),
        )
      const has = (prefix: string): boolean =>
        [...seen.keys()].filter((value) => value.startsWith(prefix)).length === 120

      await consume(probe, log, group, topic, handle('a'))
      await put('1.')
      await probe.until('a had all', () => has('1.'))
      const other = await probe.log()
      const b = await consume(probe, other, group, topic, handle('b'))
      // Which rebalance ends when is the adapter's business: go on until both have had work.
      let round = 2
      const shared = (): boolean => new Set([...seen.values()].flat()).size === 2
      for (; round < 200 && !shared(); round++) {
        await put(`${round}.`)
        await systemClock.sleep(50)
      }
      assert.ok(shared(), 'both members had work')
      await b.stop()
      await put('last.')
      await probe.until('all came', () => has('last.') && seen.size === round * 120)
    },
  },
  {
    name: 'works on several partitions at once when allowed, never twice on one',
    async check(probe) {
      const { log, topic } = await probe.topic(4)
      await log.append(
        topic,
        [0, 1, 2, 3].flatMap((partition) => records(5, `${partition}.`, { partition })),
      )
      const inside = new Set<number>()
      let most = 0
      let done = 0
      const consumer = probe.member(log, newGroup(), topic)
      probe.atEnd(() => consumer.stop())
      await consumer.run({
        partitionsConsumedConcurrently: 4,
        eachMessage: async ({ partition }) => {
          assert.ok(!inside.has(partition))
          inside.add(partition)
          most = Math.max(most, inside.size)
          await systemClock.sleep(50)
          inside.delete(partition)
          done++
        },
      })
      await probe.until('all came', () => done === 20)
      assert.ok(most > 1, 'more than one at once')
    },
  },
  {
    name: 'hands out nothing of a paused partition, goes on with the others, and then in order',
    async check(probe) {
      const { log, topic } = await probe.topic(2)
      const put = (from: number): Promise<unknown> =>
        log.append(
          topic,
          [0, 1].flatMap((partition) => records(3, `${partition}.${from}`, { partition })),
        )
      await put(0)
      const seen: string[][] = [[], []]
      let resume: (() => void) | null = null
      let handed = 0
      await consume(probe, log, newGroup(), topic, {
        async eachBatch({ batch, pause, resolveOffset }) {
          const { partition, messages } = batch
          if (partition === 0) handed++
          for (const { value, offset } of messages) {
            if (partition === 0 && resume === null && offset === '1') {
              resume = pause()
              return
            }
            seen[partition]?.push(text(value) ?? '')
            resolveOffset(offset)
          }
        },
      })
      await probe.until('one partition is paused', () => resume !== null && seen[1]?.length === 3)
      await put(3)
      await probe.until('the other goes on', () => seen[1]?.length === 6)
      assert.deepEqual([handed, seen[0]], [1, numbers(1, '0.0')])
      ;(resume as unknown as () => void)()
      await probe.until('the rest came', () => seen[0]?.length === 6)
      assert.deepEqual(seen[0], [...numbers(3, '0.0'), ...numbers(3, '0.3')])
    },
  },
  {
    name: 'hands a message again that was given back with its partition paused, before those behind it',
    async check(probe) {
      const { log, topic } = await probe.topic()
      await log.append(topic, records(4))
      const seen: string[] = []
      let resume: (() => void) | null = null
      await consume(
        probe,
        log,
        newGroup(),
        topic,
        each((value, { message, pause }) => {
          seen.push(value)
          if (value !== '1' || resume !== null) return
          resume = pause()
          message.offset = String(Number(message.offset) - 1)
        }),
      )
      await probe.until('it was given back', () => resume !== null)
      await systemClock.sleep(600)
      assert.deepEqual(seen, ['0', '1'])
      ;(resume as unknown as () => void)()
      await probe.until('the last came', () => seen.includes('3'))
      assert.deepEqual(seen, ['0', '1', '1', '2', '3'])
    },
  },
  {
    name: 'hands what waits in a paused partition to who has it next',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const group = newGroup()
      await log.append(topic, records(4))
      let paused = false
      const leaving = await consume(probe, log, group, topic, {
        async eachBatch({ batch, pause, resolveOffset }) {
          resolveOffset(batch.messages[0]?.offset ?? '')
          pause()
          paused = true
        },
      })
      await probe.until('it is paused', () => paused)
      const seen: string[] = []
      const other = await probe.log()
      const joined = consume(
        probe,
        other,
        group,
        topic,
        each((value) => void seen.push(value)),
      )
      await leaving.stop()
      await joined
      await probe.until('the rest came', () => seen.includes('3'))
      assert.deepEqual(seen, ['1', '2', '3'])
    },
  },
  {
    name: 'keeps its partitions while a handler takes longer than the session',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const group = newGroup()
      await log.append(topic, records(2))
      const seen: string[] = []
      const slow = log.jobs({ group, topics: [topic], sessionTimeoutMs: 1_500 })
      const rival = (await probe.log()).jobs({ group, topics: [topic], sessionTimeoutMs: 1_500 })
      probe.atEnd(() => slow.stop())
      probe.atEnd(() => rival.stop())
      let busy = (): void => {}
      const started = new Promise<void>((resolve) => {
        busy = resolve
      })
      await slow.run(
        each(async (value) => {
          busy()
          if (value === '0') await systemClock.sleep(4_000)
          seen.push(`slow ${value}`)
        }),
      )
      await started
      // The rival joins meanwhile; whatever is decided about message 1, message 0 stays with its member.
      void rival.run(each((value) => void seen.push(`rival ${value}`)))
      await probe.until('both were handled', () => seen.some((s) => s.endsWith('1')))
      assert.equal(seen.filter((s) => s.endsWith('0')).join(), 'slow 0')
    },
  },
]
