import { createHmac } from 'node:crypto'
import { Secret } from '@countersign/kernel'
import { describe, expect, test } from 'vitest'
import { memoryReplayGuard, type ReplayGuard } from './replay.ts'
import { NOW, stand } from './testing.ts'
import type { Delivery, WebhookOptions } from './webhooks.ts'

const HOUR = 3_600_000
const hex = (key: string, ...parts: (string | Buffer)[]): string => {
  const mac = createHmac('sha256', key)
  for (const part of parts) mac.update(part)
  return mac.digest('hex')
}
const receive = async (given: Delivery, options: WebhookOptions, f = stand()) => {
  const answer = await f.boundary.webhook(options).receive(given, async (_identity, id) => id)
  return answer.ok ? (answer.first ? 'first' : 'repeated') : answer.code
}
const named = (over: Pick<WebhookOptions, 'provider' | 'secrets' | 'scheme'>): WebhookOptions => {
  return { tenant: 'acme', scopes: ['invoices:export'], ...over }
}
/** Header by header, as Node shows them. */
const delivery = (headers: Record<string, string | undefined>, body: Buffer | string): Delivery => ({
  headers: Object.fromEntries(
    Object.entries(headers).filter(([, value]) => value !== undefined),
  ) as Delivery['headers'],
  body: Buffer.from(body),
})

test('there is no other scheme', () => {
  for (const scheme of ['gitlab', 'constructor']) {
    const secrets = [new Secret('0123456789012345678901234')]
    const options = named({ provider: 'x', secrets, scheme: scheme as 'github' })
    expect(() => stand().boundary.webhook(options)).toThrow(
      expect.objectContaining({ code: 'BOUNDARY_OPTIONS_INVALID' }),
    )
  }
})

