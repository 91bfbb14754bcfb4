/** What is refused, why, and where it goes; and observed classes, where nothing is. */
import { NOW, testAuthority, testClaims } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import { CLASS_HEADER, ENVELOPE_HEADER, type InvoiceExport, ORIGIN_HEADER, REASON_HEADER } from '@countersign/schemas'
import { describe, expect, it } from 'vitest'
import { FakeBatch, sealedMessage, stand } from './testing.ts'

const SESSION = testClaims().tctx.targets.find((target) => target.kind === 'session')?.key ?? Buffer.alloc(0)
const DECISIONS = 'countersign.decisions.v1'
const messages = (n: number): JobMessage[] => Array.from({ length: n }, (_, i) => sealedMessage(i))

describe('refusals', () => {
  const corrupt = (message: JobMessage, change: (header: Buffer) => Buffer | Buffer[]): JobMessage => ({
    ...message,
    headers: { [ENVELOPE_HEADER]: change(message.headers?.[ENVELOPE_HEADER] as Buffer) },
  })
  const flip = (header: Buffer): Buffer => Buffer.from(header).fill((header.at(-1) ?? 0) ^ 1, header.length - 1)
  const other = testAuthority(99).keys.envelope

  it.each<[string, JobMessage, string]>([
    ['missing', { ...sealedMessage(0), headers: {} }, 'dead_lettered envelope_missing'],
    ['repeated', corrupt(sealedMessage(0), (h) => [h, h]), 'dead_lettered envelope_repeated'],
    ['oversize', corrupt(sealedMessage(0), () => Buffer.alloc(16_385)), 'dead_lettered envelope_oversize'],
    ['truncated', corrupt(sealedMessage(0), (h) => h.subarray(0, 9)), 'dead_lettered envelope_truncated'],
    ['with a bit flipped', corrupt(sealedMessage(0), flip), 'dead_lettered envelope_signature_invalid'],
    [
      'of another key of the same name',
      sealedMessage(0, { signer: other }),
      'dead_lettered envelope_signature_invalid',
    ],
    [
      'of an unknown key',
      sealedMessage(0, { signer: { ...other, keyId: 'nobody', sign: other.sign.bind(other) } }),
      'dead_lettered envelope_key_unknown',
    ],
    [
      'for another payload',
      { ...sealedMessage(0), value: sealedMessage(1).value },
      'dead_lettered envelope_payload_mismatch',
    ],
    ['for another key', { ...sealedMessage(0), key: Buffer.from('inv-9') }, 'dead_lettered envelope_key_mismatch'],
    [
      'for another topic',
      sealedMessage(0, { event: { topic: 'payments.run' } }),
      'dead_lettered envelope_topic_mismatch',
    ],
    ['for another audience', sealedMessage(0, { claims: { aud: 'payments' } }), 'denied envelope_audience_mismatch'],
    ['expired', sealedMessage(0, { claims: { exp: NOW + 1_000 } }), 'denied envelope_expired'],
    [
      'from the future',
      sealedMessage(0, { claims: { iat: NOW + 1_251, exp: NOW + 9_000 } }),
      'denied envelope_from_future',
    ],
    [
      'of a payload nobody can read',
      sealedMessage(0, { value: Buffer.from([0, 0, 0, 0, 8, 255]) }),
      'dead_lettered payload_unreadable',
    ],
    [
      'of a payload of another kind',
      sealedMessage(0, { value: Buffer.from(sealedMessage(0).value ?? []).fill(9, 4, 5) }),
      'dead_lettered payload_unreadable',
    ],
  ])('of an envelope %s: recorded, and the partition moves on', async (_, message, state) => {
    const s = stand()
    const batch = new FakeBatch([message, sealedMessage(1)])
    const ran: number[] = []
    await s.enforcer.eachBatch('export', ({ event }) => void ran.push(event.offset))(batch)
    expect(s.log.states()).toEqual({ 0: state, 1: 'executed' })
    expect(ran).toEqual([1])
    expect(batch.resolved).toEqual(['1'])
    expect(s.log.on('invoices.export.dead.v1')).toHaveLength(state.startsWith('dead') ? 1 : 0)
  })

  it('by the rules are denied with the rule and as-of', async () => {
    const s = stand()
    s.view.raise(SESSION, 'reason:logout', NOW + 500)
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'denied revoked_logout' })
    const [batch] = s.log.decisions()
    expect(batch).toMatchObject({ phase: 'final', view_offset: 42, as_of: NOW, bundle_version: 1 })
    expect(batch?.exceptions[0]).toMatchObject({
      rule: 'in_flight.queued.logout=stop',
      sub: testClaims().sub,
      txn: testClaims().txn,
      object: 'inv-0',
      attempts: 0,
    })
  })

  it('keep the whole message in the dead letter, with origin and reason', async () => {
    const s = stand()
    const message = {
      ...sealedMessage(4),
      headers: { traceparent: 'tp', [REASON_HEADER]: 'forged', [ORIGIN_HEADER]: 'x/1/2' },
    }
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch([message]))
    const [copy] = s.log.on('invoices.export.dead.v1')
    expect(copy?.value).toEqual(message.value)
    expect(copy?.key).toEqual(message.key)
    expect(copy?.headers.map(([name, value]) => `${name}=${Buffer.from(value)}`)).toEqual([
      'traceparent=tp',
      'countersign-origin=invoices.export.v1/3/4',
      'countersign-reason=envelope_missing',
      `countersign-parked-at=${NOW + 1_000}`,
      'countersign-class=export',
    ])
  })

  it('of what the log finds too large leave the body behind, not the partition', async () => {
    const s = stand()
    s.log.fault = (topic, records) =>
      topic === 'invoices.export.dead.v1' && records.some((r) => r.value !== null && r.value.length > 30)
        ? Object.assign(new Error('large'), {
            code: 'EVENT_LOG_RECORD_TOO_LARGE',
            retriable: false,
            publicMessage: 'large',
          })
        : null
    const huge = { ...sealedMessage(0), headers: {}, value: Buffer.alloc(31) }
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch([huge, { ...sealedMessage(1), headers: {} }]))
    expect(s.log.states()).toEqual({ 0: 'dead_lettered envelope_missing', 1: 'dead_lettered envelope_missing' })
    expect(s.log.on('invoices.export.dead.v1').map((r) => r.value?.length ?? null)).toEqual([
      null,
      sealedMessage(1).value?.length,
    ])
  })

  it('leave what was redriven for another class to that one', async () => {
    const s = stand()
    const of = (offset: number, jobClass: string): JobMessage => {
      const { headers, ...message } = sealedMessage(offset)
      return { ...message, headers: { ...headers, [CLASS_HEADER]: Buffer.from(jobClass) } }
    }
    const batch = new FakeBatch([sealedMessage(0), of(1, 'audit'), of(2, 'export'), of(3, 'audit')])
    const ran: number[] = []
    await s.enforcer.eachBatch('export', ({ event }) => void ran.push(event.offset))(batch)
    expect(ran).toEqual([0, 2])
    expect(s.log.states()).toEqual({ 0: 'executed', 2: 'executed' })
    expect(batch.resolved.at(-1)).toBe('3')
    const alone = new FakeBatch([of(4, 'audit')])
    await s.enforcer.eachBatch('export', ({ event }) => void ran.push(event.offset))(alone)
    expect([ran.length, alone.resolved]).toEqual([2, ['4']])
  })

  it('of redriven copies are recorded with the first origin, in its partition', async () => {
    const s = stand()
    const message = sealedMessage(0)
    const copy = { ...message, headers: { ...message.headers, [ORIGIN_HEADER]: 'invoices.export.v1/5/77' } }
    s.view.reach = 'beyond'
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch([copy], 'invoices.export.park.v1', 0))
    expect(s.log.on(DECISIONS).map((r) => r.partition)).toEqual([5])
    expect(s.log.states()).toEqual({ 0: 'denied position_beyond_log' })
  })

  it('by ownership are denied, and a failing hook is a failed attempt', async () => {
    let asked = 0
    const s = stand(
      { attempts: 2 },
      {
        ownership: ({ value }) => {
          asked++
          if ((value as InvoiceExport).invoice_id === 'inv-1') throw new Error('away')
          return (value as InvoiceExport).invoice_id !== 'inv-0'
        },
      },
    )
    const done = s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(3)))
    await s.clock.advance(10_000)
    await done
    expect(s.log.states()).toEqual({ 0: 'denied object_not_owned', 1: 'dead_lettered handler_failed', 2: 'executed' })
    expect(asked).toBe(4)
  })
})

