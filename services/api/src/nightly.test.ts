import { NOW, stand } from '@countersign/boundary/testing'
import { testAuthority } from '@countersign/envelope/testing'
import { silentLogger } from '@countersign/telemetry'
import { expect, test } from 'vitest'
import { hasInvoice, invoicesOf } from './invoices.ts'
import { Nightly, nextDue } from './nightly.ts'

const DAY = 86_400_000
const at = (text: string): number => Date.parse(`${text}Z`)

test.each([
  ['03:00', '2026-11-21T02:59:59.999', '2026-11-21T03:00:00'],
  ['03:00', '2026-11-21T03:00:00.000', '2026-11-22T03:00:00'],
  ['00:00', '2026-12-31T23:59:59.999', '2027-01-01T00:00:00'],
  ['23:59', '2026-11-21T00:00:00.000', '2026-11-21T23:59:00'],
])('%s after %s is due at %s', (time, now, due) => {
  expect(nextDue(time, at(now))).toBe(at(due))
})

test('it fires by itself at its time, every day, and again every minute while it cannot', async () => {
  const authority = testAuthority(1, (grant) => ({ ...grant, not_after: NOW + 30 * DAY }))
  const { boundary, view, log, clock } = stand({}, authority)
  const nightly = new Nightly(boundary, ['acme', 'globex'])
  const stopping = new AbortController()
  const due = nextDue('03:00', clock.now())
  const running = nightly.runDaily('03:00', clock, silentLogger, stopping.signal)
  const sent = (): number => log.partition('reports.build.v1').records.length
  await clock.advance(due - clock.now() - 1)
  expect(sent()).toBe(0)
  await clock.advance(1)
  expect(sent()).toBe(2)
  view.fresh = false
  await clock.advance(DAY)
  expect(sent()).toBe(2)
  view.fresh = true
  await clock.advance(60_000)
  expect(sent()).toBe(4)
  log.away = true
  await clock.advance(2 * DAY - 120_000)
  expect(sent()).toBe(4)
  log.away = false
  await clock.advance(120_000)
  expect(sent()).toBe(6)
  stopping.abort()
  await running
})

test('firing twice for one night gives the same events', async () => {
  const nightly = new Nightly(stand().boundary, ['acme'])
  const night = { due: '2026-11-21T03:00:00.000Z', reportsPerTenant: 3, workMs: 0 }
  const [first, second] = [await nightly.fire(night), await nightly.fire(night)]
  expect(second.sent.map((s) => s.eventId)).toEqual(first.sent.map((s) => s.eventId))
  expect((await nightly.fire({ ...night, due: '2026-11-22T03:00:00.000Z' })).sent[0]?.eventId).not.toEqual(
    first.sent[0]?.eventId,
  )
})

test('an invoice is asked for with its tenant', () => {
  expect(hasInvoice('acme', 'acme-1001')).toBe(true)
  expect(hasInvoice('acme', 'acme-3000')).toBe(true)
  for (const id of ['acme-1000', 'acme-3001', 'acme-01001', 'acme-1001 ', 'globex-1001', 'acme', '', 'acme-2-1001'])
    expect(hasInvoice('acme', id)).toBe(false)
  expect(hasInvoice('acme', 'acme-2-1001')).toBe(false)
  expect(hasInvoice('acme-2', 'acme-2-1001')).toBe(true)
  expect(invoicesOf('acme', 9999)).toHaveLength(2000)
  for (const id of invoicesOf('acme', 3)) expect(hasInvoice('acme', id)).toBe(true)
})
