import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { FakeClock } from '@countersign/kernel/testing'
import { describe, expect, test } from 'vitest'
import type { BoundaryOptions } from './boundary.ts'
import { httpIntrospection, type TokenResolver } from './introspection.ts'
import type { OwnIssuerConfig } from './issuers.ts'
import { Remembered } from './remembered.ts'
import type { SessionResolver } from './sessions.ts'
import { cookieRequest, NOW, OWN_CLAIMS, person, requestOf, type Stand, stand } from './testing.ts'

type Answer = Awaited<ReturnType<SessionResolver['resolve']>>
const INACTIVE: Answer = { ok: false, code: 'credential_invalid' }

/** A source that answers these in turn, and the last of them for ever. */
function source(...answers: (Answer | Promise<Answer>)[]) {
  const asked: string[] = []
  const resolve: TokenResolver['resolve'] = async (value) => {
    asked.push(value)
    return (await (answers.length > 1 ? answers.shift() : answers[0])) as Answer
  }
  return { asked, resolve }
}
const good = (over: Parameters<typeof person>[0] = {}): Answer => ({ ok: true, identity: person(over) })
const bearer = (token: string) => requestOf([['Authorization', `Bearer ${token}`]])
const codes = async (here: Stand, ...requests: Parameters<Stand['boundary']['admit']>) => {
  const admission = await here.boundary.admit(...requests)
  return admission.ok ? 'ok' : admission.code
}

