/** Several processes on one log. */
import assert from 'node:assert/strict'
import { type Case, newGroup, readAll, records, values } from './probe.ts'

export const processCases: readonly Case[] = [
  {
    name: 'takes appends of several processes at once, none lost, each in its order',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const tail = await probe.collect(log, { topic, from: 'start' })
      const own = (async () => {
        for (let i = 0; i < 100; i++) await log.append(topic, records(1, `own${i}.`))
      })()
      await Promise.all([
        own,
        probe.harness.appendElsewhere({ topic, prefix: 'a', count: 100 }),
        probe.harness.appendElsewhere({ topic, prefix: 'b', count: 100 }),
      ])
      const all = values(await readAll(log, topic))
      assert.equal(all.length, 300)
      for (const prefix of ['own', 'a', 'b']) {
        const positions = all.filter((value) => value?.startsWith(prefix))
        assert.equal(positions.length, 100)
        const order = positions.map((value) => Number.parseInt(value?.slice(prefix.length) ?? '', 10))
        assert.deepEqual(
          order,
          order.map((_, i) => i),
          prefix,
        )
      }
      await probe.until('the tail saw all', () => tail.records.length === 300)
      assert.deepEqual(values(tail.records), all)
    },
  },
  {
    name: 'holds what it acknowledged to a process that was killed',
    async check(probe) {
      const { log, topic } = await probe.topic()
      const appender = await probe.harness.startAppender({ topic, prefix: 'x' })
      probe.atEnd(() => appender.kill())
      await probe.until('some were acknowledged', () => appender.acknowledged.length >= 50)
      await appender.kill()
      const held = values(await readAll(log, topic))
      assert.deepEqual(held.slice(0, appender.acknowledged.length), appender.acknowledged)
      const [next] = await log.append(topic, records(1, 'after'))
      assert.equal(next?.offset, held.length)
    },
  },
  {
    name: 'moves the partitions of a member that was killed, losing nothing',
    async check(probe) {
      const { log, topic } = await probe.topic(4)
      const group = newGroup()
      const member = { group, topic, sessionTimeoutMs: 1_500 }
      const [a, b] = await Promise.all([probe.harness.startMember(member), probe.harness.startMember(member)])
      probe.atEnd(() => a.stop())
      probe.atEnd(() => b.stop())
      let sent = 0
      const put = async (): Promise<void> => {
        const round = sent++
        await log.append(
          topic,
          [0, 1, 2, 3].flatMap((partition) => records(1, `${round}.${partition}.`, { partition })),
        )
      }
      while (a.handled.length === 0 || b.handled.length === 0) await put()
      const before = b.handled.length
      a.kill()
      for (let i = 0; i < 20; i++) await put()
      const handled = (): Set<string> => new Set([...a.handled, ...b.handled])
      await probe.until('everything was handled', () => handled().size === sent * 4)
      const partitions = new Set(b.handled.slice(before).map((line) => line.split(':')[0]))
      assert.equal(partitions.size, 4, 'the one left works on all partitions')
    },
  },
]
