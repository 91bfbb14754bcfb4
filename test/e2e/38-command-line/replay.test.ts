/** A signals log replayed while everything is at work: it takes nothing from anybody, and gives nothing back. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Bounds, EventLog, LogRecord } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock } from '@countersign/kernel'
import { EXIT } from '@countersign/ops'
import { fileSnapshots, Replica, readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import { exampleCatalogue } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OPERATOR_SECRET, Site, until } from '../site.ts'
import { type Typed, type } from './commands.ts'

let site: Site
let log: EventLog
const closers: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  site = await Site.start()
  log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue })
  for (let i = 0; i < 12; i++) await revoke({ kind: 'session', id: `ses_${i % 5}` }, i % 2 ? 'compromise' : 'admin')
}, 60_000)

afterAll(async () => {
  for (const close of closers.reverse()) await close()
  await log?.close()
  await site?.close()
})

async function revoke(target: object, reason = 'admin'): Promise<void> {
  expect((await site.operate('POST', '/v1/revocations', { id: randomUUID(), target, reason })).status).toBe(200)
}

function replay(verb: string, ...more: string[]): Promise<Typed> {
  const argv = ['replay', verb, '--log', site.logPath, '--root-key', site.rootKey, '-o', 'json', ...more]
  return type(argv, {
    COUNTERSIGN_IDENTITY_URL: site.identity.address ?? '',
    COUNTERSIGN_OPERATOR_SECRET: OPERATOR_SECRET,
  })
}

function json(typed: Typed): Record<string, never> & { [name: string]: unknown } {
  expect(typed.out, typed.talk).not.toBe('')
  return JSON.parse(typed.out) as ReturnType<typeof json>
}

/** A consumer that tells of itself, on a log that may hide a record from it. */
async function consumer(name: string, hidden: (record: LogRecord) => boolean = () => false): Promise<Replica> {
  const shown = (batch: readonly LogRecord[]): LogRecord[] => batch.filter((record) => !hidden(record))
  const instead: Partial<EventLog> = {
    tail(options) {
      const { handler } = options
      const records = (batch: readonly LogRecord[]) => handler.records(shown(batch))
      const outOfRange = (bounds: Bounds): void => handler.outOfRange(bounds)
      return log.tail({ ...options, handler: { records, outOfRange } })
    },
    async *read(options) {
      for await (const batch of log.read(options)) yield shown(batch)
    },
  }
  const blind: EventLog = new Proxy(log, {
    get(target, member) {
      if (Object.hasOwn(instead, member)) return instead[member as keyof EventLog]
      const value = Reflect.get(target, member, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const replica = new Replica({
    log: blind,
    rootKeys: [Buffer.from(site.rootKey, 'base64')],
    clock: systemClock,
    logger: silentLogger,
    consumer: name,
    progress: { everyMs: 200, maxStalenessMs: 5000 },
  })
  await replica.start()
  closers.push(() => replica.stop())
  return replica
}

async function signals(): Promise<number> {
  const { start, end } = await log.bounds(SIGNALS_TOPIC)
  let found = 0
  for await (const chunk of log.read({ topic: SIGNALS_TOPIC, from: start, to: end })) {
    for (const record of chunk) if (readRecord(record, log.schemas)?.kind === 'Signal') found++
  }
  return found
}

describe('rebuild', () => {
  it('plans by default, and then makes the very view of live consumers, into a snapshot they start from', async () => {
    const live = await consumer('live')
    await until('the consumer to be proven', () => live.freshness().proven)
    const plan = json(await replay('rebuild'))
    expect(plan).toMatchObject({ executed: false, effects: { admin: 6, compromise: 6 } })
    const histogram = plan.histogram as unknown as { count: number }[]
    expect(histogram.reduce((sum, { count }) => sum + count, 0)).toBe(12)
    const file = `${site.folder}/view.snapshot`
    const done = await replay('rebuild', '--out', file, '--execute')
    expect(done.code, done.talk).toBe(EXIT.ok)
    expect(json(done)).toMatchObject({
      before: { offset: -1, count: 0 },
      after: { count: live.view.count, digest: live.view.digest().toString('hex') },
      checkpoints: { differingAt: null },
      faults: {},
    })
    const restarted = new Replica({
      log,
      rootKeys: [Buffer.from(site.rootKey, 'base64')],
      clock: systemClock,
      logger: silentLogger,
      consumer: 'restarted',
      snapshots: fileSnapshots(file),
    })
    await restarted.start()
    closers.push(() => restarted.stop())
    await until('it to be proven', () => restarted.freshness().proven)
    expect(restarted.stats().restoredAt).toBe((json(done).snapshot as unknown as { offset: number }).offset)
    expect(restarted.view.digest()).toEqual(live.view.digest())
  })

  it('refuses another cluster, another log, a range that is none, and says what would be right', async () => {
    const other = Buffer.alloc(32, 1).toString('base64')
    const argv = ['replay', 'rebuild', '--log', site.logPath, '--execute']
    expect(await type([...argv, '--root-key', other])).toMatchObject({
      code: EXIT.refused,
      talk: expect.stringContaining('it is another cluster, or another root key'),
    })
    expect(await replay('rebuild', '--execute', '--log-id', 'log_x')).toMatchObject({
      code: EXIT.refused,
      talk: expect.stringContaining('not log_x'),
    })
    for (const [more, hint] of [
      [['--from', '9', '--to', '3'], '--to 3 is not after --from 9'],
      [['--from', 'noon'], '--from is start, end, an offset'],
      [['--signals-log', 'eu'], '--signals-log is one of main'],
    ] as const) {
      expect(await replay('rebuild', ...more)).toMatchObject({ code: EXIT.usage, talk: expect.stringContaining(hint) })
    }
    expect(await type(argv)).toMatchObject({ code: EXIT.usage, talk: expect.stringContaining('name a root key') })
  })
})

describe('compare', () => {
  it('finds live consumers equal, and names the signal that was withheld from one', async () => {
    const equal = await replay('compare')
    expect([equal.code, equal.talk]).toEqual([EXIT.ok, ''])
    const found = json(equal).consumers as unknown as { consumer: string; verdict: string }[]
    expect(found.map(({ consumer: name, verdict }) => [name, verdict])).toEqual(
      expect.arrayContaining([
        ['live', 'equal'],
        ['worker-1', 'equal'],
      ]),
    )
    let lost: LogRecord | null = null
    const blind = await consumer('blind', (record) => {
      if (lost === null && blindNow && readRecord(record, log.schemas)?.kind === 'Signal') lost = record
      return record === lost || record.offset === lost?.offset
    })
    await until('it to be proven', () => blind.freshness().proven)
    blindNow = true
    await revoke({ kind: 'subject', id: 'u_lost' })
    await until('it to be closed', () => blind.freshness().closed === 'digest_differs')
    let differs = equal
    // It tells of itself now and then, and reads the log anew meanwhile.
    await until('it to be named', async () => {
      differs = await replay('compare')
      return differs.talk !== ''
    })
    expect(differs.code).toBe(EXIT.differs)
    expect(differs.talk).toMatch(/^blind lacks signal [0-9a-f]{32} at offset \d+ \(subject:u_lost, reason:admin\)\.$/)
    await blind.stop()
    const told = (json(differs).consumers as unknown as { consumer: string; withheld: { offset: number }[] }[]).find(
      (one) => one.consumer === 'blind',
    )
    expect(told?.withheld.map(({ offset }) => offset)).toEqual([(lost as LogRecord | null)?.offset])
  })
  let blindNow = false
})

describe('re-emit', () => {
  it('counts first, copies with --execute while all is live, changes no view, and finds nothing left then', async () => {
    const before = await signals()
    const plan = json(await replay('re-emit', '--reason', 'compromise', '--to', '-0s'))
    expect(plan).toMatchObject({ executed: false, meant: 6, left: 6 })
    expect(await signals()).toBe(before)
    const id = String(plan.replay)
    const done = await replay('re-emit', '--reason', 'compromise', '--execute', '--replay-id', id)
    expect(done.code, done.talk).toBe(EXIT.ok)
    const told = json(done)
    expect(told).toMatchObject({ done: 6, left: 0, copies: 6, skipped: {} })
    expect((told.after as unknown as { digest: string }).digest).toBe(told.without)
    expect(await signals()).toBe(before + 6)
    const again = await replay('re-emit', '--reason', 'compromise', '--execute')
    expect(again.code, again.talk).toBe(EXIT.ok)
    expect([json(again), await signals()]).toMatchObject([{ done: 0, left: 0, replay: id }, before + 6])
    const later = await replay('compare')
    const { consumers } = json(later) as unknown as { consumers: { consumer: string; verdict: string }[] }
    expect(consumers.find(({ consumer: name }) => name === 'live')?.verdict).toBe('equal')
    expect((await fetch(`${site.worker.address}/readyz`)).status).toBe(200)
  })

  it('interrupted anywhere, goes on from there', async () => {
    const before = await signals()
    const enough = new AbortController()
    const argv = ['replay', 're-emit', '--log', site.logPath, '--root-key', site.rootKey, '--reason', 'admin']
    const env = { COUNTERSIGN_IDENTITY_URL: site.identity.address ?? '', COUNTERSIGN_OPERATOR_SECRET: OPERATOR_SECRET }
    const running = type([...argv, '--rate', '4', '--execute'], env, enough.signal)
    await until('the first copy', async () => (await signals()) > before)
    enough.abort()
    const cut = await running
    expect(cut.code).toBe(EXIT.failed)
    const [, id = ''] = /--replay-id (rpl_[\w-]+) goes on/.exec(cut.talk) ?? []
    const some = (await signals()) - before
    expect(some).toBeGreaterThan(0)
    const rest = await type([...argv, '--replay-id', id, '--execute', '-o', 'json'], env)
    const { done, copies } = json(rest) as unknown as { done: number; copies: number }
    expect([rest.code, done + some, copies]).toEqual([EXIT.ok, copies, (await signals()) - before])
  })

  it('brings nobody back: who was revoked stays so, and a newer floor stays the highest', async () => {
    const cookie = await site.login('bob')
    const { session } = (await (
      await fetch(`${site.identity.address}/session`, { headers: { cookie, accept: 'application/json' } })
    ).json()) as { session: string }
    await revoke({ kind: 'session', id: session })
    const done = await replay('re-emit', '--target', `session:${session}`, '--execute')
    expect(json(done)).toMatchObject({ meant: 1, done: 1 })
    expect((await site.post('/invoices/acme-1001/export', cookie)).status).toBe(401)
  })

  it('of another cluster is refused by identity, and without the operator’s secret nothing is done', async () => {
    const before = await signals()
    const scribe = new Scribe(new MemoryLog(systemClock))
    scribe.bundle()
    scribe.begin()
    scribe.signal()
    const path = join(site.folder, 'elsewhere.db')
    const elsewhere = await openSqliteLog({ path, catalogue: exampleCatalogue })
    await elsewhere.append(SIGNALS_TOPIC, scribe.log.partition().records)
    await elsewhere.close()
    const rootKey = scribe.keys.rootPublic.toString('base64')
    const argv = ['replay', 're-emit', '--log', path, '--root-key', rootKey, '--execute']
    const at = (secret: string) => ({
      COUNTERSIGN_IDENTITY_URL: site.identity.address ?? '',
      COUNTERSIGN_OPERATOR_SECRET: secret,
    })
    expect(await type(argv, at(OPERATOR_SECRET))).toMatchObject({
      code: EXIT.refused,
      talk: expect.stringContaining('it is of another cluster, or was replaced'),
    })
    expect((await type(argv, at('wrong-secret-wrong-secret-wrong-secret'))).code).toBe(EXIT.refused)
    expect((await type(argv, { ...at(OPERATOR_SECRET), COUNTERSIGN_IDENTITY_URL: 'http://127.0.0.1:1' })).code).toBe(
      EXIT.failed,
    )
    expect(await signals()).toBe(before)
  })
})