describe('a probe', () => {
  const opened = ['executed', 'allowed'] as const
  it.each<[string, JobMessage, readonly string[]]>([
    ['good', sealedMessage(0), opened],
    ['whose payload nobody could read', sealedMessage(0, { value: Buffer.from('no payload') }), opened],
    [
      'for another audience',
      sealedMessage(0, { claims: { aud: 'payments' } }),
      ['denied', 'envelope_audience_mismatch'],
    ],
    ['without the scope', sealedMessage(0, { claims: { scope: [] } }), ['denied', 'scope_missing']],
    ['without an envelope', { ...sealedMessage(0), headers: {} }, ['dead_lettered', 'envelope_missing']],
  ])('%s is decided as the message would be, and leaves nothing behind', (_name, { key, value, headers }, expected) => {
    const { enforcer, log, history } = stand({ scopes: ['invoices:export'] })
    const { outcome, reason, observed } = enforcer.probe('export', { key, value, headers: headers as never })
    expect([outcome, reason, observed]).toEqual([...expected, false])
    expect([log.records, history.filter(({ type }) => type !== 'state')]).toEqual([[], []])
  })

  it('waits for nothing: what cannot be judged is parked', () => {
    const { enforcer, view } = stand({ whenNotFresh: 'wait' })
    const { key, value, headers } = sealedMessage(0)
    view.fresh = { ...view.fresh, proven: false, closed: 'unproven' }
    expect(enforcer.probe('export', { key, value, headers: headers as never })).toMatchObject({
      outcome: 'parked',
      reason: 'view_not_proven',
    })
  })

  it('of an observed class says that it would run all the same, and of no class throws', () => {
    const { enforcer, view } = stand({ observe: true })
    const { key, value, headers } = sealedMessage(0)
    view.raise(SESSION, 'reason:compromise', NOW + 500)
    expect(enforcer.probe('export', { key, value, headers: headers as never })).toMatchObject({
      outcome: 'denied',
      reason: 'revoked_compromise',
      observed: true,
    })
    expect(() => enforcer.probe('nothing', { key, value, headers: {} })).toThrow('nothing is no class')
  })
})