describe('an answer that is remembered', () => {
  const remembering = (over: Partial<BoundaryOptions>) => stand({ remember: {}, ...over })

  test('is asked for once, and makes each request an identity of its own', async () => {
    const { asked, resolve } = source(good())
    const here = remembering({ sessions: { resolve } })
    const [first, second] = [await here.boundary.admit(cookieRequest), await here.boundary.admit(cookieRequest)]
    if (!first.ok || !second.ok) throw new Error('refused')
    expect(asked).toHaveLength(1)
    expect(first.identity.txn).not.toBe(second.identity.txn)
    expect(second.identity.targets).toContainEqual(expect.objectContaining({ id: second.identity.txn }))
    expect(second.identity.targets).not.toContainEqual(expect.objectContaining({ id: first.identity.txn }))
    expect({ ...second.identity, txn: '', targets: [], correlationId: '', trace: '' }).toEqual({
      ...first.identity,
      txn: '',
      targets: [],
      correlationId: '',
      trace: '',
    })
  })

  test('without the option what identity was asked about is asked about each time', async () => {
    const { asked, resolve } = source(good())
    const here = stand({ sessions: { resolve } })
    for (let i = 0; i < 3; i++) await here.boundary.admit(cookieRequest)
    expect(asked).toHaveLength(3)
  })

  test.each<[string, (here: Stand) => Promise<unknown> | unknown, Answer, string]>([
    ['its 30 seconds are over', (here) => here.clock.advance(30_000), INACTIVE, 'credential_invalid'],
    ['the credential has expired', (here) => here.clock.advance(20_000), INACTIVE, 'credential_invalid'],
    ['the wall clock passed its end', (here) => here.clock.step(20_000), INACTIVE, 'credential_invalid'],
    [
      'the session has been ended',
      (here) => here.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW),
      INACTIVE,
      'credential_invalid',
    ],
    ['the view is not fresh', (here) => Object.assign(here.view, { fresh: false }), INACTIVE, 'credential_invalid'],
    ['the view is too old', (here) => Object.assign(here.view, { ageMs: 10_001 }), INACTIVE, 'credential_invalid'],
    [
      'the view has not reached its position',
      (here) => Object.assign(here.view, { offset: 40 }),
      INACTIVE,
      'credential_invalid',
    ],
    ['there is no bundle', (here) => Object.assign(here.view, { ringInForce: null }), good(), 'key_not_in_force'],
  ])('does not count when %s: identity is asked again', async (_, change, then, code) => {
    const { asked, resolve } = source(good({ expiresAt: NOW + 20_000 }), then)
    const here = remembering({ sessions: { resolve } })
    expect(await codes(here, cookieRequest)).toBe('ok')
    expect([await codes(here, cookieRequest), asked.length]).toEqual(['ok', 1])
    await change(here)
    expect(await codes(here, cookieRequest)).toBe(code)
    expect(asked).toHaveLength(2)
  })

  test('tells whose it was when its source no longer does', async () => {
    const { resolve } = source(good(), INACTIVE)
    const here = remembering({ sessions: { resolve } })
    await here.boundary.admit(cookieRequest)
    here.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW)
    expect(await here.boundary.admit(cookieRequest)).toMatchObject({
      code: 'credential_invalid',
      of: { sub: 'u_1', session: 's_1' },
    })
    expect(await here.boundary.admit(cookieRequest)).not.toHaveProperty('of')
  })

  test('that lost a scope is asked for again: there may be a newer one', async () => {
    const { asked, resolve } = source(good(), good({ scopes: ['invoices:read'], scopeVersion: NOW }))
    const here = remembering({ sessions: { resolve } })
    await here.boundary.admit(cookieRequest)
    here.view.raise({ kind: 'affiliation', tenant: 'acme', id: 'u_1' }, 'scope:invoices:export', NOW)
    for (let i = 0; i < 2; i++) {
      expect(await here.boundary.admit(cookieRequest)).toMatchObject({ identity: { scopes: ['invoices:read'] } })
    }
    expect(asked).toHaveLength(2)
  })

  test('has its work judged by the view from then on, however short ago it was given', async () => {
    const { resolve } = source(good())
    const here = remembering({ sessions: { resolve } })
    await here.boundary.admit(cookieRequest)
    const admission = await here.boundary.admit(cookieRequest)
    if (!admission.ok) throw new Error(admission.code)
    here.view.fresh = false
    expect(here.boundary.demand(admission.identity, {})).toMatchObject({ code: 'view_not_fresh' })
  })

  test.each(['credential_invalid', 'credential_revoked', 'sessions_unavailable'] as const)(
    'is never a refusal: %s is asked about each time',
    async (code) => {
      const { asked, resolve } = source({ ok: false, code }, { ok: false, code }, good())
      const here = remembering({ sessions: { resolve } })
      expect([await codes(here, cookieRequest), await codes(here, cookieRequest)]).toEqual([code, code])
      expect([await codes(here, cookieRequest), asked.length]).toEqual(['ok', 3])
    },
  )

  test('cannot be changed by whoever gave it, or by a handler', async () => {
    const answer = good() as { identity: { scopes: string[] } } & Answer
    const { resolve } = source(answer)
    const here = remembering({ sessions: { resolve } })
    const first = await here.boundary.admit(cookieRequest)
    answer.identity.scopes.push('admin')
    if (!first.ok) throw new Error(first.code)
    expect(() => (first.identity.targets as unknown[]).pop()).toThrow(TypeError)
    expect(() => ((first.identity.targets[0] as { id: string }).id = 'x')).toThrow(TypeError)
    expect(await here.boundary.admit(cookieRequest)).toMatchObject({
      identity: { scopes: ['invoices:export', 'invoices:read'] },
    })
  })

  test('is shared by requests that come while it is asked for, under the same conditions', async () => {
    let answer: (answer: Answer) => void = () => {}
    const slow = () =>
      new Promise<Answer>((resolve) => {
        answer = resolve
      })
    const { asked, resolve } = source(slow(), good())
    const here = remembering({ sessions: { resolve } })
    const many = Promise.all(Array.from({ length: 100 }, () => codes(here, cookieRequest)))
    await here.clock.advance(0)
    answer(good())
    expect(new Set(await many)).toEqual(new Set(['ok']))
    expect(asked).toHaveLength(1)

    const again = source(slow(), good())
    const behind = remembering({ sessions: { resolve: again.resolve } })
    behind.view.offset = 40
    const two = Promise.all([codes(behind, cookieRequest), codes(behind, cookieRequest)])
    await behind.clock.advance(0)
    answer(good())
    expect(await two).toEqual(['ok', 'ok'])
    expect(again.asked).toHaveLength(2)
  })

  test('that identity could not give is shared by those who wait for it', async () => {
    let answer: (answer: Answer) => void = () => {}
    const { asked, resolve } = source(
      new Promise<Answer>((settle) => {
        answer = settle
      }),
    )
    const here = remembering({ sessions: { resolve } })
    const many = Promise.all(Array.from({ length: 10 }, () => codes(here, cookieRequest)))
    await here.clock.advance(0)
    answer({ ok: false, code: 'sessions_unavailable' })
    expect(new Set(await many)).toEqual(new Set(['sessions_unavailable']))
    expect(asked).toHaveLength(1)
  })
})

