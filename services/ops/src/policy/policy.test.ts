import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ed25519Key, generateEd25519, type SigningKey, seal } from '@countersign/envelope'
import { testClaims, testEvent } from '@countersign/envelope/testing'
import type { EventLog } from '@countersign/event-log'
import { targetKey } from '@countersign/revocation'
import {
  type DecisionBatch,
  type DecisionException,
  decisionBatchCodec,
  ENVELOPE_HEADER,
  type EnvelopeClaims,
  frame,
  invoiceExportCodec,
} from '@countersign/schemas'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedLog, type Outcome, run } from '../testing.ts'

const TOPIC = 'invoices.export.v1'
const EXPORT = { name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'] }

/** What is recorded of one event, beside where it stands. */
type Recorded = Partial<Pick<DecisionException, 'outcome' | 'reason' | 'rule' | 'detail' | 'observed'>>

let world: World
beforeEach(async () => {
  world = await new World().open()
})
afterEach(() => world.close())

/** A log on which work was decided, as each test says. */
class World {
  readonly embedded = new EmbeddedLog()
  readonly began = Date.now()
  readonly #sealing: SigningKey
  log!: EventLog
  /** Last offset of the signals log. */
  end = 0

  constructor() {
    const { publicKey, privateKeyPem } = generateEd25519()
    this.#sealing = ed25519Key('env-1', privateKeyPem)
    const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: 8e12 }
    const { scribe } = this.embedded
    scribe.bundle({
      keys: [...scribe.keys.grants, { key_id: 'env-1', public_key: publicKey, use: 'envelope', ...always }],
    })
    scribe.begin()
  }

  async open(): Promise<this> {
    this.log = await this.embedded.open()
    await this.checkpoint()
    return this
  }

  async checkpoint(change: object = {}): Promise<void> {
    this.end = this.embedded.scribe.checkpoint(change).offset
    await this.embedded.flush()
  }

  /** @param ago milliseconds before this test began. */
  async logout(session: string, ago = 0): Promise<void> {
    const target = { kind: 'session', tenant: '', id: session } as const
    const fallback = 'logout' as const
    const { offset } = this.embedded.scribe.signal({
      target,
      effect: 'reason:logout',
      fallback,
      floor: this.began - ago,
    })
    this.end = offset
    await this.embedded.flush()
  }

  /** @param sealed milliseconds before this test began. @returns its offset. */
  async job(session: string, change: Partial<EnvelopeClaims> = {}, sealed = 60_000): Promise<number> {
    const iat = this.began - sealed
    const value = frame(
      this.log.schemas.idOf(invoiceExportCodec.name),
      invoiceExportCodec.encode({ invoice_id: 'inv-1', format: 'csv', work_ms: 0 }),
    )
    const targets = [
      { kind: 'session' as const, key: targetKey({ kind: 'session', tenant: '', id: session }), version: iat },
    ]
    const position = { log_id: 'log-1', offset: 0 }
    const tctx = { ...testClaims().tctx, targets, scope_version: iat, position, ...change.tctx }
    const claims = testClaims({
      iat,
      exp: iat + 3_600_000,
      ...change,
      tctx,
      event: { ...testEvent(0, value), key: null },
    })
    const headers = [[ENVELOPE_HEADER, seal([claims], this.#sealing)[0] as Buffer]] as const
    const [appended] = await this.log.append(TOPIC, [{ key: null, value, headers, partition: 0 }])
    return appended?.offset ?? -1
  }

  /** What consumers record. @param states by offset; none stands for executed. */
  async decided(phase: DecisionBatch['phase'], states: Record<number, Recorded>, change: Partial<DecisionBatch> = {}) {
    const offsets = Object.keys(states).map(Number)
    const is = (offset: number, given: Recorded): DecisionException => ({
      ...{ offset, event_id: null, outcome: 'denied', reason: 'x', rule: 'x', sub: null, txn: null, object: null },
      ...{ attempts: 0, observed: false, detail: null, judged: null, ...given },
    })
    const ran = offsets.filter((offset) => phase === 'admitted' || !states[offset]?.outcome || states[offset].observed)
    const batch: DecisionBatch = {
      id: Buffer.alloc(16),
      consumer: 'w1',
      job_class: 'export',
      rule_version: 'old',
      phase,
      topic: TOPIC,
      logical_topic: EXPORT.topic,
      partition: 0,
      log_id: 'log-1',
      view_offset: this.end,
      as_of: this.began,
      bundle_version: 1,
      recorded_at: this.began + 1_000,
      action: 'export',
      allowed: ran.map((offset) => ({ first: offset, last: offset })),
      event_ids: Buffer.alloc(16 * ran.length),
      objects: [],
      exceptions:
        phase === 'admitted' ? [] : offsets.filter((o) => states[o]?.outcome).map((o) => is(o, states[o] as Recorded)),
      effects: [],
      judged: [],
      ...change,
    }
    const value = frame(this.log.schemas.idOf(decisionBatchCodec.name), decisionBatchCodec.encode(batch))
    await this.log.append('countersign.decisions.v1', [{ key: null, value, headers: [], partition: 0 }])
  }

  file(name: string, content: unknown): string {
    const file = join(this.embedded.folder, name)
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
    return file
  }

  /** @param rules what differs from the strict class. */
  async diff(rules: object, ...more: string[]): Promise<Outcome & { turns: string[]; json: Report }> {
    const classes = this.file('classes.json', [{ ...EXPORT, ...rules }])
    const outcome = await run([
      'policy',
      'diff',
      '--data',
      this.embedded.folder,
      '--classes',
      classes,
      '-o',
      'json',
      ...more,
    ])
    const json = outcome.code === 2 ? null : (JSON.parse(outcome.out) as Report)
    const words = ({ outcome: o, reason }: Words): string => `${o} ${reason}`
    const turns = (json?.turns ?? []).map(({ offset, was, becomes }) => `${offset}: ${words(was)} → ${words(becomes)}`)
    return { ...outcome, turns, json: json as Report }
  }

  async close(): Promise<void> {
    await this.embedded.close()
    rmSync(this.embedded.folder, { recursive: true, force: true })
  }
}

interface Words {
  readonly outcome: string
  readonly reason: string
}

interface Report {
  readonly classes: Record<string, { decisions: number; turned: number; otherReason: number; gone: number }>
  readonly notInFile: string[]
  readonly turns: (Words & { offset: number; was: Words; becomes: Words })[]
}

const denied = (reason: string, rule = 'x'): Recorded => ({ outcome: 'denied', reason, rule })
const LOGOUT = 'in_flight.queued.logout=stop'

describe('policy diff', () => {
  it('says which of what ran would be denied, each judged by the view it was let start under', async () => {
    const before = await world.job('ann')
    const bobs = await world.job('bob')
    await world.decided('admitted', { [before]: {}, [bobs]: {} })
    await world.decided('final', { [before]: {}, [bobs]: {} })
    await world.logout('ann')
    const after = await world.job('ann')
    await world.decided('admitted', { [after]: {} })
    await world.decided('final', { [after]: {} })
    const { turns, code, json } = await world.diff({})
    expect(turns).toEqual([`${after}: executed allowed → denied revoked_logout`])
    expect([code, json.classes.export]).toMatchObject([3, { decisions: 3, turned: 1, gone: 0 }])
    expect(await world.diff({ inFlight: { queued: { logout: 'finish' } } })).toMatchObject({ code: 0, turns: [] })
    const weak = await world.diff({ acr: ['phr'] })
    expect(weak.turns).toEqual(
      [before, bobs, after].map((offset) => `${offset}: executed allowed → denied acr_insufficient`),
    )
  })

  it('says which of what was refused would run', async () => {
    await world.logout('ann')
    const anns = await world.job('ann')
    const weak = await world.job('bob')
    const broken = await world.job('bob')
    await world.decided('final', {
      [anns]: denied('revoked_logout', LOGOUT),
      [weak]: denied('acr_insufficient', 'acr'),
      [broken]: { outcome: 'dead_lettered', reason: 'envelope_repeated', rule: 'envelope' },
    })
    const finish = { inFlight: { queued: { logout: 'finish' } } }
    expect((await world.diff(finish)).turns).toEqual([
      `${anns}: denied revoked_logout → executed allowed`,
      `${weak}: denied acr_insufficient → executed allowed`,
    ])
    const other = await world.diff({ acr: ['phr'], inFlight: finish.inFlight })
    expect([other.turns, other.json.classes.export]).toEqual([[], expect.objectContaining({ otherReason: 1 })])
    const observing = await world.diff({ observe: true })
    expect(observing.turns.map((turn) => turn.split(' → ')[1])).toEqual(Array(3).fill('executed allowed'))
  })

  it('tells of observed work what enforcing will do', async () => {
    await world.logout('ann')
    const [anns, bobs, forged, others] = [
      await world.job('ann'),
      await world.job('bob'),
      await world.job('bob'),
      await world.job('bob'),
    ]
    const states = {
      [anns]: { ...denied('revoked_logout', LOGOUT), observed: true },
      [bobs]: {},
      [forged]: { outcome: 'dead_lettered' as const, reason: 'envelope_missing', rule: 'envelope', observed: true },
      [others]: { ...denied('object_not_owned', 'ownership'), observed: true },
    }
    await world.decided('admitted', states)
    await world.decided('final', states)
    expect((await world.diff({ observe: true })).turns).toEqual([])
    expect((await world.diff({})).turns).toEqual([
      `${anns}: executed allowed → denied revoked_logout`,
      `${forged}: executed allowed → dead_lettered envelope_missing`,
      `${others}: executed allowed → denied object_not_owned`,
    ])
  })

  it('knows what was stopped while it ran from what never started, and leaves to handlers what is theirs', async () => {
    const [stopped, late, failed] = [await world.job('ann'), await world.job('ann'), await world.job('bob')]
    await world.decided('admitted', { [stopped]: {}, [late]: {}, [failed]: {} })
    await world.logout('ann')
    await world.decided('final', {
      [stopped]: denied('revoked_while_running', 'in_flight.running.logout=stop'),
      [late]: denied('revoked_logout', LOGOUT),
      [failed]: { outcome: 'dead_lettered', reason: 'handler_failed', rule: 'attempts' },
    })
    expect((await world.diff({})).turns).toEqual([])
    expect((await world.diff({ inFlight: { running: { logout: 'finish' } } })).turns).toEqual([
      `${stopped}: denied revoked_while_running → executed allowed`,
    ])
    expect((await world.diff({ inFlight: { queued: { logout: 'finish' } } })).turns).toEqual([
      `${late}: denied revoked_logout → executed allowed`,
    ])
    expect((await world.diff({ risk: ['low'] })).turns).toEqual([
      `${failed}: dead_lettered handler_failed → denied risk_too_high`,
    ])
    expect((await world.diff({ risk: ['low'] })).json.classes.export).toMatchObject({ otherReason: 2 })
  })

  it('judges the age of the view, and that of what the store was last asked', async () => {
    const [young, old] = [await world.job('ann'), await world.job('bob')]
    await world.decided('admitted', { [young]: {} })
    await world.decided('final', { [young]: {} })
    await world.decided(
      'final',
      { [old]: { outcome: 'parked', reason: 'view_stale', rule: 'staleness_budget' } },
      {
        recorded_at: world.began + 6_000,
      },
    )
    expect((await world.diff({})).turns).toEqual([])
    expect((await world.diff({ stalenessBudgetMs: 10_000 })).turns).toEqual([
      `${old}: parked view_stale → executed allowed`,
    ])

    await world.checkpoint({ store_unseen_since: world.began - 120_000 })
    const unseen = await world.job('ann')
    const moment = { recorded_at: world.began + 100 }
    await world.decided('admitted', { [unseen]: {} }, moment)
    await world.decided('final', { [unseen]: {} }, moment)
    const budget = { storeUnseenBudgetMs: 60_000 }
    expect((await world.diff({ ...budget, whenNotFresh: 'park' })).turns).toEqual([
      `${unseen}: executed allowed → parked store_unseen`,
    ])
    expect((await world.diff(budget)).turns).toEqual([`${unseen}: executed allowed → waits store_unseen`])
  })

  it('believes no signal that identity did not sign, and none that was not there yet', async () => {
    const { scribe } = world.embedded
    const target = { kind: 'session', tenant: '', id: 'ann' } as const
    const forged = scribe.makeSignal({ target, effect: 'reason:logout', fallback: 'logout', floor: world.began })
    scribe.log.write(scribe.signalRecord(forged, scribe.keys.checkpoint))
    await world.embedded.flush()
    const offset = await world.job('ann')
    await world.decided('admitted', { [offset]: {} }, { view_offset: 1_000 })
    await world.decided('final', { [offset]: {} }, { view_offset: 1_000 })
    expect((await world.diff({})).turns).toEqual([])
  })

  it('takes the first final record of an event, those of the window alone, and says what it did not judge', async () => {
    const offset = await world.job('ann')
    await world.decided('admitted', { [offset]: {}, [offset + 5]: {} })
    await world.decided('final', { [offset]: {}, [offset + 5]: {} })
    await world.decided('final', { [offset]: denied('acr_insufficient') })
    await world.decided('final', { [offset]: {} }, { job_class: 'import' })
    const { json, talk } = await world.diff({})
    expect(json).toMatchObject({ classes: { export: { decisions: 2, turned: 0, gone: 1 } }, notInFile: ['import'] })
    expect(talk).toContain('export: 0 of 2 decisions by 1 other rules would turn; 1 not judged')
    expect(talk).toContain('Not in the file, and not judged: import')
    const later = new Date(Date.now() + 60_000).toISOString()
    for (const window of [
      ['--from', later],
      ['--to', '-1h'],
    ])
      expect((await world.diff({}, ...window)).json.classes.export?.decisions).toBe(0)
    expect((await world.diff({}, '--from', '-1h', '--to', later)).json.classes.export?.decisions).toBe(2)
  })

  it('prints how many of each, and the first of them', async () => {
    const offsets = [await world.job('ann'), await world.job('ann')]
    const states = Object.fromEntries(offsets.map((offset) => [offset, {}]))
    await world.decided('final', states)
    const file = world.file('classes.json', [{ ...EXPORT, acr: ['phr'] }])
    const { out } = await run(['policy', 'diff', '--data', world.embedded.folder, '--classes', file, '--show', '1'])
    expect(out).toMatch(/export +executed +denied acr_insufficient +acr +2/)
    expect(out.match(/invoices\.export\.v1\/0\/\d/g)).toEqual([`${TOPIC}/0/${offsets[0]}`])
  })
})

describe('policy test', () => {
  const cases = [
    { name: 'good', class: 'export', expect: { outcome: 'allow' } },
    { name: 'weak', class: 'export', work: { acr: 'pwd' }, expect: { outcome: 'deny', reason: 'acr_insufficient' } },
  ]

  it('passes when every case is as expected, and says which is not', async () => {
    world.file('classes.json', [EXPORT])
    const file = world.file('cases.json', { classes: 'classes.json', cases })
    const failed = await run(['policy', 'test', file])
    expect(failed).toMatchObject({ code: 3, talk: '1 of 2 cases are as expected.' })
    expect(failed.out).toMatch(/weak +export +deny acr_insufficient +allow with invoices:export +allow/)
    const stronger = world.file('stronger.json', { classes: [{ ...EXPORT, acr: ['mfa'] }] })
    const other = await run(['policy', 'test', file, '--classes', stronger, '-o', 'json'])
    expect(JSON.parse(other.out)).toMatchObject([
      { name: 'good', passed: false, decision: { reason: 'acr_insufficient' } },
      { name: 'weak', passed: true },
    ])
    world.file('classes.json', [EXPORT])
    const good = world.file('good.json', { classes: [EXPORT], cases: cases.slice(0, 1) })
    expect(await run(['policy', 'test', good])).toMatchObject({ code: 0, out: '' })
  })
})

it.each([
  [['policy'], 'name one of policy test or policy diff'],
  [['policy', 'test', '/nowhere.json'], '/nowhere.json cannot be read'],
  [['policy', 'test', 'BROKEN'], 'is not JSON'],
  [['policy', 'test', 'NO_CLASSES'], 'says no "classes"'],
  [['policy', 'test', 'WRONG'], 'cases'],
  [['policy', 'diff', '--data', 'DATA', '--classes', 'WRONG'], 'job classes are a list'],
  [['policy', 'diff', '--data', 'DATA', '--classes', 'RIGHT', '--from', '17'], '--from is -<duration>'],
  [['policy', 'diff', '--data', 'DATA', '--classes', 'RIGHT', '--to', 'end'], '--to is -<duration>'],
  [['policy', 'diff', '--data', 'DATA', '--classes', 'RIGHT', '--epsilon', '5'], '--epsilon is a duration'],
  [['policy', 'diff', '--log', 'LOG', '--classes', 'RIGHT'], 'name a root key'],
])('%j is refused: it says what would be right', async (argv, hint) => {
  const files: Record<string, string> = {
    BROKEN: world.file('broken.json', '{'),
    NO_CLASSES: world.file('no-classes.json', { cases: [{ name: 'x', class: 'export', expect: { outcome: 'deny' } }] }),
    WRONG: world.file('wrong.json', { cases: [] }),
    RIGHT: world.file('right.json', [EXPORT]),
    DATA: world.embedded.folder,
    LOG: join(world.embedded.folder, 'log.db'),
  }
  const { code, out, talk } = await run(argv.map((part) => files[part] ?? part))
  expect([code, out]).toEqual([2, ''])
  expect(talk).toContain(hint)
})
