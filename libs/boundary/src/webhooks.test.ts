import { Secret } from '@countersign/kernel'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { memoryReplayGuard, replayGuardBySender } from './replay.ts'
import { NOW, stand } from './testing.ts'
import type { Delivery, WebhookOptions } from './webhooks.ts'

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const OTHER = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'
const BODY = Buffer.from('{"invoice":"inv-1"}')
const OPTIONS: WebhookOptions = {
  provider: 'ledger',
  tenant: 'acme',
  secrets: [new Secret(SECRET)],
  scopes: ['invoices:export'],
}

function delivery(
  over: { id?: string; at?: number; body?: Buffer; secret?: string; headers?: Record<string, string | undefined> } = {},
): Delivery {
  const { id = 'msg_1', at = NOW, body = BODY, secret = SECRET } = over
  const signature = new Webhook(secret).sign(id, new Date(at), body)
  const headers = {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at / 1000)),
    'webhook-signature': signature,
  }
  return { headers: { ...headers, ...over.headers } as Record<string, string>, body }
}

const receive = async (given: Delivery, options: Partial<WebhookOptions> = {}, f = stand()) => {
  const answer = await f.boundary.webhook({ ...OPTIONS, ...options }).receive(given, async (identity) => identity)
  return answer.ok ? (answer.first ? 'first' : 'repeated') : answer.code
}

test('a signed delivery becomes an identity whose credential is this delivery', async () => {
  const f = stand()
  const at = NOW - 60_000
  const answer = await f.boundary.webhook(OPTIONS).receive(delivery({ at }), async (identity, id) => ({ identity, id }))
  expect(answer).toMatchObject({
    ok: true,
    first: true,
    result: {
      id: 'msg_1',
      identity: {
        sub: 'webhook:ledger',
        tenant: 'acme',
        principal: 'webhook',
        credential: 'webhook_signature',
        scopes: ['invoices:export'],
        scopeVersion: at,
        session: null,
        expiresAt: null,
      },
    },
  })
  expect(JSON.stringify(answer)).not.toContain(SECRET)
})

describe('signatures', () => {
  test.each<[string, Delivery, string]>([
    ['good', delivery(), 'first'],
    ['another secret', delivery({ secret: OTHER }), 'credential_invalid'],
    ['another body', { ...delivery(), body: Buffer.from('{}') }, 'credential_invalid'],
    [
      'a body that is not text but decodes to the same',
      { ...delivery({ body: Buffer.from('\uFFFD') }), body: Buffer.from([0xff]) },
      'credential_invalid',
    ],
    ['another id', delivery({ headers: { 'webhook-id': 'msg_2' } }), 'credential_invalid'],
    ['another time', delivery({ headers: { 'webhook-timestamp': String(NOW / 1000 + 1) } }), 'credential_invalid'],
    ['no id', delivery({ headers: { 'webhook-id': undefined } }), 'credential_missing'],
    ['no time', delivery({ headers: { 'webhook-timestamp': undefined } }), 'credential_missing'],
    ['no signature', delivery({ headers: { 'webhook-signature': undefined } }), 'credential_missing'],
    ['an id with a full stop, which another split could share', delivery({ id: 'msg.1' }), 'credential_invalid'],
    [
      'a time with letters behind it',
      delivery({ headers: { 'webhook-timestamp': `${NOW / 1000}x` } }),
      'credential_invalid',
    ],
    [
      'a signature of another version',
      delivery({ headers: { 'webhook-signature': 'v1a,AAAA' } }),
      'credential_invalid',
    ],
    [
      'the good one behind a bad one',
      delivery({ headers: { 'webhook-signature': `v1,AAAA ${delivery().headers['webhook-signature']}` } }),
      'first',
    ],
    [
      'the good one behind a hundred',
      delivery({
        headers: { 'webhook-signature': `${'v1,AAAA '.repeat(100)}${delivery().headers['webhook-signature']}` },
      }),
      'credential_invalid',
    ],
    ['just too old', delivery({ at: NOW - 301_000 }), 'credential_expired'],
    ['just too new', delivery({ at: NOW + 301_000 }), 'credential_expired'],
    ['just old enough', delivery({ at: NOW - 300_000 }), 'first'],
  ])('%s', async (_name, given, expected) => {
    expect(await receive(given)).toBe(expected)
  })

  test('while a secret is being replaced either signs', async () => {
    const secrets = [new Secret(OTHER), new Secret(SECRET)]
    expect(await receive(delivery(), { secrets })).toBe('first')
    expect(await receive(delivery({ secret: OTHER }), { secrets })).toBe('first')
  })

  test.each(['', 'whsec_', 'whsec_c2hvcnQ=', '%%%'])('%j is no secret', (secret) => {
    expect(() => stand().boundary.webhook({ ...OPTIONS, secrets: [new Secret(secret)] })).toThrow(
      expect.objectContaining({ code: 'BOUNDARY_OPTIONS_INVALID' }),
    )
  })
})

