/** Fifty rebalances while jobs come in, some of which have to wait: nothing is lost, and a partition keeps its order. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Work } from '@countersign/enforcer'
import { SeededRandom } from '@countersign/kernel/testing'
import type { InvoiceExport } from '@countersign/schemas'
import type { Consumer } from 'kafkajs'
import { expect, test } from 'vitest'
import { kafka } from '../../brokers.ts'
import { KafkajsWorld } from '../../contract/kafkajs-world.ts'

const REBALANCES = 50
const PARTITIONS = 6
const SEED = Number(process.env.SEED ?? 22)

test.skipIf(kafka() === null)(
  `every message gets one state and a partition its order, seed ${SEED}`,
  async () => {
    const random = new SeededRandom(SEED)
    const pick = (n: number): number => random.bytes(1).readUInt8(0) % n
    const world = await KafkajsWorld.open(kafka() as NonNullable<ReturnType<typeof kafka>>, { partitions: PARTITIONS })
    const firstRuns: number[][] = Array.from({ length: PARTITIONS }, () => [])
    const known = new Set<string>()
    const handler = async ({ event }: Work<InvoiceExport>): Promise<void> => {
      const { partition, offset } = event
      if (!known.has(`${partition}/${offset}`)) firstRuns[partition]?.push(offset)
      known.add(`${partition}/${offset}`)
      await sleep(offset % 3)
    }

    const members: { readonly consumer: Consumer; readonly leave: () => Promise<void> }[] = []
    let joins = 0
    async function join(): Promise<void> {
      const enforcer = world.enforcer({ maxWaitMs: 600_000 })
      const consumer = await world.consumer({ sessionTimeout: 6_000, heartbeatInterval: 100 })
      consumer.on('consumer.group_join', () => void joins++)
      await consumer.run({
        partitionsConsumedConcurrently: 1 + pick(3),
        eachBatch: enforcer.eachBatch<InvoiceExport>(world.topic, handler),
      })
      const leave = async (): Promise<void> => void (await Promise.all([enforcer.stop(2_000), consumer.disconnect()]))
      members.push({ consumer, leave })
    }

    let sent = 0
    let loading = true
    const load = (async () => {
      for (; loading; await sleep(40)) {
        const batch = Array.from({ length: 24 }, () => ({
          n: sent,
          partition: sent++ % PARTITIONS,
          ahead: pick(40) === 0,
        }))
        await world.send(batch)
      }
    })()

    try {
      await join()
      for (let i = 0; i < REBALANCES; i++) {
        const before = joins
        const leaves = members.length === 3 || (members.length === 2 && pick(2) === 0)
        if (leaves) await members.splice(pick(members.length), 1)[0]?.leave()
        else await join()
        await expect.poll(() => joins, { timeout: 20_000, interval: 20 }).toBeGreaterThan(before)
        if (pick(3) === 0) world.catchUp()
        else if (pick(2) === 0) world.fallBehind()
      }
      loading = false
      await load
      world.catchUp()
      const perPartition = Array.from({ length: PARTITIONS }, (_, p) => Math.ceil((sent - p) / PARTITIONS))
      await expect.poll(() => world.committed(), { timeout: 60_000, interval: 200 }).toEqual(perPartition)
      expect(firstRuns).toEqual(perPartition.map((n) => Array.from({ length: n }, (_, offset) => offset)))
      const states = await world.states()
      expect(states.size).toBe(sent)
      expect([...states.values()].flat().filter((state) => state !== 'executed')).toEqual([])
      console.log(`${REBALANCES} rebalances, ${joins} joins, ${sent} messages, seed ${SEED}`)
    } finally {
      loading = false
      await load
      await world.close()
    }
  },
  180_000,
)
