/** Tenants shared between two logs: whose keys, floors, freshness and position count for whom. */
import { NOW, testAuthority, testClaims } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import { FakeClock } from '@countersign/kernel/testing'
import type { JobClassInput } from '@countersign/policy'
import type { ByTenant, Freshness } from '@countersign/replica'
import { type LogPosition, logNameOf } from '@countersign/schemas'
import { beforeEach, describe, expect, it } from 'vitest'
import type { ConsumerView } from './consumer-view.ts'
import { FakeBatch, FakeView, type MessageChange, type Stand, sealedMessage, stand } from './testing.ts'

const main = testAuthority(7)
// Other keys under the same ids, as two installations of one team would name them.
const eu = testAuthority(8, (grant) => ({ ...grant, tenants: ['acme'] }))

class LogView extends FakeView {
  readonly #logId: string

  constructor(clock: FakeClock, logId: string, ring: typeof main.ring) {
    super(clock)
    this.#logId = logId
    this.keys = ring
  }

  override position(): LogPosition {
    return { log_id: this.#logId, offset: this.offset }
  }
}

/** Of `main`, told of changes of both; its own answers count for nobody. */
class TwoLogs extends FakeView {
  readonly main: LogView
  readonly eu: LogView
  readonly byTenant: ByTenant<ConsumerView>

  constructor(clock: FakeClock) {
    super(clock)
    this.main = new LogView(clock, 'log-1', main.ring)
    this.eu = new LogView(clock, 'eu.log-2', eu.ring)
    this.keys = null
    this.reach = 'behind'
    this.fresh = CLOSED
    const logOf = (tenant: string): string => (tenant === 'acme' ? 'eu' : 'main')
    this.byTenant = {
      views: [this.main, this.eu],
      logs: ['main', 'eu'],
      viewOf: (tenant) => (logOf(tenant) === 'eu' ? this.eu : this.main),
      isElsewhere: ({ log_id }, tenant) => logNameOf(log_id) !== logOf(tenant),
    }
    for (const view of [this.main, this.eu]) view.onSignal(() => this.raise(Buffer.alloc(16), 'reason:logout', 0))
  }
}

const CLOSED: Freshness = {
  proven: false,
  closed: 'digest_differs',
  asOf: NOW,
  ageMs: Number.POSITIVE_INFINITY,
  storeUnseenForMs: Number.POSITIVE_INFINITY,
}

const SESSION = testClaims().tctx.targets[4]?.key as Buffer

let view: TwoLogs
let s: Stand
let clock: FakeClock

function begin(rules: Partial<JobClassInput> = {}): void {
  clock = new FakeClock(NOW + 1_000)
  view = new TwoLogs(clock)
  s = stand(rules, { replica: view, clock })
}

beforeEach(() => begin())

/** A message of a tenant of the log `eu`, or of one of `main`. */
function message(
  offset: number,
  of: 'acme' | 'globex',
  change: MessageChange & { position?: LogPosition } = {},
): JobMessage {
  const own = { log_id: of === 'acme' ? 'eu.log-2' : 'log-1', offset: 41 }
  const tctx = { ...testClaims().tctx, tenant: of, position: change.position ?? own }
  const signer = (of === 'acme' ? eu : main).keys.envelope
  return sealedMessage(offset, { signer, ...change, claims: { tctx, ...change.claims } })
}

async function deliver(...messages: JobMessage[]): Promise<Record<number, string>> {
  await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages))
  return s.log.states()
}

describe('keys', () => {
  it('of its own log open what a tenant sends, in one batch with others', async () => {
    expect(await deliver(message(0, 'acme'), message(1, 'globex'), message(2, 'acme'))).toEqual({
      0: 'executed',
      1: 'executed',
      2: 'executed',
    })
  })

  it('of another log do not, though they may sign for every tenant there', async () => {
    const forged = message(0, 'acme', { signer: main.keys.envelope })
    expect(await deliver(forged)).toEqual({ 0: 'dead_lettered envelope_signature_invalid' })
  })

  it('that two logs share count for each by its own grants', async () => {
    view.eu.keys = testAuthority(7, (grant) => ({ ...grant, tenants: ['acme'] })).ring
    const signer = main.keys.envelope
    expect(await deliver(message(0, 'acme', { signer }), message(1, 'globex', { signer }))).toEqual({
      0: 'executed',
      1: 'executed',
    })
    view.eu.keys = testAuthority(7, (grant) => ({ ...grant, tenants: ['initech'] })).ring
    expect(await deliver(message(2, 'acme', { signer }))).toMatchObject({ 2: 'denied envelope_key_tenant' })
  })

  it('that nobody knows are poison only while every log is fresh', async () => {
    const alien = testAuthority(9).keys.envelope
    const unknown = { keyId: 'env-9', sign: (bytes: Uint8Array) => alien.sign(bytes) }
    expect(await deliver(message(0, 'acme', { signer: unknown }))).toEqual({ 0: 'dead_lettered envelope_key_unknown' })
    view.eu.fresh = CLOSED
    expect(await deliver(message(1, 'acme', { signer: unknown }))).toMatchObject({ 1: 'parked view_not_proven' })
  })
})

describe('a position', () => {
  it.each([
    ['acme', 'log-1'],
    ['globex', 'eu.log-2'],
    ['globex', 'us.log-3'],
  ] as const)('of %s on %s is refused', async (of, log_id) => {
    for (const offset of [41, -1]) {
      const given = message(offset + 1, of, { position: { log_id, offset } })
      expect(Object.values(await deliver(given)).at(-1)).toBe('denied position_other_log')
    }
  })

  it('is judged by what its own log has reached', async () => {
    view.main.reach = 'beyond'
    expect(await deliver(message(0, 'acme'), message(1, 'globex'))).toEqual({
      0: 'executed',
      1: 'denied position_beyond_log',
    })
  })
})

