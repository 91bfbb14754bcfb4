/** On the embedded log: what waits pauses its partition there as on Kafka, and whoever has it next takes it up. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEnforcer, type Work } from '@countersign/enforcer'
import { FakeView, sealedMessage } from '@countersign/enforcer/testing'
import { NOW, testClaims } from '@countersign/envelope/testing'
import { type EventLog, type JobConsumer, openLog } from '@countersign/event-log'
import { systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { exampleCatalogue as catalogue, ENVELOPE_HEADER, type InvoiceExport } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, expect, test } from 'vitest'

const TOPIC = 'invoices.export.v1'
const SOON = { timeout: 20_000, interval: 20 }
const clock = { ...systemClock, now: () => NOW + 1_000 }
const folder = mkdtempSync(join(tmpdir(), 'countersign-waiting-'))
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  rmSync(folder, { recursive: true, force: true })
})

test.each(['eachBatch', 'eachMessage'] as const)('by %s', async (kind) => {
  const logPath = join(folder, `${kind}.db`)
  const view = new FakeView(systemClock)
  let reached = 41
  view.reached = ((position: { offset: number }) => (position.offset > reached ? 'behind' : 'reached')) as never
  const ran: number[][] = [[], []]

  async function member(): Promise<{ readonly log: EventLog; readonly jobs: JobConsumer }> {
    const log = await openLog({ logPath }, { catalogue, clientId: 'member' })
    ends.push(() => log.close())
    const rules = defineJobClass({ name: 'export', topic: 'invoices.export', action: 'export' })
    const shared = { replica: view, log, catalogue, clock, random: systemRandom, logger: silentLogger }
    const enforcer = createEnforcer({ ...shared, consumer: 'member', classes: [rules] })
    const handler = ({ event }: Work<InvoiceExport>): void => void ran[event.partition]?.push(event.offset)
    const jobs = log.jobs({ group: 'waiting', topics: [TOPIC], sessionTimeoutMs: 1_500 })
    ends.push(() => Promise.all([enforcer.stop(100), jobs.stop()]))
    await jobs.run(
      kind === 'eachBatch'
        ? { eachBatch: enforcer.eachBatch('export', handler) }
        : { eachMessage: enforcer.eachMessage('export', handler) },
    )
    return { log, jobs }
  }

  const first = await member()
  const { tctx } = testClaims()
  const ahead = { tctx: { ...tctx, position: { log_id: 'log-1', offset: 42 } } }
  const records = [0, 1].flatMap((partition) =>
    [0, 1, 2, 3].map((n) => {
      const { key, value, headers } = sealedMessage(n, partition === 0 && n === 1 ? { claims: ahead } : {})
      return { key, value, partition, headers: [[ENVELOPE_HEADER, headers?.[ENVELOPE_HEADER] as Buffer]] as const }
    }),
  )
  await first.log.append(TOPIC, records)
  await expect.poll(() => ran, SOON).toEqual([[0], [0, 1, 2, 3]])
  await first.log.append(TOPIC, records.slice(-1))
  await expect.poll(() => ran, SOON).toEqual([[0], [0, 1, 2, 3, 4]])
  const leaving = first.jobs.stop()
  await member()
  await leaving
  reached = 42
  view.changed()
  await expect
    .poll(() => ran, SOON)
    .toEqual([
      [0, 1, 2, 3],
      [0, 1, 2, 3, 4],
    ])
})
