/** A million messages that have to wait: they stand in the log and nowhere else, and work of another class goes on. */
import type { InvoiceExport } from '@countersign/schemas'
import { ENVELOPE_HEADER } from '@countersign/schemas'
import { expect, test } from 'vitest'
import { kafka } from '../../brokers.ts'
import { KafkajsWorld } from '../../contract/kafkajs-world.ts'

const BACKLOG = 1_000_000
const PARTITIONS = 4
/** kafkajs takes the longer for a message the more go with it. */
const REQUEST = 500
const SOON = { timeout: 60_000, interval: 100 }
/** What kafkajs fetches at once, by default, for several partitions, and some room for what the test itself does. */
const ROOM = 128 * 1024 * 1024

const held = (): number => {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

test.skipIf(kafka() === null)(
  'a million waiting messages are held by nobody, and delay no other class',
  async () => {
    const world = await KafkajsWorld.open(kafka() as NonNullable<ReturnType<typeof kafka>>, {
      topics: 2,
      partitions: PARTITIONS,
    })
    try {
      const [waiting, other] = world.topics as [string, string]
      const producer = world.client.producer()
      await producer.connect()
      // Of no consequence: a view that is not fresh does not look into it.
      const message = { value: 'waits', headers: { [ENVELOPE_HEADER]: 'not opened' } }
      const messages = Array.from({ length: REQUEST }, () => message)
      const partitions = Array.from({ length: PARTITIONS }, (_, partition) =>
        messages.map((one) => ({ ...one, partition })),
      )
      for (let sent = 0; sent < BACKLOG; sent += REQUEST * PARTITIONS) {
        await Promise.all(partitions.map((batch) => producer.send({ topic: `${waiting}.v1`, messages: batch })))
      }
      await producer.disconnect()

      world.view.fresh = { ...world.view.fresh, ageMs: 20_000 }
      const strict = world.enforcer({ maxWaitMs: 600_000 })
      const lenient = world.enforcer({ stalenessBudgetMs: 60_000 })
      const touched: string[] = []
      const done = new Set<string>()
      const first = strict.eachBatch(waiting, () => void touched.push('started'))
      const second = lenient.eachBatch<InvoiceExport>(other, ({ value }) => void done.add(value.invoice_id))
      const consumer = await world.consumer()
      const before = held()
      let most = 0
      const sample = setInterval(() => {
        most = Math.max(most, held() - before)
      }, 50)
      await consumer.run({
        eachBatch: (payload) => (payload.batch.topic === `${waiting}.v1` ? first(payload) : second(payload)),
      })
      await expect.poll(() => consumer.paused().flatMap(({ partitions }) => partitions).length, SOON).toBe(PARTITIONS)
      for (let round = 0; round < 10; round++) {
        await world.send(
          Array.from({ length: 100 }, (_, i) => ({ n: 100 * round + i, partition: i % PARTITIONS })),
          other,
        )
        await expect.poll(() => done.size, SOON).toBe(100 * (round + 1))
        // Everything is asked again, and waits on.
        world.view.changed()
      }
      clearInterval(sample)
      console.log(`${BACKLOG} messages waited; at most ${Math.round(most / 1024 / 1024)} MiB more were held`)
      expect(touched).toEqual([])
      expect(await world.committed(waiting)).not.toContainEqual(expect.toSatisfy((offset: number) => offset > 0))
      expect(most).toBeLessThan(ROOM)
    } finally {
      await world.close()
    }
  },
  180_000,
)
