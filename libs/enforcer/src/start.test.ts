/** A consumer's side started in one call, on a real log; and what becomes of work when its view has no room. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ed25519Key, generateEd25519, seal } from '@countersign/envelope'
import { testClaims, testEvent } from '@countersign/envelope/testing'
import { openLog } from '@countersign/event-log'
import { systemClock } from '@countersign/kernel'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import { exampleCatalogue as catalogue, ENVELOPE_HEADER, frame, invoiceExportCodec } from '@countersign/schemas'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import { afterEach, expect, it } from 'vitest'
import { type StartOptions, startEnforcer } from './index.ts'

const ends: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const CLASSES = [{ name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'] }]
const SOON = { timeout: 20_000, interval: 20 }
const sealing = generateEd25519()

/** A log with a notary, and a boundary that sends to one partition. */
async function site() {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-start-'))
  ends.push(() => rmSync(folder, { recursive: true, force: true }))
  const logPath = join(folder, 'log.db')
  const log = await openLog({ logPath }, { catalogue, clientId: 'site' })
  ends.push(() => log.close())
  const scribe = new Scribe(new MemoryLog(systemClock))
  const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: 8e12 }
  const grant = { key_id: 'env-1', public_key: sealing.publicKey, use: 'envelope' as const, ...always }
  scribe.bundle({ keys: [...scribe.keys.grants, grant] })
  scribe.begin()
  let copied = 0
  const copy = async (): Promise<void> => {
    const { records } = scribe.log.partition()
    const fresh = records.slice(copied)
    copied = records.length
    await log.append('countersign.signals.v1', fresh)
  }
  let beating = true
  const beats = (async () => {
    for (; beating; await systemClock.sleep(300)) {
      scribe.checkpoint()
      await copy()
    }
  })()
  ends.push(() => {
    beating = false
    return beats
  })
  async function send(n: number): Promise<void> {
    const value = frame(8, invoiceExportCodec.encode({ invoice_id: `inv-${n}`, format: 'csv', work_ms: 0 }))
    const key = Buffer.from('same')
    const iat = Date.now()
    const { tctx } = testClaims()
    const claims = testClaims({
      ...{ iat, exp: iat + 60_000, event: { ...testEvent(n, value), key } },
      tctx: { ...tctx, position: { log_id: scribe.logId, offset: 0 } },
    })
    const [header] = seal([claims], ed25519Key('env-1', sealing.privateKeyPem))
    await log.append('invoices.export.v1', [{ key, value, headers: [[ENVELOPE_HEADER, header as Buffer]] }])
  }
  const rootKeys = [scribe.keys.rootPublic.toString('base64')]
  return { logPath, scribe, copy, send, options: { logPath, rootKeys, catalogue, logger: silentLogger } }
}

/** @returns what ran there. */
async function consume(options: StartOptions): Promise<{
  ran: string[]
  replica: Awaited<ReturnType<typeof startEnforcer>>['replica']
  leave: () => Promise<unknown>
}> {
  const { enforcer, replica, log, stop } = await startEnforcer(options)
  const ran: string[] = []
  const jobs = log.jobs({ group: 'exports', topics: ['invoices.export.v1'], sessionTimeoutMs: 2_000 })
  const eachBatch = enforcer.eachBatch<{ invoice_id: string }>('export', ({ value }) => void ran.push(value.invoice_id))
  await jobs.run({ eachBatch })
  let left: Promise<unknown> | null = null
  const leave = (): Promise<unknown> => {
    left ??= jobs.stop().then(() => stop(100))
    return left
  }
  ends.push(leave)
  return { ran, replica, leave }
}

it('starts a consumer whose work waits for its view, and then runs', async () => {
  const { options, send } = await site()
  await send(0)
  const { ran } = await consume({ ...options, classes: CLASSES, consumer: 'w-1' })
  await expect.poll(() => ran, SOON).toEqual(['inv-0'])
})

it('refuses classes that cannot be before it opens anything', async () => {
  const wrong = { logPath: '/nowhere/log.db', rootKeys: [], catalogue, consumer: 'w-1', logger: silentLogger }
  await expect(startEnforcer({ ...wrong, classes: [{ ...CLASSES[0], name: 'NO' }] as never })).rejects.toMatchObject({
    code: 'POLICY_CLASS_INVALID',
  })
})

it('with a view that has no room left lets work wait, and loses none: who has room runs it', async () => {
  const { options, send, scribe, copy } = await site()
  const metrics = createMetrics()
  const tight = await consume({ ...options, classes: CLASSES, consumer: 'w-1', maxBytes: 200_000, metrics })
  await send(0)
  await expect.poll(() => tight.ran, SOON).toEqual(['inv-0'])
  for (let i = 0; i < 40 && tight.replica.freshness().closed !== 'memory_exceeded'; i++) {
    for (let n = 0; n < 500; n++) scribe.signal({})
    await copy()
    await systemClock.sleep(20)
  }
  await expect.poll(() => tight.replica.freshness().closed, SOON).toBe('memory_exceeded')
  await send(1)
  await expect.poll(() => metrics.text(), SOON).toContain('countersign_partitions_waiting{class="export"} 1')
  expect(tight.ran).toEqual(['inv-0'])
  const roomy = await consume({ ...options, classes: CLASSES, consumer: 'w-2' })
  await tight.leave()
  await expect.poll(() => roomy.ran, SOON).toEqual(['inv-1'])
})
