/** A real replica on a real SQLite log, jobs delivered by its groups, signals signed and followed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ed25519Key, generateEd25519, seal } from '@countersign/envelope'
import { testClaims, testEvent } from '@countersign/envelope/testing'
import type { EventLog, NewRecord } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import { targetKey } from '@countersign/revocation'
import {
  decisionBatchCodec,
  ENVELOPE_HEADER,
  exampleCatalogue,
  frame,
  invoiceExportCodec,
  unframe,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, expect, it } from 'vitest'
import { createEnforcer } from './index.ts'

const ends: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** What the scribe wrote in memory, copied on to the real log in the same order, so at the same offsets. */
function mirror(scribe: Scribe, log: EventLog): () => Promise<void> {
  let copied = 0
  return async () => {
    const { records } = scribe.log.partition()
    const fresh = records.slice(copied)
    copied = records.length
    await log.append('countersign.signals.v1', fresh)
  }
}

it('runs, denies and aborts on a real log, and leaves the record', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-enforcer-'))
  ends.push(() => rmSync(folder, { recursive: true, force: true }))
  const log = await openSqliteLog({ path: join(folder, 'log.db'), catalogue: exampleCatalogue })
  ends.push(() => log.close())
  const { publicKey, privateKeyPem } = generateEd25519()
  const sealing = ed25519Key('env-1', privateKeyPem)

  const scribe = new Scribe(new MemoryLog(systemClock))
  const copy = mirror(scribe, log)
  const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: 8e12 }
  scribe.bundle({
    keys: [...scribe.keys.grants, { key_id: 'env-1', public_key: publicKey, use: 'envelope', ...always }],
  })
  scribe.begin()
  scribe.checkpoint()
  scribe.checkpoint()
  await copy()

  const replica = new Replica({
    log,
    rootKeys: [scribe.keys.rootPublic],
    clock: systemClock,
    logger: silentLogger,
    consumer: 'w1',
  })
  await replica.start()
  ends.push(() => replica.stop())
  scribe.checkpoint()
  scribe.checkpoint()
  await copy()
  expect(await replica.waitUntil(() => replica.freshness().proven, 10_000)).toBe(true)

  const now = Date.now()
  const job = (offset: number, session: string): NewRecord => {
    const value = frame(8, invoiceExportCodec.encode({ invoice_id: `inv-${offset}`, format: 'csv', work_ms: 0 }))
    const key = Buffer.from('same')
    const event = { ...testEvent(offset, value), key }
    const targets = [
      { kind: 'session' as const, key: targetKey({ kind: 'session', tenant: '', id: session }), version: now - 5_000 },
    ]
    const tctx = { ...testClaims().tctx, targets, scope_version: now, position: { log_id: 'log-1', offset: 1 } }
    const claims = testClaims({
      event,
      tctx,
      iat: now,
      exp: now + 60_000,
      rctx: { ...testClaims().rctx, auth_time: now - 9_000 },
    })
    return { key, value, headers: [[ENVELOPE_HEADER, seal([claims], sealing)[0] as Buffer]], partition: 2 }
  }
  await log.append('invoices.export.v1', [
    job(0, 'alice'),
    job(1, 'bob'),
    job(2, 'bob'),
    { ...job(3, 'alice'), headers: [] },
    job(4, 'alice'),
  ])

  const enforcer = createEnforcer({
    replica,
    log,
    catalogue: exampleCatalogue,
    clock: systemClock,
    random: systemRandom,
    consumer: 'w1',
    logger: silentLogger,
    classes: [
      defineJobClass({ name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'] }),
    ],
  })
  const ran: string[] = []
  const consumer = log.jobs({ group: 'exporters', topics: ['invoices.export.v1'] })
  await consumer.run({
    eachBatch: enforcer.eachBatch('export', async ({ event, signal }) => {
      ran.push(`${event.offset}`)
      if (event.offset !== 1) return
      // Bob logs out while his export runs.
      scribe.signal({ target: { kind: 'session', tenant: '', id: 'bob' }, floor: Date.now() })
      await copy()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      ran.push('aborted')
    }),
  })
  ends.push(() => Promise.all([enforcer.stop(), consumer.stop()]))

  const states: Record<number, string> = {}
  const admitted = new Set<number>()
  await log.tail({
    topic: 'countersign.decisions.v1',
    partition: 2,
    from: 'start',
    handler: {
      records(batch) {
        for (const record of batch) {
          const decisions = decisionBatchCodec.decode(unframe(record.value)?.body ?? Buffer.alloc(0))
          for (const { first, last } of decisions.allowed) {
            for (let o = first; o <= last; o++) {
              if (decisions.phase === 'admitted') admitted.add(o)
              else states[o] ??= 'executed'
            }
          }
          for (const e of decisions.exceptions) states[e.offset] ??= `${e.outcome} ${e.reason}`
        }
      },
      outOfRange: () => {},
    },
  })
  await expect.poll(() => Object.keys(states).length, { timeout: 15_000 }).toBe(5)
  expect(states).toEqual({
    0: 'executed',
    1: 'denied revoked_while_running',
    2: 'denied revoked_logout',
    3: 'dead_lettered envelope_missing',
    4: 'executed',
  })
  expect(ran).toEqual(['0', '1', 'aborted', '4'])
  expect([...admitted]).toEqual([0, 1, 2, 4])
  expect((await log.bounds('invoices.export.dead.v1')).end).toBe(1)
})