describe('GitHub', () => {
  // The values of docs.github.com, “Validating webhook deliveries”.
  const SECRET = "It's a Secret to Everybody"
  const BODY = 'Hello, World!'
  const SIGNATURE = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
  const GUID = '72d3162e-cc78-11e3-81ab-4c9367dc0958'
  const OPTIONS = named({ provider: 'github', scheme: 'github', secrets: [new Secret(SECRET)] })
  const HEADERS = { 'x-github-event': 'push', 'x-github-delivery': GUID, 'x-hub-signature-256': SIGNATURE }
  const given = (over: Record<string, string | undefined> = {}, body: Buffer | string = BODY) =>
    delivery({ ...HEADERS, ...over }, body)
  const signed = (body: Buffer | string, secret = SECRET) =>
    given({ 'x-hub-signature-256': `sha256=${hex(secret, Buffer.from(body))}` }, body)

  test('the documented delivery becomes an identity made when it came', async () => {
    const answer = await stand()
      .boundary.webhook(OPTIONS)
      .receive(given(), async (identity) => identity)
    expect(answer).toMatchObject({
      first: true,
      result: { sub: 'webhook:github', principal: 'webhook', credential: 'webhook_signature', scopeVersion: NOW },
    })
  })

  const SHA1 = `sha1=${createHmac('sha1', SECRET).update(BODY).digest('hex')}`
  test.each<[string, Delivery, string]>([
    ['another secret', signed(BODY, 'another secret of this length'), 'credential_invalid'],
    ['another body', given({}, 'Hello, World?'), 'credential_invalid'],
    ['bytes that are not text', signed(Buffer.from([0xff, 0xfe])), 'first'],
    [
      'other bytes that decode to the same',
      { ...signed(Buffer.from([0xff])), body: Buffer.from('\uFFFD') },
      'credential_invalid',
    ],
    ['an empty body', signed(''), 'first'],
    ['no signature', given({ 'x-hub-signature-256': undefined }), 'credential_missing'],
    [
      'only the older SHA-1',
      given({ 'x-hub-signature-256': undefined, 'x-hub-signature': SHA1 }),
      'credential_missing',
    ],
    ['SHA-1 in its place', given({ 'x-hub-signature-256': SHA1 }), 'credential_invalid'],
    ['SHA-1 under its name', given({ 'x-hub-signature-256': SHA1.replace('sha1', 'sha256') }), 'credential_invalid'],
    [
      'under the name of another digest',
      given({ 'x-hub-signature-256': SIGNATURE.replace('sha256', 'sha512') }),
      'credential_invalid',
    ],
    ['no prefix', given({ 'x-hub-signature-256': SIGNATURE.slice(7) }), 'credential_invalid'],
    ['an empty signature', given({ 'x-hub-signature-256': 'sha256=' }), 'credential_invalid'],
    ['half of it', given({ 'x-hub-signature-256': SIGNATURE.slice(0, 39) }), 'credential_invalid'],
    [
      'in capitals',
      given({ 'x-hub-signature-256': `sha256=${SIGNATURE.slice(7).toUpperCase()}` }),
      'credential_invalid',
    ],
    [
      'two headers, as Node joins them',
      given({ 'x-hub-signature-256': `${SIGNATURE}, ${SIGNATURE}` }),
      'credential_invalid',
    ],
    ['a newline behind it', given({ 'x-hub-signature-256': `${SIGNATURE}\n` }), 'credential_invalid'],
    ['no id', given({ 'x-github-delivery': undefined }), 'credential_missing'],
    ['an id that would break a log line', given({ 'x-github-delivery': 'a\nb' }), 'credential_invalid'],
    ['two ids', given({ 'x-github-delivery': `${GUID}, ${GUID}` }), 'credential_invalid'],
  ])('%s', async (_name, one, expected) => {
    expect(await receive(one, OPTIONS)).toBe(expected)
  })

  test('while a secret is being replaced either signs; one alone does not sign for another', async () => {
    const other = 'another secret of this length'
    const secrets = [new Secret(other), new Secret(SECRET)]
    for (const secret of [SECRET, other])
      expect(await receive(signed(BODY, secret), { ...OPTIONS, secrets })).toBe('first')
    expect(await receive(given(), { ...OPTIONS, secrets: [new Secret(other)] })).toBe('credential_invalid')
  })

  test.each(['', 'short', 'nineteen characters'])('%j is no secret', (secret) => {
    expect(() => stand().boundary.webhook({ ...OPTIONS, secrets: [new Secret(secret)] })).toThrow(
      expect.objectContaining({ code: 'BOUNDARY_OPTIONS_INVALID' }),
    )
  })

  test('its id is not signed: a captured delivery is the same one under any id, for three days', async () => {
    const f = stand()
    const memory = memoryReplayGuard(f.clock)
    let until = 0
    const replay: ReplayGuard = {
      claim: (id, upTo) => memory.claim(id, upTo),
      complete: (id, upTo) => {
        until = upTo
        memory.complete(id, upTo)
      },
      release: (id) => memory.release(id),
    }
    expect(await receive(given(), { ...OPTIONS, replay }, f)).toBe('first')
    expect(await receive(given({ 'x-github-delivery': 'another-id' }), { ...OPTIONS, replay }, f)).toBe('repeated')
    await f.clock.advance(HOUR)
    expect(await receive(given({ 'x-github-delivery': 'a-third-id' }), { ...OPTIONS, replay }, f)).toBe('repeated')
    expect(until).toBe(NOW + 72 * HOUR)
  })

  test('what is made of a delivery is the same work, however late and under whatever id it comes', async () => {
    const idOf = async (id: string) => {
      const entry = stand().boundary.webhook(OPTIONS)
      const answer = await entry.receive(
        given({ 'x-github-delivery': id }),
        async (_identity, deliveryId) => deliveryId,
      )
      return answer.ok && answer.first ? answer.result : 'none'
    }
    expect(await idOf(GUID)).toMatch(/^[0-9a-f]{64}$/)
    expect(await idOf('another-id')).toBe(await idOf(GUID))
  })

  test('an owner who trusts the id gets what comes again byte for byte, once per id', async () => {
    const f = stand()
    const options = { ...OPTIONS, unsignedId: 'trusted' } as const
    expect(await receive(given(), options, f)).toBe('first')
    expect(await receive(given({ 'x-github-delivery': 'another-id' }), options, f)).toBe('first')
    expect(await receive(given(), options, f)).toBe('repeated')
  })

  test('work that hangs holds its delivery for the tolerance, not for three days', async () => {
    const f = stand()
    void f.boundary.webhook(OPTIONS).receive(given(), () => new Promise(() => {}))
    await f.clock.advance(300_000)
    expect(await receive(given(), OPTIONS, f)).toBe('webhook_in_progress')
    await f.clock.advance(1)
    expect(await receive(given(), OPTIONS, f)).toBe('first')
  })
})