describe('a floor', () => {
  it('of one log stops its own tenants alone', async () => {
    view.main.raise(SESSION, 'reason:compromise', NOW + 900)
    expect(await deliver(message(0, 'acme'), message(1, 'globex'))).toEqual({
      0: 'executed',
      1: 'denied revoked_compromise',
    })
  })

  it('stops running work of its own tenants alone', async () => {
    const ran: string[] = []
    const raised = s.enforcer.eachBatch(
      'export',
      async ({ identity, signal }) => {
        if (ran.push(`${identity.tenant} runs`) === 2) view.eu.raise(SESSION, 'reason:compromise', NOW + 900)
        await new Promise((resolve) => setImmediate(resolve))
        ran.push(`${identity.tenant} ${signal.aborted ? 'aborted' : 'done'}`)
      },
      { concurrency: 2 },
    )
    await raised(new FakeBatch([message(0, 'acme'), message(1, 'globex')]))
    expect(ran.slice(2).sort()).toEqual(['acme aborted', 'globex done'])
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running', 1: 'executed' })
  })
})

describe('a log that is not fresh', () => {
  it('stops its own tenants alone, and holds up nobody, whatever the class says', async () => {
    begin({ whenNotFresh: 'wait', maxWaitMs: 60_000 })
    view.eu.fresh = CLOSED
    const expected = { 0: 'parked view_closed', 1: 'executed', 2: 'parked view_closed' }
    // No time passes: what would wait would wait for ever.
    expect(await deliver(message(0, 'acme'), message(1, 'globex'), message(2, 'acme'))).toEqual(expected)
  })

  it('is waited for while it is late by no more than work may wait', async () => {
    begin({ whenNotFresh: 'wait', maxWaitMs: 60_000, stalenessBudgetMs: 5_000 })
    view.eu.fresh = { ...view.eu.fresh, ageMs: 5_100 }
    let settled = false
    const one = s.enforcer
      .run('export', { ...plain(message(0, 'acme')) }, () => {})
      .finally(() => {
        settled = true
      })
    await clock.advance(1_000)
    expect(settled).toBe(false)
    view.eu.fresh = { ...view.eu.fresh, ageMs: 300 }
    view.changed()
    await clock.advance(1_000)
    expect(await one).toMatchObject({ outcome: 'executed' })
  })

  it('is waited for as ever where no other is fresh either', async () => {
    begin({ whenNotFresh: 'wait', maxWaitMs: 60_000 })
    view.eu.fresh = CLOSED
    view.main.fresh = CLOSED
    let settled = false
    const one = s.enforcer
      .run('export', { ...plain(message(0, 'acme')) }, () => {})
      .finally(() => {
        settled = true
      })
    await clock.advance(30_000)
    expect(settled).toBe(false)
    await clock.advance(40_000)
    expect(await one).toMatchObject({ outcome: 'parked', reason: 'view_closed' })
  })

  it('and has not begun yet parks what may be its own', async () => {
    begin({ whenNotFresh: 'wait', maxWaitMs: 60_000 })
    view.eu.keys = null
    view.eu.fresh = { ...CLOSED, closed: 'starting' }
    const shared = sealedOnlyByEu()
    expect(await deliver(shared, message(1, 'globex'))).toEqual({ 0: 'parked view_not_proven', 1: 'executed' })
  })
})

describe('decisions', () => {
  it('are recorded for each log with its own position, as-of and bundle', async () => {
    view.eu.offset = 7
    view.eu.fresh = { ...view.eu.fresh, asOf: NOW + 5 }
    await deliver(message(0, 'acme'), message(1, 'globex'), message(2, 'acme'))
    const told = s.log.decisions().map(({ phase, log_id, view_offset, as_of, allowed }) => {
      return [phase, log_id, view_offset, as_of, allowed.map(({ first, last }) => `${first}-${last}`).join()]
    })
    expect(told).toEqual([
      ['admitted', 'eu.log-2', 7, NOW + 5, '0-0,2-2'],
      ['admitted', 'log-1', 41, NOW, '1-1'],
      ['final', 'eu.log-2', 7, NOW + 5, '0-0,2-2'],
      ['final', 'log-1', 41, NOW, '1-1'],
    ])
  })

  it('on what could not be opened stand beside those of main', async () => {
    await deliver({ ...message(0, 'acme'), headers: {} })
    expect(s.log.decisions('final').map(({ log_id }) => log_id)).toEqual(['log-1'])
  })

  it('are told in the history by the name of the log', async () => {
    view.eu.checkpoint(40)
    view.main.checkpoint(40)
    const states = s.history.filter(({ type }) => type === 'state')
    expect(states.map((event) => 'log' in event && event.log)).toEqual(['main', 'eu', 'eu', 'main'])
  })
})

function sealedOnlyByEu(): JobMessage {
  const { envelope } = eu.keys
  return message(0, 'acme', { signer: { keyId: 'env-eu', sign: (bytes) => envelope.sign(bytes) } })
}

function plain({ key, value, headers = {}, offset }: JobMessage) {
  return {
    ...{ topic: 'invoices.export.v1', partition: 3, offset, key, value },
    headers: headers as Record<string, Buffer>,
  }
}