describe('observed classes', () => {
  it('record what would have been, and run', async () => {
    const s = stand({ observe: true })
    s.view.raise(SESSION, 'reason:logout', NOW + 1)
    const seen: unknown[] = []
    const bare = { ...sealedMessage(1), headers: {} }
    await s.enforcer.eachBatch<InvoiceExport>('export', ({ identity, value, event, recheck }) => {
      seen.push([identity.verified, identity.sub, value.invoice_id, event.id.length, recheck().outcome])
    })(new FakeBatch([sealedMessage(0), bare]))
    expect(seen).toEqual([
      [true, 'usr_9f86d081884c7d65', 'inv-0', 32, 'allow'],
      [false, '', 'inv-1', 32, 'allow'],
    ])
    const states = s.log.states()
    expect(states[0]).toBe('executed, [denied revoked_logout]')
    expect(states[1]).toBe('executed, [dead_lettered envelope_missing]')
    expect(s.log.records.map((r) => r.topic)).toEqual([DECISIONS, DECISIONS])
  })

  it('do not wait, and do not abort', async () => {
    const s = stand({ observe: true })
    s.view.fresh = { ...s.view.fresh, ageMs: 1e9 }
    let aborted = true
    await s.enforcer.eachBatch('export', async ({ signal }) => {
      s.view.raise(SESSION, 'reason:logout', NOW + 1)
      await Promise.resolve()
      aborted = signal.aborted
    })(new FakeBatch(messages(1)))
    expect(aborted).toBe(false)
    expect(s.log.states()).toEqual({ 0: 'executed, [parked view_stale]' })
  })

  it('still dead-letter a payload that cannot be read', async () => {
    const s = stand({ observe: true })
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch([sealedMessage(0, { value: Buffer.from('junk') })]))
    expect(s.log.states()[0]).toContain('dead_lettered payload_unreadable')
  })
})
