/** What a job class demands of device, risk, strength and ownership is judged on what was known where the request arrived. */
import { readFileSync } from 'node:fs'
import { type Assess, type Boundary, type BoundaryOptions, createBoundary, httpSessions } from '@countersign/boundary'
import { type Started, startEnforcer } from '@countersign/enforcer'
import { ed25519Key } from '@countersign/envelope'
import { Secret, systemClock, systemRandom } from '@countersign/kernel'
import type { JobClassInput } from '@countersign/policy'
import { exampleCatalogue as catalogue } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SERVICE_SECRET, Site, TRUST_DOMAIN, until } from '../site.ts'

const CLASSES: readonly JobClassInput[] = [
  { name: 'export', topic: 'invoices.export', action: 'export', posture: ['managed'], risk: ['low', 'medium'] },
  { name: 'payment', topic: 'payments.run', action: 'pay', acr: ['phr'] },
  { name: 'report', topic: 'reports.build', action: 'build', acr: ['pwd', 'mfa'], maxAuthAgeMs: 0 },
  { name: 'email', topic: 'emails.send', action: 'send' },
]

/** A device manager and a fraud score, by the name of the device; of an unknown one they know nothing. */
const assess: Assess = ({ arrival: { userAgent } }) => {
  const known: Record<string, { posture?: string; risk?: string }> = {
    office: { posture: 'managed', risk: 'low' },
    phone: { posture: 'unmanaged', risk: 'low' },
    abroad: { posture: 'managed', risk: 'high' },
    odd: { posture: 'managed\r\nx: y', risk: 'low' },
  }
  if (userAgent === 'broken') throw new Error('the device manager is away')
  return known[userAgent ?? ''] ?? {}
}

let site: Site
let started: Started
let boundary: Boundary
let behind: Boundary
beforeAll(async () => {
  // With a trust domain, so that boundaries seal transaction tokens for each other.
  site = await Site.start({ gateways: 1 })
  await site.stopWorker()
  const place = { logPath: site.logPath, rootKeys: [site.rootKey], catalogue, logger: silentLogger }
  const ownership = ({ value, identity }: { value: unknown; identity: { tenant: string } }): boolean =>
    (value as { invoice_id: string }).invoice_id.startsWith(`${identity.tenant}-`)
  started = await startEnforcer({ ...place, consumer: 'demands', classes: CLASSES, ownership })
  const { replica, log } = started
  await until('the view to be proven', () => replica.freshness().proven)
  const shared = { replica, log, catalogue, clock: systemClock, random: systemRandom, workload: 'demands' }
  const txnTokens = { trustDomain: TRUST_DOMAIN }
  const sessions = httpSessions({
    url: site.identity.address ?? '',
    secret: new Secret(SERVICE_SECRET),
    clock: systemClock,
  })
  const of = (key: string, more: Partial<BoundaryOptions>): Boundary =>
    createBoundary({ ...shared, key: ed25519Key(key, readFileSync(site.keyFile(key), 'utf8')), txnTokens, ...more })
  boundary = of('api', { sessions, assess, cookieName: 'session' })
  behind = of('api', {})
}, 60_000)
afterAll(async () => {
  await started?.stop()
  await site?.close()
})

/** Sends a job for somebody on a device, and takes it. @returns what became of it. */
async function becomes(device: string, name: string, value: object, hop: boolean): Promise<string> {
  const cookie = (await site.login('ann')).split('=')[1] ?? ''
  const first = await boundary.present({ cookie }, { userAgent: device })
  if (!first.ok) return first.code
  let [at, identity] = [boundary, first.identity]
  if (hop) {
    const token = boundary.txnToken(identity)
    const second = token.ok ? await behind.present({ txnToken: token.text }) : token
    if (!second.ok) return second.code
    at = behind
    identity = second.identity
  }
  const topic = CLASSES.find((one) => one.name === name)?.topic ?? ''
  const { partition, offset } = await at.jobs.send({ topic, value, identity })
  const physical = `${topic}.v1`
  for await (const records of started.log.read({ topic: physical, partition, from: offset, to: offset + 1 })) {
    const [{ key, value: body, headers } = { key: null, value: null, headers: [] }] = records
    const job = { topic: physical, partition, offset, key, value: body, headers: Object.fromEntries(headers) }
    const { outcome, reason } = await started.enforcer.run(name, job, () => {})
    return `${outcome} ${reason}`
  }
  return 'not on the log'
}

const invoice = { invoice_id: 'acme-1001', work_ms: 0 }
const EXPORT = { ...invoice, format: 'csv' }

describe.each([false, true])('through a service in between: %s', (hop) => {
  test.each([
    ['office', 'executed allowed'],
    ['phone', 'denied posture_insufficient'],
    ['abroad', 'denied risk_too_high'],
    ['unknown', 'denied posture_insufficient'],
    ['broken', 'denied posture_insufficient'],
    ['odd', 'denied posture_insufficient'],
  ])('from the device %s an export is %s', async (device, expected) => {
    expect(await becomes(device, 'export', EXPORT, hop)).toBe(expected)
  })

  test('a payment demands more than a password, a report a login of this moment', async () => {
    expect(await becomes('office', 'payment', { ...invoice, amount_cents: 1, currency: 'EUR' }, hop)).toBe(
      'denied acr_insufficient',
    )
    const report = { ...invoice, period: '2026-10' }
    expect(await becomes('office', 'report', report, hop)).toBe('denied authentication_too_old')
  })

  test('what is not theirs is denied by the hook that knows whose it is', async () => {
    const mail = { template: 'reminder', work_ms: 0 }
    expect(await becomes('unknown', 'email', { ...mail, invoice_id: 'acme-1001' }, hop)).toBe('executed allowed')
    expect(await becomes('unknown', 'email', { ...mail, invoice_id: 'globex-1' }, hop)).toBe('denied object_not_owned')
  })
})

test('nothing a caller sends says anything of posture or risk', async () => {
  const cookie = await site.login('ann')
  const headers = { cookie, posture: 'managed', risk: 'low', 'x-posture': 'managed', 'user-agent': 'unknown' }
  const admission = await boundary.admit({ method: 'POST', headers, rawHeaders: Object.entries(headers).flat() })
  expect(admission).toMatchObject({ ok: true, identity: { posture: null, risk: null } })
})

test('what is no word of a class is not handed on', async () => {
  const cookie = (await site.login('ann')).split('=')[1] ?? ''
  const odd = await boundary.present({ cookie }, { userAgent: 'odd' })
  expect(odd).toMatchObject({ ok: true, identity: { posture: null, risk: 'low' } })
})