describe('repetitions', () => {
  test('run once, for as long as they would be accepted', async () => {
    const f = stand()
    const entry = f.boundary.webhook(OPTIONS)
    let runs = 0
    const work = async () => ++runs
    expect(await entry.receive(delivery(), work)).toEqual({ ok: true, first: true, result: 1 })
    for (let i = 0; i < 3; i++) {
      expect(await entry.receive(delivery(), work)).toEqual({ ok: true, first: false })
      await f.clock.advance(100_000)
    }
    expect(await entry.receive(delivery(), work)).toEqual({ ok: true, first: false })
    await f.clock.advance(1)
    expect(await entry.receive(delivery(), work)).toMatchObject({ ok: false, code: 'credential_expired' })
    expect(runs).toBe(1)
  })

  test('what failed may be repeated, what is under way may not', async () => {
    const entry = stand().boundary.webhook(OPTIONS)
    let fail = (_error: Error): void => {}
    const first = entry.receive(
      delivery(),
      () =>
        new Promise((_resolve, reject) => {
          fail = reject
        }),
    )
    await Promise.resolve()
    await Promise.resolve()
    expect(await entry.receive(delivery(), async () => 0)).toMatchObject({ ok: false, code: 'webhook_in_progress' })
    fail(new Error('log away'))
    await expect(first).rejects.toThrow('log away')
    expect(await entry.receive(delivery(), async () => 7)).toEqual({ ok: true, first: true, result: 7 })
  })

  test('work that never ends holds its delivery no longer than that would be accepted', async () => {
    const f = stand()
    const entry = f.boundary.webhook(OPTIONS)
    void entry.receive(delivery(), () => new Promise(() => {}))
    await f.clock.advance(300_000)
    const again = (): Delivery => delivery({ at: f.clock.now() })
    expect(await entry.receive(again(), async () => 0)).toMatchObject({ ok: false, code: 'webhook_in_progress' })
    await f.clock.advance(1)
    expect(await entry.receive(again(), async () => 7)).toEqual({ ok: true, first: true, result: 7 })
  })

  test('another sender may use the same id, also for another tenant at the same provider', async () => {
    const f = stand()
    expect(await receive(delivery(), {}, f)).toBe('first')
    expect(await receive(delivery(), { provider: 'other' }, f)).toBe('first')
    expect(await receive(delivery(), { tenant: 'beta' }, f)).toBe('first')
    expect(await receive(delivery(), { tenant: 'beta' }, f)).toBe('repeated')
  })

  test('nothing is forgotten early to make room', async () => {
    const f = stand()
    const replay = memoryReplayGuard(f.clock, 2)
    expect(await receive(delivery({ id: 'a' }), { replay }, f)).toBe('first')
    expect(await receive(delivery({ id: 'b' }), { replay }, f)).toBe('first')
    expect(await receive(delivery({ id: 'c' }), { replay }, f)).toBe('webhook_overloaded')
    expect(await receive(delivery({ id: 'a' }), { replay }, f)).toBe('repeated')
    await f.clock.advance(300_001)
    expect(await receive(delivery({ id: 'c', at: f.clock.now() }), { replay }, f)).toBe('first')
  })

  test('what one sender fills up refuses no other, also one of the same name for another tenant', () => {
    const guardOf = replayGuardBySender(stand().clock, 2)
    const claim = (provider: string, tenant: string, id: string) => guardOf(provider, tenant).claim(id, NOW)
    expect(['a', 'b', 'c'].map((id) => claim('busy', 'acme', id))).toEqual(['first', 'first', 'full'])
    expect(claim('busy', 'beta', 'c')).toBe('first')
    expect(claim('quiet', 'acme', 'c')).toBe('first')
    expect(claim('busy', 'acme', 'a')).toBe('working')
  })

  test('a refused delivery is not remembered', async () => {
    const f = stand()
    f.view.fresh = false
    expect(await receive(delivery(), {}, f)).toBe('view_not_fresh')
    f.view.fresh = true
    expect(await receive(delivery(), {}, f)).toBe('first')
  })
})

test('a sender whose clock is ahead gets no version in the future', async () => {
  const f = stand()
  const answer = await f.boundary
    .webhook(OPTIONS)
    .receive(delivery({ at: NOW + 200_000 }), async (identity) => identity.targets.map((target) => target.version))
  expect(answer).toMatchObject({ result: [NOW, NOW, NOW, NOW] })
})

test('a delivery from before its sender was ended is refused', async () => {
  const f = stand()
  f.view.raise({ kind: 'subject', tenant: '', id: 'webhook:ledger' }, 'reason:compromise', NOW)
  expect(await receive(delivery({ at: NOW - 1000 }), {}, f)).toBe('credential_revoked')
  expect(await receive(delivery({ at: NOW, id: 'later' }), {}, f)).toBe('first')
})
