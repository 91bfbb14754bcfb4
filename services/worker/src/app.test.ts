/** A worker in this process, on a real embedded log; a scribe plays identity and notary. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ed25519Key, generateEd25519, type SigningKey, seal } from '@countersign/envelope'
import { testClaims, testEvent, testId } from '@countersign/envelope/testing'
import type { EventLog, NewRecord } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { loadConfig, systemClock } from '@countersign/kernel'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import { targetKey } from '@countersign/revocation'
import { ENVELOPE_HEADER, exampleCatalogue, frame, invoiceExportCodec, readDecisions } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, describe, expect, it } from 'vitest'
import { startWorker, type Worker } from './app.ts'
import { config } from './config.ts'
import { jobClasses } from './job-classes.ts'

const ends: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'countersign-worker-'))
  readonly scribe = new Scribe(new MemoryLog(systemClock))
  readonly history = join(this.folder, 'history.jsonl')
  readonly #sealing: SigningKey
  readonly #began = Date.now()
  log!: EventLog
  #copied = 0

  constructor() {
    const { publicKey, privateKeyPem } = generateEd25519()
    this.#sealing = ed25519Key('env-1', privateKeyPem)
    const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: 8e12 }
    const sealing = { key_id: 'env-1', public_key: publicKey, use: 'envelope' as const, ...always }
    this.scribe.bundle({ keys: [...this.scribe.keys.grants, sealing] })
    this.scribe.begin()
    ends.push(() => rmSync(this.folder, { recursive: true, force: true }))
  }

  async open(): Promise<this> {
    this.log = await openSqliteLog({ path: join(this.folder, 'log.db'), catalogue: exampleCatalogue })
    ends.push(() => this.log.close())
    return this
  }

  /** Puts what the scribe wrote on the log, with two checkpoints below it: the second proves the first. */
  async publish(): Promise<void> {
    this.scribe.checkpoint()
    this.scribe.checkpoint()
    const { records } = this.scribe.log.partition()
    const fresh = records.slice(this.#copied)
    this.#copied = records.length
    await this.log.append('countersign.signals.v1', fresh)
  }

  async worker(change: Record<string, string> = {}): Promise<Worker> {
    const env = {
      COUNTERSIGN_CONSUMER: 'w1',
      COUNTERSIGN_ROOT_KEY: this.scribe.keys.rootPublic.toString('base64'),
      COUNTERSIGN_LOG_PATH: join(this.folder, 'log.db'),
      COUNTERSIGN_HISTORY_PATH: this.history,
      ...change,
    }
    const worker = await startWorker(loadConfig(config, env), silentLogger)
    ends.push(() => worker.close())
    return worker
  }

  /** The log takes no decisions, as when the disk of their partitions is full, until the function it returns is called. */
  decisionsAway(): () => void {
    const db = new DatabaseSync(join(this.folder, 'log.db'), { timeout: 5_000 })
    db.exec(`
      CREATE TRIGGER away BEFORE INSERT ON record WHEN NEW.id / (1 << 40) IN (
        SELECT id FROM partition WHERE topic = 'countersign.decisions.v1'
      ) BEGIN SELECT RAISE(ABORT, 'no room for decisions'); END
    `)
    return () => {
      db.exec('DROP TRIGGER away')
      db.close()
    }
  }

  /** What the decisions topic holds: phase, class and offsets of each record. */
  async decisions(): Promise<string[]> {
    const found: string[] = []
    for (let partition = 0; partition < 12; partition++) {
      const place = { topic: 'countersign.decisions.v1', partition }
      const { start, end } = await this.log.bounds(place.topic, partition)
      for await (const chunk of this.log.read({ ...place, from: start, to: end })) {
        for (const { value } of chunk) {
          const batch = readDecisions(value, this.log.schemas)
          const offsets = batch?.allowed.map(({ first, last }) => `${first}-${last}`)
          found.push(`${batch?.job_class} ${batch?.phase} ${offsets}`)
        }
      }
    }
    return found
  }

  export(n: number, session: string, workMs: number): NewRecord {
    const value = frame(8, invoiceExportCodec.encode({ invoice_id: `inv-${n}`, format: 'csv', work_ms: workMs }))
    const key = Buffer.from(`inv-${n}`)
    const version = this.#began - 5_000
    const targets = [
      { kind: 'session' as const, key: targetKey({ kind: 'session', tenant: '', id: session }), version },
    ]
    const tctx = { ...testClaims().tctx, targets, scope_version: version, position: { log_id: 'log-1', offset: 1 } }
    const iat = Date.now()
    const event = { ...testEvent(n, value), key }
    const rctx = { ...testClaims().rctx, auth_time: version }
    const claims = testClaims({ event, tctx, rctx, iat, exp: iat + 60_000, scope: ['invoices:export'] })
    return { key, value, headers: [[ENVELOPE_HEADER, seal([claims], this.#sealing)[0] as Buffer]], partition: 0 }
  }

  events(): Record<string, unknown>[] {
    const lines = readFileSync(this.history, 'utf8').split('\n').filter(Boolean)
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }
}

describe('a worker', () => {
  it('is ready when its view is proven, works, stops work that is revoked, and writes its history', async () => {
    const world = await new World().open()
    const worker = await world.worker()
    const ask = async (path: string): Promise<Response> => fetch(`${worker.address}${path}`)
    expect((await ask('/healthz')).status).toBe(200)
    const before = await ask('/readyz')
    expect([before.status, await before.json()]).toEqual([503, { ready: false, reasons: ['view_not_proven'] }])

    await world.publish()
    // The proof needs a checkpoint received live.
    await expect
      .poll(
        async () => {
          await world.publish()
          return (await ask('/readyz')).status
        },
        { timeout: 15_000, interval: 200 },
      )
      .toBe(200)

    await world.log.append('invoices.export.v1', [world.export(0, 'alice', 0), world.export(1, 'bob', 60_000)])
    await expect.poll(() => world.events().filter((e) => e.type === 'start').length, { timeout: 15_000 }).toBe(2)
    world.scribe.signal({
      target: { kind: 'session', tenant: '', id: 'bob' },
      effect: 'reason:compromise',
      fallback: 'compromise',
    })
    await world.publish()
    await expect.poll(() => world.events().filter((e) => e.type === 'end').length, { timeout: 15_000 }).toBe(2)
    const id = (n: number): string => testId(n).toString('hex')
    const outcomes = world
      .events()
      .filter((e) => e.type === 'end')
      .map((e) => [e.class, e.eventId, e.outcome])
    expect(outcomes).toEqual([
      ['export', id(0), 'done'],
      ['export', id(1), 'aborted'],
    ])
    expect(world.events().filter((e) => e.type === 'applied')).toHaveLength(1)
    expect(world.events().filter((e) => e.type === 'checkpoint' && e.proven).length).toBeGreaterThan(0)

    const metrics = await (await ask('/metrics')).text()
    expect(metrics).toContain('countersign_view_floors 1')
    const rules = (await (await ask('/v1/job-classes')).json()) as { name: string; ruleVersion: string }[]
    expect(rules.map((r) => r.name)).toEqual(['export', 'payment', 'email', 'report'])
  })

  it('closes while work is running: it is aborted, and comes again', async () => {
    const world = await new World().open()
    const first = await world.worker({ COUNTERSIGN_DRAIN_TIMEOUT: '100ms' })
    await expect
      .poll(
        async () => {
          await world.publish()
          return (await fetch(`${first.address}/readyz`)).status
        },
        { timeout: 15_000, interval: 200 },
      )
      .toBe(200)
    await world.log.append('invoices.export.v1', [world.export(0, 'alice', 60_000)])
    await expect.poll(() => world.events().some((e) => e.type === 'start'), { timeout: 15_000 }).toBe(true)
    await first.close()
    ends.splice(-1)
    expect(
      world
        .events()
        .filter((e) => e.type === 'end')
        .map((e) => e.outcome),
    ).toEqual(['aborted'])
    expect(world.events().at(-1)).toMatchObject({ type: 'state', state: 'stopped' })

    await world.worker({ COUNTERSIGN_CONSUMER: 'w2', COUNTERSIGN_DRAIN_TIMEOUT: '100ms' })
    await expect
      .poll(
        async () => {
          await world.publish()
          return world
            .events()
            .filter((e) => e.type === 'start')
            .map((e) => e.consumer)
        },
        { timeout: 15_000, interval: 200 },
      )
      .toEqual(['w1', 'w2'])
  })
})

describe('a worker that cannot record decisions', () => {
  const rules = (audit: string): string =>
    JSON.stringify([{ name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'], audit }])
  const status = async (worker: Worker): Promise<unknown> => {
    const answer = await fetch(`${worker.address}/readyz`)
    return answer.ok || (await answer.json())
  }
  const started = (world: World): number => world.events().filter((e) => e.type === 'start').length

  async function ready(world: World, worker: Worker): Promise<void> {
    const asked = async (): Promise<unknown> => {
      await world.publish()
      return status(worker)
    }
    await expect.poll(asked, { timeout: 15_000, interval: 200 }).toBe(true)
  }

  it('starts nothing that requires them, and is not ready; then both', async () => {
    const world = await new World().open()
    const worker = await world.worker({ COUNTERSIGN_JOB_CLASSES: rules('required') })
    await ready(world, worker)
    const back = world.decisionsAway()
    await world.log.append('invoices.export.v1', [world.export(0, 'alice', 0)])
    const stopped = { ready: false, reasons: ['decisions_unrecorded'] }
    const asked = async (): Promise<unknown> => {
      await world.publish()
      return status(worker)
    }
    await expect.poll(asked, { timeout: 15_000, interval: 100 }).toEqual(stopped)
    expect(started(world)).toBe(0)
    back()
    await expect.poll(asked, { timeout: 15_000, interval: 100 }).toBe(true)
    await expect.poll(() => world.decisions(), { timeout: 15_000 }).toEqual(['export admitted 0-0', 'export final 0-0'])
    expect(started(world)).toBe(1)
  })

  it('goes on with work that is spooled, over its own death, and has each decision on the log once', async () => {
    const world = await new World().open()
    const spool = { COUNTERSIGN_SPOOL_PATH: join(world.folder, 'spool'), COUNTERSIGN_JOB_CLASSES: rules('spooled') }
    const first = await world.worker(spool)
    await ready(world, first)
    const back = world.decisionsAway()
    await world.log.append('invoices.export.v1', [world.export(0, 'alice', 0)])
    await expect.poll(() => world.events().filter((e) => e.type === 'end').length, { timeout: 15_000 }).toBe(1)
    expect([await world.decisions(), await status(first)]).toEqual([[], true])
    await first.close()
    ends.splice(-1)
    expect(await world.decisions()).toEqual([])

    const second = await world.worker(spool)
    const spooled = async (): Promise<string> => (await fetch(`${second.address}/metrics`)).text()
    expect(await spooled()).toContain('countersign_decisions_spooled 2')
    back()
    await expect.poll(() => world.decisions(), { timeout: 15_000 }).toEqual(['export admitted 0-0', 'export final 0-0'])
    await expect.poll(spooled).toContain('countersign_decisions_spooled 0')
    await ready(world, second)
    expect([await world.decisions(), started(world)]).toEqual([['export admitted 0-0', 'export final 0-0'], 1])
  })
})

describe('its configuration', () => {
  const least = { COUNTERSIGN_CONSUMER: 'w', COUNTERSIGN_ROOT_KEY: Buffer.alloc(32).toString('base64') }
  it.each([
    ['no log', {}, 'COUNTERSIGN_LOG_PATH'],
    [
      'two logs',
      { COUNTERSIGN_LOG_PATH: 'x', COUNTERSIGN_KAFKA_BROKERS: 'a:1', COUNTERSIGN_REGISTRY_URL: 'http://r' },
      'COUNTERSIGN_LOG_PATH',
    ],
    ['brokers without a registry', { COUNTERSIGN_KAFKA_BROKERS: 'a:1' }, 'COUNTERSIGN_REGISTRY_URL'],
    ['a short root key', { COUNTERSIGN_LOG_PATH: 'x', COUNTERSIGN_ROOT_KEY: 'AAAA' }, 'COUNTERSIGN_ROOT_KEY'],
    [
      'classes that are no JSON',
      { COUNTERSIGN_LOG_PATH: 'x', COUNTERSIGN_JOB_CLASSES: '[' },
      'COUNTERSIGN_JOB_CLASSES: is not',
    ],
    [
      'a class that spools, and no spool',
      {
        COUNTERSIGN_LOG_PATH: 'x',
        COUNTERSIGN_JOB_CLASSES: '[{"name":"a","topic":"t","action":"a","audit":"spooled"}]',
      },
      'COUNTERSIGN_SPOOL_PATH: missing',
    ],
    ['no classes', { COUNTERSIGN_LOG_PATH: 'x', COUNTERSIGN_JOB_CLASSES: '[]' }, 'at least one class'],
    [
      'a class whose budget its notary cannot keep',
      {
        COUNTERSIGN_LOG_PATH: 'x',
        COUNTERSIGN_CHECKPOINT_INTERVAL: '2s',
        COUNTERSIGN_JOB_CLASSES: '[{"name":"a","topic":"t","action":"a","stalenessBudgetMs":5000}]',
      },
      'at least 6250',
    ],
    ['an unknown key', { COUNTERSIGN_LOG_PATH: 'x', COUNTERSIGN_COLOUR: 'red' }, 'COUNTERSIGN_COLOUR'],
  ])('refuses %s by name', (_, change, named) => {
    expect(() => loadConfig(config, { ...least, ...change })).toThrow(named)
  })
})

describe('its job classes', () => {
  it('differ in budgets, and money has the smallest', () => {
    const budgets = jobClasses().map((rules) => [rules.name, rules.stalenessBudgetMs])
    expect(budgets).toEqual([
      ['export', 5_250],
      ['payment', 3_250],
      ['email', 8_000],
      ['report', 15_000],
    ])
  })
})
