/** Kafka takes no decisions while it goes on delivering jobs: who requires them stops, who may spool them goes on. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSpool } from '@countersign/enforcer/spool'
import { defineJobClass } from '@countersign/policy'
import type { InvoiceExport } from '@countersign/schemas'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { kafka as found } from '../brokers.ts'
import { KafkajsWorld } from './kafkajs-world.ts'

const kafka = found()
const SOON = { timeout: 30_000, interval: 50 }
const JOBS = [0, 1, 2].map((n) => ({ n }))
const ALL = ['inv-0', 'inv-1', 'inv-2']

let world: KafkajsWorld
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-spool-'))
})
afterEach(async () => {
  await world?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Its topic is deleted: of all that makes a broker refuse one topic and not others, what can be done to any broker. */
async function takeDecisions(takes: boolean): Promise<void> {
  const { name: topic, partitions: numPartitions } = world.decisions
  const admin = world.client.admin()
  await admin.connect()
  if (takes) await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true })
  else await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
}

describe.skipIf(kafka === null)('while Kafka takes no decisions', () => {
  it('a class that requires them starts nothing, one that may spool goes on; then all is recorded, once', async () => {
    world = await KafkajsWorld.open(kafka as NonNullable<typeof kafka>, { topics: 2, appendDeadlineMs: 300 })
    const [required, spooled] = world.topics as [string, string]
    await takeDecisions(false)
    await Promise.all([world.send(JOBS, required), world.send(JOBS, spooled)])
    const same = { action: 'export', attempts: 1 }
    const enforcer = world.enforcer(
      {},
      {
        classes: [
          defineJobClass({ ...same, name: 'required', topic: required, audit: 'required' }),
          defineJobClass({ ...same, name: 'spooled', topic: spooled, audit: 'spooled' }),
        ],
        spool: openSpool({ path: join(folder, 'decisions.spool'), consumer: world.topic }),
        recordWithinMs: 1_000,
      },
    )
    const ran: Record<string, string[]> = { [required]: [], [spooled]: [] }
    const each = Object.fromEntries(
      [required, spooled].map((topic) => [
        `${topic}.v1`,
        enforcer.eachBatch<InvoiceExport>(topic === required ? 'required' : 'spooled', ({ value }) => {
          ran[topic]?.push(value.invoice_id)
        }),
      ]),
    )
    const consumer = await world.consumer({ retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 100 } })
    await consumer.run({
      partitionsConsumedConcurrently: 2,
      eachBatch: (batch) => each[batch.batch.topic]?.(batch) as Promise<void>,
    })

    await expect.poll(() => world.committed(spooled), SOON).toEqual([3])
    expect(ran).toEqual({ [required]: [], [spooled]: ALL })
    expect(enforcer.recording()).toMatchObject({ spooled: 2, stopped: ['required'] })
    expect(await world.committed(required)).toEqual([-1])

    await takeDecisions(true)
    await expect.poll(() => world.committed(required), SOON).toEqual([3])
    await expect.poll(() => enforcer.recording(), SOON).toMatchObject({ spooled: 0, stopped: [], unrecordedForMs: 0 })
    expect(ran).toEqual({ [required]: ALL, [spooled]: ALL })
    const places = [required, spooled].flatMap((topic) => [0, 1, 2].map((offset) => `${topic}.v1/0/${offset}`))
    expect(await world.states()).toEqual(new Map(places.map((place) => [place, ['executed']])))
    const phases = (await world.batches()).filter(({ job_class }) => job_class === 'spooled').map(({ phase }) => phase)
    expect(phases).toEqual(['admitted', 'final'])
  }, 60_000)
})
