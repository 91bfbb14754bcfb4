/** What kafkajs lets an application choose, with work that waits in the middle of it: on a real broker. */
import type { Work } from '@countersign/enforcer'
import type { InvoiceExport } from '@countersign/schemas'
import type { ConsumerRunConfig } from 'kafkajs'
import { afterEach, describe, expect, it } from 'vitest'
import { kafka as found } from '../brokers.ts'
import { KafkajsWorld, type Sent } from './kafkajs-world.ts'

const kafka = found()
let world: KafkajsWorld
afterEach(() => world?.close())

type Job = Work<InvoiceExport>
const SOON = { timeout: 30_000, interval: 50 }

/** Two partitions; in the first, the third of six messages has to wait. */
const MESSAGES: readonly Sent[] = [0, 1].flatMap((partition) =>
  Array.from({ length: 6 }, (_, i) => ({ n: 10 * partition + i, partition, ahead: partition === 0 && i === 2 })),
)
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

/** What ran, by partition, in order. */
function noting(): { readonly ran: number[][]; readonly handler: (work: Job) => void } {
  const ran: number[][] = [[], []]
  return { ran, handler: ({ value, event }) => void ran[event.partition]?.push(Number(value.invoice_id.slice(4))) }
}

async function open(options?: Parameters<typeof KafkajsWorld.open>[1]): Promise<KafkajsWorld> {
  world = await KafkajsWorld.open(kafka as NonNullable<typeof kafka>, options)
  return world
}

describe.skipIf(kafka === null)('work that waits in a kafkajs consumer', () => {
  const batches: readonly (readonly [string, Omit<ConsumerRunConfig, 'eachBatch' | 'eachMessage'>])[] = [
    ['as kafkajs is by default', {}],
    ['with eachBatchAutoResolve off', { eachBatchAutoResolve: false }],
    ['with several partitions at once', { partitionsConsumedConcurrently: 3 }],
    ['with offsets committed often', { autoCommitInterval: 50, autoCommitThreshold: 1 }],
  ]

  it.each([
    ...batches.map(([how, run]) => ['eachBatch', how, run] as const),
    ...batches.map(([how, run]) => ['eachMessage', how, run] as const),
  ])(
    'leaves the others alone, is not committed past, and goes on in order: %s %s',
    async (kind, _, run) => {
      const { topic } = await open({ partitions: 2 })
      await world.send(MESSAGES)
      const { ran, handler } = noting()
      const enforcer = world.enforcer()
      const consumer = await world.consumer()
      const each =
        kind === 'eachBatch'
          ? { eachBatch: enforcer.eachBatch<InvoiceExport>(topic, handler) }
          : { eachMessage: enforcer.eachMessage<InvoiceExport>(topic, handler) }
      await consumer.run({ ...run, ...each })
      await expect.poll(() => ran, SOON).toEqual([[0, 1], numbers(10, 16)])
      // From here on: a broker that has just started lets the first joins of a group fail.
      const crashes: string[] = []
      consumer.on('consumer.crash', ({ payload }) => void crashes.push(payload.error.message))
      await expect.poll(() => consumer.paused(), SOON).toEqual([{ topic: `${topic}.v1`, partitions: [0] }])
      await world.send([{ n: 16, partition: 1 }])
      await expect.poll(() => ran[1], SOON).toEqual(numbers(10, 17))
      await expect.poll(() => world.committed(), SOON).toEqual([2, 7])
      world.catchUp()
      await expect.poll(() => ran, SOON).toEqual([numbers(0, 6), numbers(10, 17)])
      await expect.poll(() => world.committed(), SOON).toEqual([6, 7])
      expect(crashes).toEqual([])
      const states = await world.states()
      expect([...states.values()].every((of) => of.join() === 'executed') && states.size).toBe(13)
    },
    60_000,
  )

  it('is committed by the enforcer where the application commits itself', async () => {
    const { topic } = await open({ partitions: 2 })
    await world.send(MESSAGES)
    const { ran, handler } = noting()
    const consumer = await world.consumer()
    const commit = (offsets: { topic: string; partition: number; offset: string }[]): Promise<void> =>
      consumer.commitOffsets(offsets)
    await consumer.run({
      autoCommit: false,
      eachBatch: world.enforcer().eachBatch<InvoiceExport>(topic, handler, { commit }),
    })
    await expect.poll(() => world.committed(), SOON).toEqual([2, 6])
    world.catchUp()
    await expect.poll(() => world.committed(), SOON).toEqual([6, 6])
    expect(ran).toEqual([numbers(0, 6), numbers(10, 16)])
  }, 60_000)

  it('is not committed by an application that commits behind the wrapped handler', async () => {
    const { topic } = await open({ partitions: 2 })
    await world.send(MESSAGES)
    const { ran, handler } = noting()
    const consumer = await world.consumer()
    const enforced = world.enforcer().eachMessage<InvoiceExport>(topic, handler)
    await consumer.run({
      autoCommit: false,
      eachMessage: async (payload) => {
        await enforced(payload)
        const { partition, message } = payload
        await consumer.commitOffsets([{ topic: payload.topic, partition, offset: String(BigInt(message.offset) + 1n) }])
      },
    })
    await expect.poll(() => world.committed(), SOON).toEqual([2, 6])
    world.catchUp()
    await expect.poll(() => world.committed(), SOON).toEqual([6, 6])
    expect(ran).toEqual([numbers(0, 6), numbers(10, 16)])
  }, 60_000)

  it('of one class delays no other class of the same consumer', async () => {
    await open({ topics: 2 })
    const [slow, quick] = world.topics as [string, string]
    world.view.fresh = { ...world.view.fresh, ageMs: 20_000 }
    const ran: string[] = []
    const enforcer = world.enforcer()
    const note = (name: string) => () => void ran.push(name)
    const strict = world.enforcer({ stalenessBudgetMs: 60_000 })
    const handle = {
      [slow]: enforcer.eachBatch({ [slow]: note('slow') }),
      [quick]: strict.eachBatch({ 'class-1': note('quick') }),
    }
    await Promise.all(
      world.topics.map((topic) =>
        world.send(
          numbers(0, 5).map((n) => ({ n })),
          topic,
        ),
      ),
    )
    const consumer = await world.consumer()
    await consumer.run({ eachBatch: async (payload) => handle[payload.batch.topic.replace(/\.v1$/, '')]?.(payload) })
    await expect.poll(() => ran.length, SOON).toBe(5)
    await world.send(
      numbers(5, 10).map((n) => ({ n })),
      quick,
    )
    await expect.poll(() => ran.length, SOON).toBe(10)
    expect(new Set(ran)).toEqual(new Set(['quick']))
    world.view.fresh = { ...world.view.fresh, ageMs: 300 }
    world.view.changed()
    await expect.poll(() => ran.filter((name) => name === 'slow').length, SOON).toBe(5)
  }, 60_000)

  it('goes by the map of its handlers when one consumer has several topics', async () => {
    await open({ topics: 2 })
    const [first, second] = world.topics as [string, string]
    const ran: string[] = []
    const consumer = await world.consumer()
    await consumer.run({
      eachMessage: world.enforcer().eachMessage({
        'class-0': ({ value }: Job) => void ran.push(`first ${value.invoice_id}`),
        [second]: ({ value }: Job) => void ran.push(`second ${value.invoice_id}`),
      }),
    })
    await world.send([{ n: 1 }], first)
    await world.send([{ n: 2 }], second)
    await expect.poll(() => [...ran].sort(), SOON).toEqual(['first inv-1', 'second inv-2'])
  }, 60_000)

  it('goes to whoever is given its partition, with nothing lost and nothing run twice', async () => {
    const { topic } = await open({ partitions: 2 })
    await world.send(MESSAGES)
    const { ran, handler } = noting()
    const enforcer = world.enforcer()
    const eachBatch = enforcer.eachBatch<InvoiceExport>(topic, handler)
    const first = await world.consumer()
    await first.run({ eachBatch })
    await expect.poll(() => world.committed(), SOON).toEqual([2, 6])
    // Another process, as far as Kafka can tell: an enforcer of its own.
    const second = await world.consumer()
    await second.run({ eachBatch: world.enforcer().eachBatch<InvoiceExport>(topic, handler) })
    await first.disconnect()
    await expect.poll(() => second.paused(), SOON).toEqual([{ topic: `${topic}.v1`, partitions: [0] }])
    world.catchUp()
    await expect.poll(() => world.committed(), SOON).toEqual([6, 6])
    expect(ran).toEqual([numbers(0, 6), numbers(10, 16)])
  }, 60_000)
})