describe('Stripe', () => {
  const SECRET = 'whsec_0123456789abcdefghijklmnopqrstuv'
  const OTHER = 'whsec_vutsrqponmlkjihgfedcba9876543210'
  const BODY = '{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","object":"event","type":"invoice.paid"}'
  const OPTIONS = named({ provider: 'stripe', scheme: 'stripe', secrets: [new Secret(SECRET)] })
  const T = NOW / 1000
  const v1 = (o: { t?: number | string; body?: Buffer | string; secret?: string } = {}) =>
    hex(o.secret ?? SECRET, `${o.t ?? T}.`, Buffer.from(o.body ?? BODY))
  const given = (header: string | undefined, body: Buffer | string = BODY) =>
    delivery({ 'stripe-signature': header }, body)
  const signed = (body: Buffer | string) => given(`t=${T},v1=${v1({ body })}`, body)

  test('a delivery becomes an identity made when it was signed; its id is the event’s', async () => {
    const t = T - 60
    const entry = stand().boundary.webhook(OPTIONS)
    const answer = await entry.receive(given(`t=${t},v1=${v1({ t })}`), async (identity, id) => ({ identity, id }))
    expect(answer).toMatchObject({
      result: { id: 'evt_1NG8Du2eZvKYlo2CUI79vXWy', identity: { sub: 'webhook:stripe', scopeVersion: NOW - 60_000 } },
    })
  })

  test('what Stripe’s own library signs is taken', async () => {
    // stripe 23.1.0, `webhooks.generateTestHeaderString` of body, secret and time above.
    const signature = '46d2ec52b3d1d5d1ca26abed50beb85526ee40ce9c979946bf918c065c436933'
    expect(await receive(given(`t=1800000000,v1=${signature}`), OPTIONS)).toBe('first')
  })

  const ZERO = '0'.repeat(64)
  test.each<[string, Delivery, string]>([
    ['no header', given(undefined), 'credential_missing'],
    ['an empty header', given(''), 'credential_invalid'],
    ['another body', given(`t=${T},v1=${v1()}`, BODY.replace('paid', 'void')), 'credential_invalid'],
    ['another secret', given(`t=${T},v1=${v1({ secret: OTHER })}`), 'credential_invalid'],
    ['the key without its prefix', given(`t=${T},v1=${v1({ secret: SECRET.slice(6) })}`), 'credential_invalid'],
    ['a time that was not signed', given(`t=${T + 1},v1=${v1()}`), 'credential_invalid'],
    ['the good one behind a bad one', given(`t=${T},v1=${ZERO},v1=${v1()}`), 'first'],
    ['the good one behind eight', given(`t=${T}${`,v1=${ZERO}`.repeat(8)},v1=${v1()}`), 'credential_invalid'],
    ['v0 beside it', given(`t=${T},v1=${v1()},v0=${ZERO}`), 'first'],
    ['v0 alone', given(`t=${T},v0=${v1()}`), 'credential_invalid'],
    ['a later scheme alone', given(`t=${T},v2=${v1()}`), 'credential_invalid'],
    ['no time', given(`v1=${v1()}`), 'credential_invalid'],
    ['two times', given(`t=${T},t=${T},v1=${v1()}`), 'credential_invalid'],
    ['two headers, as Node joins them', given(`t=${T},v1=${v1()}, t=${T},v1=${ZERO}`), 'credential_invalid'],
    ['two headers without time in the second', given(`t=${T},v1=${ZERO}, v1=${v1()}`), 'credential_invalid'],
    ['a time with letters', given(`t=${T}x,v1=${v1({ t: `${T}x` })}`), 'credential_invalid'],
    ['a time with a sign', given(`t=+${T},v1=${v1({ t: `+${T}` })}`), 'credential_invalid'],
    [
      'a time with a fraction, as if the body began earlier',
      given(`t=${T}.5,v1=${v1({ t: `${T}.5` })}`),
      'credential_invalid',
    ],
    ['an empty signature', given(`t=${T},v1=`), 'credential_invalid'],
    ['half a signature', given(`t=${T},v1=${v1().slice(0, 32)}`), 'credential_invalid'],
    ['a signature in capitals', given(`t=${T},v1=${v1().toUpperCase()}`), 'credential_invalid'],
    ['a part without value', given(`t=${T},v1,v1=${v1()}`), 'credential_invalid'],
    ['a header without end', given(`t=${T},v1=${v1()},${'x=1,'.repeat(10_000)}x=1`), 'credential_invalid'],
    ['just too old', given(`t=${T - 301},v1=${v1({ t: T - 301 })}`), 'credential_expired'],
    ['just too new', given(`t=${T + 301},v1=${v1({ t: T + 301 })}`), 'credential_expired'],
    ['just old enough', given(`t=${T - 300},v1=${v1({ t: T - 300 })}`), 'first'],
    ['a body that is no JSON', signed('evt_1'), 'credential_invalid'],
    ['a body without id', signed('{"object":"event"}'), 'credential_invalid'],
    ['an id that is no text', signed('{"id":{"toString":1}}'), 'credential_invalid'],
    ['an id that would break a log line', signed('{"id":"evt\\n1"}'), 'credential_invalid'],
    ['a body that is nothing', signed('null'), 'credential_invalid'],
    ['bytes that are not text', signed(Buffer.from([0x7b, 0xff])), 'credential_invalid'],
  ])('%s', async (_name, one, expected) => {
    expect(await receive(one, OPTIONS)).toBe(expected)
  })

  test('while a secret is being replaced it signs with both, and either is enough', async () => {
    const both = given(`t=${T},v1=${v1({ secret: OTHER })},v1=${v1()}`)
    for (const secret of [SECRET, OTHER]) {
      expect(await receive(both, { ...OPTIONS, secrets: [new Secret(secret)] })).toBe('first')
    }
    expect(
      await receive(given(`t=${T},v1=${v1({ secret: OTHER })}`), {
        ...OPTIONS,
        secrets: [new Secret(OTHER), new Secret(SECRET)],
      }),
    ).toBe('first')
  })

  test.each(['', 'whsec_', 'whsec_short', '0123456789abcdefghijklmnopqrstuv'])('%j is no secret', (secret) => {
    expect(() => stand().boundary.webhook({ ...OPTIONS, secrets: [new Secret(secret)] })).toThrow(
      expect.objectContaining({ code: 'BOUNDARY_OPTIONS_INVALID' }),
    )
  })

  test('a retry is signed anew and is the same event; one that comes late too, when that is remembered', async () => {
    const f = stand()
    const later = (): Delivery => {
      const t = f.clock.now() / 1000
      return given(`t=${t},v1=${v1({ t })}`)
    }
    const options = { ...OPTIONS, rememberMs: HOUR }
    expect(await receive(later(), options, f)).toBe('first')
    await f.clock.advance(300_000)
    expect(await receive(later(), options, f)).toBe('repeated')
    await f.clock.advance(HOUR - 300_000)
    expect(await receive(later(), options, f)).toBe('repeated')
    await f.clock.advance(1000)
    expect(await receive(later(), options, f)).toBe('first')
  })
})
