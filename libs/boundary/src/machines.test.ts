import { createHmac } from 'node:crypto'
import { Secret } from '@countersign/kernel'
import { describe, expect, test } from 'vitest'
import { NOW, type Stand, stand } from './testing.ts'

const TERMS = { name: 'disk-watch', tenant: 'acme', scopes: ['invoices:export'] }
const raise = (f: Stand) => f.boundary.system(TERMS).raise()
const job = { topic: 'invoices.export', value: { invoice_id: 'i-1', format: 'csv', work_ms: 0 } }

describe('an event of the system', () => {
  test('is an identity of its own, made when it is raised', async () => {
    const f = stand()
    await f.clock.advance(5_000)
    const raised = raise(f)
    expect(raised).toMatchObject({
      ok: true,
      identity: {
        sub: 'system:disk-watch',
        tenant: 'acme',
        principal: 'system',
        credential: 'system_event',
        scopes: ['invoices:export'],
        scopeVersion: NOW + 5_000,
        session: null,
        client: null,
        authTime: null,
      },
    })
    const { targets } = raised.ok ? raised.identity : { targets: [] }
    expect(targets.map(({ kind, tenant, id, version }) => [kind, tenant, id, version]).slice(0, -1)).toEqual([
      ['tenant', 'acme', '', NOW + 5_000],
      ['subject', '', 'system:disk-watch', NOW + 5_000],
      ['affiliation', 'acme', 'system:disk-watch', NOW + 5_000],
    ])
  })

  test('is sealed, until its tenant, its name, or it there is ended', async () => {
    const f = stand()
    for (const target of [
      { kind: 'tenant', tenant: 'acme', id: '' },
      { kind: 'subject', tenant: '', id: 'system:disk-watch' },
      { kind: 'affiliation', tenant: 'acme', id: 'system:disk-watch' },
    ] as const) {
      const raised = raise(f)
      if (!raised.ok) throw new Error(raised.code)
      await f.boundary.jobs.send({ ...job, identity: raised.identity })
      f.view.raise(target, 'reason:compromise', f.clock.now() + 1)
      await expect(f.boundary.jobs.send({ ...job, identity: raised.identity })).rejects.toMatchObject({
        denial: 'credential_revoked',
      })
      await f.clock.advance(1)
    }
  })

  test('needs a fresh view and a key in force, as all that is self-contained', () => {
    const f = stand()
    f.view.fresh = false
    expect(raise(f)).toMatchObject({ ok: false, code: 'view_not_fresh' })
    f.view.ringInForce = null
    expect(raise(f)).toMatchObject({ ok: false, code: 'key_not_in_force' })
  })
})

test('a schedule and a system of one name are two principals', () => {
  const f = stand()
  f.view.raise({ kind: 'subject', tenant: '', id: 'schedule:disk-watch' }, 'reason:compromise', NOW + 1)
  expect(f.boundary.schedule(TERMS).fire()).toMatchObject({ code: 'credential_revoked' })
  expect(raise(f).ok).toBe(true)
})

test('a delivery keeps the request id, address, correlation and trace it came with', async () => {
  const f = stand({ contextPolicy: { ip: 'full' } })
  const secret = 'a secret of enough characters'
  const body = Buffer.from('{}')
  const headers = {
    'x-github-delivery': 'one',
    'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
    'x-correlation-id': 'correlation-1',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  }
  const entry = f.boundary.webhook({
    ...{ provider: 'forge', tenant: 'acme', scopes: [], scheme: 'github' },
    secrets: [new Secret(secret)],
  })
  const delivery = { headers, body, id: 'request-7', ip: '192.0.2.9' }
  expect(await entry.receive(delivery, async (identity) => identity)).toMatchObject({
    result: {
      requestId: 'request-7',
      correlationId: 'correlation-1',
      ip: '192.0.2.9',
      trace: { traceId: '0af7651916cd43dd8448eb211c80319c' },
    },
  })
})
