/** A process that pays: one enforcer, one bank. It does what its parent says, and tells it what it does. */
import { once } from 'node:events'
import { closeSync, openSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { createEnforcer, type Handler } from '@countersign/enforcer'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock as clock, systemRandom as random } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { exampleCatalogue as catalogue, type PaymentRun } from '@countersign/schemas'
import { createLogger } from '@countersign/telemetry'
import type { PayerOptions, Told } from './payers.ts'

const options = JSON.parse(process.argv[2] ?? '') as PayerOptions
const bank = new DatabaseSync(options.bank)
bank.exec(
  'PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS paid (event TEXT PRIMARY KEY, invoice TEXT, at INTEGER)',
)
const insert = bank.prepare('INSERT INTO paid VALUES (?, ?, ?)')
const insertUntil = bank.prepare('INSERT INTO paid SELECT ?, ?, ? WHERE ? <= ?')
const find = bank.prepare('SELECT event FROM paid WHERE event = ?')

const tell = (told: Told): void => void process.send?.(told)
/** Waits until the parent says so. */
const go = (): Promise<unknown> => once(process, 'message')

type Pay = Handler<PaymentRun>
let blocked = false

/** Commits in the step of the verdict, some time after the row was written. */
const inOneStep =
  (meanwhile: (work: Parameters<Pay>[0]) => Promise<unknown>): Pay =>
  async (work) => {
    const { event, value, commitIfAllowed, noEffect } = work
    if (find.get(event.id)) return noEffect()
    await meanwhile(work)
    bank.exec('BEGIN IMMEDIATE')
    try {
      insert.run(event.id, value.invoice_id, Date.now())
      commitIfAllowed(() => bank.exec('COMMIT'))
    } catch (error) {
      bank.exec('ROLLBACK')
      tell({ event: event.id, did: 'refused', why: (error as { code?: string }).code ?? String(error) })
      throw error
    }
    tell({ event: event.id, did: 'committed' })
  }

const handlers: Record<PayerOptions['mode'], Pay> = {
  plain: inOneStep(({ value, signal }) => sleep(value.work_ms, null, { signal })),
  told: inOneStep(async ({ event, signal }) => {
    tell({ event: event.id, did: 'began' })
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  }),
  blocked: inOneStep(async ({ event }) => {
    if (blocked) return
    blocked = true
    tell({ event: event.id, did: 'began' })
    await sleep(50)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000)
  }),
  killed: async (work) => {
    await inOneStep(async () => {})(work)
    if (find.get(work.event.id) && options.life === 1) await new Promise(() => {})
  },
  fenced: stalling(true),
  unfenced: stalling(false),
}

/** Commits elsewhere, so that time passes after the verdict. */
function stalling(fenced: boolean): Pay {
  return async ({ event, value, commitIfAllowed, noEffect }) => {
    if (find.get(event.id)) return noEffect()
    await commitIfAllowed(async ({ notAfter }) => {
      tell({ event: event.id, did: 'permitted', notAfter })
      if (event.attempt === 1) await go()
      const now = Date.now()
      if (!fenced) insert.run(event.id, value.invoice_id, now)
      else if (insertUntil.run(event.id, value.invoice_id, now, now, notAfter).changes !== 1) {
        tell({ event: event.id, did: 'refused', why: 'too late' })
        throw new Error('too late')
      }
      tell({ event: event.id, did: 'committed' })
    })
  }
}

const log = await openSqliteLog({ path: options.logPath, catalogue, create: false })
const shared = { log, clock, consumer: 'payer', logger: createLogger({ name: 'payer', level: 'silent' }) }
const rootKeys = [Buffer.from(options.rootKey.trim(), 'base64')]
const replica = new Replica({ ...shared, rootKeys })
const file = openSync(options.history, 'a')
const enforcer = createEnforcer({
  ...shared,
  replica,
  catalogue,
  random,
  history: { record: (event) => void writeSync(file, `${JSON.stringify(event)}\n`) },
  classes: [
    defineJobClass({
      ...{ name: 'pay', topic: 'payments.run', action: 'pay', object: 'invoice_id', preset: 'money' },
      scopes: ['payments:run'],
    }),
  ],
})
await replica.start()
await replica.waitUntil(() => replica.freshness().proven, 20_000)
const jobs = log.jobs({ group: 'payers', topics: [catalogue.jobTopic('payments.run')?.name ?? ''] })
await jobs.run({ eachBatch: enforcer.eachBatch<PaymentRun>('pay', handlers[options.mode], { concurrency: 8 }) })
tell({ did: 'ready' })

process.once('SIGTERM', async () => {
  await Promise.all([enforcer.stop(), jobs.stop()])
  await replica.stop()
  await log.close()
  bank.close()
  closeSync(file)
  process.exit(0)
})