test('CVE-2021-32701: a warm answer decides for no other scope, audience or tenant than it was given for', async () => {
  const token = `at_${'x'.repeat(43)}`
  const clock = new FakeClock(NOW)
  const secret = { reveal: () => 's' } as Parameters<typeof httpIntrospection>[0]['clientSecret']
  let asked = 0
  const members = { ...OWN_CLAIMS, active: true, token_type: 'Bearer', scope: 'invoices:read' }
  const introspection = (audience: string) =>
    httpIntrospection({
      endpoint: 'https://identity.example/introspect',
      issuer: OWN_CLAIMS.iss,
      audience,
      clientId: 'api',
      clientSecret: secret,
      clock,
      fetch: async () => {
        asked++
        return Response.json({ ...members, position: { log_id: 'log-1', offset: 41 } })
      },
    })
  const here = stand({ remember: {}, introspection: introspection('api') })
  for (let i = 0; i < 3; i++) {
    const admission = await here.boundary.admit(bearer(token))
    if (!admission.ok) throw new Error(admission.code)
    const { identity } = admission
    expect(here.boundary.demand(identity, { scopes: ['invoices:read'] })).toEqual({ ok: true })
    // Warm for what it may: not for what it may not, whichever is asked first.
    expect(here.boundary.demand(identity, { scopes: ['invoices:read', 'invoices:export'] })).toMatchObject({
      code: 'scope_missing',
      challenge: { scopes: ['invoices:read', 'invoices:export'] },
    })
    expect(here.boundary.demand(identity, { acr: ['mfa'] })).toMatchObject({ code: 'authentication_insufficient' })
    await expect(
      here.boundary.jobs.send({ topic: 'payments.run', value: {}, identity, scope: ['payments:run'] }),
    ).rejects.toThrowError(expect.objectContaining({ code: 'BOUNDARY_SCOPE_WIDENED' }))
    expect(identity.tenant).toBe('acme')
  }
  expect(asked).toBe(1)
  // Another audience is another boundary, with nothing in common.
  const other = stand({ remember: {}, introspection: introspection('billing') })
  expect(await other.boundary.admit(bearer(token))).toMatchObject({ detail: 'audience_mismatch' })
  // The same text as another kind of credential is another credential.
  const kinds = source(good(), INACTIVE)
  const cookies = stand({ remember: {}, sessions: { resolve: kinds.resolve }, introspection: introspection('api') })
  const asCookie = requestOf([['Cookie', `__Host-session=${token}`]])
  expect(await cookies.boundary.admit(asCookie)).toMatchObject({ identity: { credential: 'session_cookie' } })
  expect(await cookies.boundary.admit(bearer(token))).toMatchObject({ identity: { credential: 'opaque_token' } })
})