describe.skipIf(kafka === null)('a kafkajs consumer under an enforcer', () => {
  it('seeks in the middle of a batch without a crash, and starts nothing more of it', async () => {
    const { topic } = await open()
    await world.send(numbers(0, 6).map((n) => ({ n })))
    const ran: number[] = []
    const consumer = await world.consumer()
    let crashes = 0
    consumer.on('consumer.crash', () => void crashes++)
    let seeks = 0
    const handler = ({ value, event }: Job): void => {
      ran.push(Number(value.invoice_id.slice(4)))
      // More often than kafkajs tries a batch again that throws.
      if (event.offset === 1 && seeks++ < 8) consumer.seek({ topic: event.topic, partition: 0, offset: '1' })
    }
    await consumer.run({ eachBatch: world.enforcer().eachBatch<InvoiceExport>(topic, handler) })
    await expect.poll(() => world.committed(), SOON).toEqual([6])
    expect(ran).toEqual([0, ...Array.from({ length: 9 }, () => 1), 2, 3, 4, 5])
    expect(crashes).toBe(0)
  }, 60_000)

  it('is paused and resumed by its application as ever', async () => {
    const { topic } = await open({ partitions: 2 })
    const { ran, handler } = noting()
    const consumer = await world.consumer()
    await consumer.run({ eachMessage: world.enforcer().eachMessage<InvoiceExport>(topic, handler) })
    const first = [{ topic: `${topic}.v1`, partitions: [0] }]
    consumer.pause(first)
    await world.send(MESSAGES.map((message) => ({ ...message, ahead: false })))
    await expect.poll(() => ran[1]?.length, SOON).toBe(6)
    expect(ran[0]).toEqual([])
    consumer.resume(first)
    await expect.poll(() => ran[0]?.length, SOON).toBe(6)
  }, 60_000)

  it('whose session has passed while its event loop was blocked starts nothing before it has joined again', async () => {
    const { topic } = await open({ partitions: 2 })
    // The batch of the second partition waits in this process for its turn.
    await world.send([0, 1, 2, 3].map((n) => ({ n, partition: n % 2 })))
    const told: string[] = []
    const consumer = await world.consumer({ sessionTimeout: 6_000, heartbeatInterval: 500 })
    consumer.on('consumer.group_join', () => void told.push('joined'))
    const handler = (): void => {
      told.push('started')
      if (told.filter((one) => one === 'started').length > 1) return
      const until = performance.now() + 8_000
      while (performance.now() < until) Buffer.alloc(1_000)
    }
    await consumer.run({ eachBatch: world.enforcer().eachBatch<InvoiceExport>(topic, handler) })
    await expect.poll(() => world.committed(), SOON).toEqual([2, 2])
    expect(told.slice(0, 4)).toEqual(['joined', 'started', 'joined', 'started'])
  }, 60_000)
})