describe('a verified token', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  let found = 0
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k1' }
  const config: OwnIssuerConfig = {
    issuer: OWN_CLAIMS.iss,
    audience: 'api',
    algorithms: ['EdDSA'],
    typ: 'at+jwt',
    maxAgeS: 10,
    skewS: 0,
    keys: {
      async find() {
        found++
        return publicKey
      },
    },
    identifiers: 'own',
  }
  const token = (claims: object): string => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const input = `${part({ alg: 'EdDSA', kid: jwk.kid, typ: 'at+jwt' })}.${part(claims)}`
    return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`
  }

  test('is verified once, unless told otherwise', async () => {
    for (const [remember, times] of [
      [undefined, 1],
      [{}, 1],
      [false, 3],
    ] as const) {
      found = 0
      const here = stand({ issuers: [config], ...(remember !== undefined && { remember }) })
      for (let i = 0; i < 3; i++) expect(await codes(here, bearer(token(OWN_CLAIMS)))).toBe('ok')
      expect(found).toBe(times)
    }
  })

  test('is judged anew each time: by its age, its end, the window and the floors', async () => {
    const aged = stand({ issuers: [config] })
    const text = token(OWN_CLAIMS)
    expect(await codes(aged, bearer(text))).toBe('ok')
    await aged.clock.advance(9_999)
    expect(await codes(aged, bearer(text))).toBe('ok')
    await aged.clock.advance(2)
    expect(await codes(aged, bearer(text))).toBe('credential_invalid')
    const ended = stand({ issuers: [{ ...config, maxAgeS: 600 }] })
    const short = token({ ...OWN_CLAIMS, exp: NOW / 1000 + 5 })
    expect(await codes(ended, bearer(short))).toBe('ok')
    await ended.clock.advance(5_000)
    expect(await codes(ended, bearer(short))).toBe('credential_expired')
    const hit = stand({ issuers: [config] })
    expect(await codes(hit, bearer(text))).toBe('ok')
    hit.view.raise({ kind: 'token', tenant: '', id: 'tok_1' }, 'reason:compromise', NOW + 1)
    expect(await codes(hit, bearer(text))).toBe('credential_revoked')
    const stale = stand({ issuers: [config] })
    expect(await codes(stale, bearer(text))).toBe('ok')
    stale.view.fresh = false
    expect(await codes(stale, bearer(text))).toBe('view_not_fresh')
  })

  test('asked about instead, a JWT is one of identity’s answers', async () => {
    const { asked, resolve } = source(good({ credential: 'opaque_token' }))
    const here = stand({ issuers: [config], introspection: { resolve }, introspectJwts: true })
    found = 0
    for (let i = 0; i < 2; i++) expect(await codes(here, bearer(token(OWN_CLAIMS)))).toBe('ok')
    expect([asked.length, found]).toEqual([2, 0])
  })

  test('CVE-2026-35039: a million pairs of tokens that share whatever they can are told apart', () => {
    const memory = new Remembered(new FakeClock(NOW), { maxEntries: 10 })
    const base = token(OWN_CLAIMS)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const seen = new Map<string, string>()
    let pairs = 0
    const check = (kind: string, text: string): void => {
      const key = memory.keyOf(kind, text)
      const whose = `${kind} ${text}`
      const other = seen.get(key)
      if (other !== undefined && other !== whose) throw new Error(`${other} and ${whose} share ${key}`)
      // Every one of those before it is a pair with this one.
      if (other === undefined) pairs += seen.size
      seen.set(key, whose)
    }
    // Each differs from the first in one character, anywhere: header, claims, signature.
    for (let i = 0; i < base.length; i++) {
      const other = alphabet[(alphabet.indexOf(base[i] as string) + 1) % 64] as string
      check('jwt', base.slice(0, i) + other + base.slice(i + 1))
    }
    // The same header and signature, or the same claims, or all of the text under another kind.
    const [head = '', claims = '', signature = ''] = base.split('.')
    for (let i = 0; i < 500; i++) {
      const other = randomBytes(48).toString('base64url')
      for (const text of [`${head}.${claims}${other}.${signature}`, `${head}.${claims}.${other}`]) check('jwt', text)
    }
    for (const kind of ['jwt', 'cookie', 'opaque', 'api_session']) check(kind, base)
    check('jw', `t${base}`)
    expect(pairs).toBeGreaterThan(1_000_000)
  })
})

describe('what is kept', () => {
  const presented = (sub: string) => ({ identity: person({ sub }), at: NOW })

  test('is bounded: the oldest goes first, and what is kept anew is the youngest', () => {
    const memory = new Remembered(new FakeClock(NOW), { maxEntries: 2 })
    for (const key of ['a', 'b', 'a', 'c', 'c']) memory.keep(key, presented(key), Infinity)
    expect([memory.size, memory.find('a')?.identity.sub, memory.find('b'), memory.find('c')?.identity.sub]).toEqual([
      2,
      'a',
      undefined,
      'c',
    ])
  })

  test('is no part of the credential', () => {
    const memory = new Remembered(new FakeClock(NOW), {})
    expect(memory.keyOf('cookie', 'cookie-canary')).toMatch(/^[A-Za-z0-9+/]{43}=$/)
  })

  test('is gone with its time, by whichever clock is ahead', async () => {
    const clock = new FakeClock(NOW)
    const memory = new Remembered(clock, { maxAgeMs: 1000 })
    memory.keep('a', presented('a'), Infinity)
    clock.step(-60_000)
    await clock.advance(999)
    expect(memory.find('a')).toBeDefined()
    await clock.advance(1)
    expect([memory.find('a'), memory.size]).toEqual([undefined, 0])
  })
})
