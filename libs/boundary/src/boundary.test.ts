import { testAuthority } from '@countersign/envelope/testing'
import { target } from '@countersign/revocation'
import { describe, expect, test } from 'vitest'
import { eventIdOf } from './boundary.ts'
import type { BoundaryIdentity } from './identity.ts'
import { COOKIE, cookieRequest, NOW, person, requestOf, stand } from './testing.ts'

const codeOf = async (f: ReturnType<typeof stand>, request = cookieRequest): Promise<string> => {
  const admission = await f.boundary.admit(request)
  return admission.ok ? 'ok' : admission.code
}

describe('a session cookie', () => {
  test('becomes an identity with handles, and nothing of the cookie', async () => {
    const admission = await stand().boundary.admit(cookieRequest)
    expect(admission).toMatchObject({
      ok: true,
      identity: {
        sub: 'u_1',
        scopes: ['invoices:export', 'invoices:read'],
        requestId: 'request-1',
        ip: '192.0.2.0/24',
        userAgent: null,
      },
    })
    expect(JSON.stringify(admission)).not.toContain(COOKIE)
    const { identity } = admission as { identity: BoundaryIdentity }
    expect(identity.correlationId).toBe(identity.txn)
    expect(identity.targets.at(-1)).toEqual({ kind: 'transaction', tenant: '', id: identity.txn, version: NOW })
  })

  test('its identity cannot be changed', async () => {
    const { identity } = (await stand().boundary.admit(cookieRequest)) as { identity: BoundaryIdentity }
    const open = identity as unknown as { sub: string; scopes: string[]; targets: { version: number }[] }
    expect(() => open.scopes.push('admin')).toThrow(TypeError)
    expect(() => Object.assign(open, { sub: 'u_2' })).toThrow(TypeError)
    expect(() => Object.assign(open.targets[0] as object, { version: 9e15 })).toThrow(TypeError)
  })

  test.each<[string, readonly (readonly [string, string])[], string]>([
    ['none', [], 'credential_missing'],
    ['another cookie', [['Cookie', `session=${COOKIE}`]], 'credential_missing'],
    ['a cookie nobody knows', [['Cookie', '__Host-session=unknown']], 'credential_invalid'],
    ['the name twice', [['Cookie', `__Host-session=${COOKIE}; __Host-session=x`]], 'credential_ambiguous'],
    [
      'two Cookie headers',
      [
        ['Cookie', `__Host-session=${COOKIE}`],
        ['cookie', '__Host-session=x'],
      ],
      'credential_ambiguous',
    ],
    ['an empty value', [['Cookie', '__Host-session=']], 'credential_ambiguous'],
    ['control characters', [['Cookie', '__Host-session=a\u0001b']], 'credential_ambiguous'],
    ['600 characters', [['Cookie', `__Host-session=${'a'.repeat(600)}`]], 'credential_ambiguous'],
    [
      'cookie and bearer',
      [
        ['Cookie', `__Host-session=${COOKIE}`],
        ['Authorization', 'Bearer a.b.c'],
      ],
      'credential_ambiguous',
    ],
    [
      'two bearers',
      [
        ['Authorization', 'Bearer a.b.c'],
        ['authorization', 'Bearer d.e.f'],
      ],
      'credential_ambiguous',
    ],
    ['basic', [['Authorization', 'Basic YTpi']], 'credential_invalid'],
    ['a bearer of no issuer', [['Authorization', 'Bearer a.b.c']], 'credential_invalid'],
    [
      'from another site',
      [
        ['Cookie', `__Host-session=${COOKIE}`],
        ['Sec-Fetch-Site', 'cross-site'],
      ],
      'origin_refused',
    ],
    [
      'from a sibling site',
      [
        ['Cookie', `__Host-session=${COOKIE}`],
        ['Sec-Fetch-Site', 'same-site'],
      ],
      'origin_refused',
    ],
    [
      'from another origin',
      [
        ['Cookie', `__Host-session=${COOKIE}`],
        ['Origin', 'https://evil.example'],
        ['Host', 'api.example'],
      ],
      'origin_refused',
    ],
    [
      'from a null origin',
      [
        ['Cookie', `__Host-session=${COOKIE}`],
        ['Origin', 'null'],
        ['Host', 'api.example'],
      ],
      'origin_refused',
    ],
    [
      'from this origin',
      [
        ['Cookie', `__Host-session=${COOKIE}`],
        ['Origin', 'https://api.example'],
        ['Host', 'api.example'],
      ],
      'ok',
    ],
    [
      'from this site',
      [
        ['Cookie', `__Host-session=${COOKIE}`],
        ['Sec-Fetch-Site', 'same-origin'],
      ],
      'ok',
    ],
  ])('%s', async (_name, headers, expected) => {
    expect(await codeOf(stand(), requestOf(headers))).toBe(expected)
  })

  test('reading from another site is the browser’s business', async () => {
    expect(
      await codeOf(
        stand(),
        requestOf(
          [
            ['Cookie', `__Host-session=${COOKIE}`],
            ['Sec-Fetch-Site', 'cross-site'],
          ],
          'GET',
        ),
      ),
    ).toBe('ok')
  })

  test('identity away is said, and is no refusal', async () => {
    const f = stand()
    f.answer = { ok: false, code: 'sessions_unavailable' }
    expect(await codeOf(f)).toBe('sessions_unavailable')
  })
})

describe('the boundary judges first', () => {
  test.each(person().targets.map((t) => [t.kind, t] as const))(
    'a floor on its %s refuses it',
    async (_kind, target) => {
      const f = stand()
      f.view.raise(target, 'reason:logout', target.version)
      expect(await codeOf(f)).toBe('ok')
      f.view.raise(target, 'reason:logout', target.version + 1)
      expect(await codeOf(f)).toBe('credential_revoked')
    },
  )

  test('an effect nobody here knows refuses it too', async () => {
    const f = stand()
    f.view.raise(target('session', 's_1'), 'reason:quantum', NOW)
    expect(await codeOf(f)).toBe('credential_revoked')
  })

  test('a removed scope is taken off, unless the scopes were computed after it', async () => {
    const f = stand()
    f.view.raise({ kind: 'affiliation', tenant: 'acme', id: 'u_1' }, 'scope:invoices:export', NOW - 30_000)
    expect(await f.boundary.admit(cookieRequest)).toMatchObject({ identity: { scopes: ['invoices:read'] } })
    f.answer = { ok: true, identity: person({ scopeVersion: NOW - 30_000 }) }
    expect(await f.boundary.admit(cookieRequest)).toMatchObject({
      identity: { scopes: ['invoices:export', 'invoices:read'] },
    })
  })

  test('what has expired is refused at the very millisecond', async () => {
    const f = stand()
    f.answer = { ok: true, identity: person({ expiresAt: NOW + 1 }) }
    expect(await codeOf(f)).toBe('ok')
    f.clock.step(1)
    expect(await codeOf(f)).toBe('credential_expired')
  })

  test('a resolved identity needs no fresh view, a self-contained one does', async () => {
    const f = stand()
    const nightly = f.boundary.schedule({ name: 'nightly', tenant: 'acme', scopes: ['reports:build'] })
    f.view.ageMs = f.authority.bundle.max_staleness_ms
    expect(nightly.fire().ok).toBe(true)
    f.view.ageMs += 1
    expect(nightly.fire()).toMatchObject({ ok: false, code: 'view_not_fresh' })
    f.view.fresh = false
    expect(nightly.fire()).toMatchObject({ ok: false, code: 'view_not_fresh' })
    f.view.ageMs = Number.NaN
    f.view.fresh = true
    expect(nightly.fire()).toMatchObject({ ok: false, code: 'view_not_fresh' })
    expect(await codeOf(f)).toBe('ok')
    expect(f.boundary.notReady()).toEqual(['view_not_fresh'])
  })
})

describe('its key', () => {
  const withKey = (change: object, bundle: object = {}) => {
    const authority = testAuthority(1, (grant) => (grant.use === 'envelope' ? { ...grant, ...change } : grant))
    const f = stand({}, authority)
    const Ring = authority.ring.constructor as new (bundle: object) => typeof authority.ring
    f.view.ringInForce = new Ring({ ...authority.bundle, ...bundle })
    return f
  }
  const old = NOW - 10_000

  test.each<[string, object, object, string]>([
    ['in the first bundle it may sign at once', { not_before: NOW }, { version: 1, issued_at: NOW }, 'ok'],
    [
      'new in a later bundle it waits for the largest staleness budget',
      { not_before: NOW },
      { version: 2, issued_at: NOW },
      'key_not_in_force',
    ],
    ['… to the millisecond', { not_before: old + 1 }, { version: 2, issued_at: old + 1 }, 'key_not_in_force'],
    ['… and then signs', { not_before: old }, { version: 2, issued_at: old }, 'ok'],
    ['carried over into a renewed bundle it goes on', { not_before: old - 1 }, { version: 9, issued_at: NOW }, 'ok'],
    ['not yet begun', { not_before: NOW + 1 }, { version: 1 }, 'key_not_in_force'],
    ['ended', { not_after: NOW }, { version: 1 }, 'key_not_in_force'],
    ['granted for deriving only', { use: 'derive' }, { version: 1 }, 'key_not_in_force'],
  ])('%s', async (_name, change, bundle, expected) => {
    expect(await codeOf(withKey(change, bundle))).toBe(expected)
  })

  test('without any bundle nothing is let in', async () => {
    const f = stand()
    f.view.ringInForce = null
    expect(await codeOf(f)).toBe('key_not_in_force')
    expect(f.boundary.notReady()).toEqual(['key_not_in_force'])
  })
})

test('correlation and trace are taken over when well-formed, else made', async () => {
  const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const cookie = ['Cookie', `__Host-session=${COOKIE}`] as const
  const good = await stand().boundary.admit(
    requestOf([cookie, ['X-Correlation-Id', 'order-4711'], ['Traceparent', trace]]),
  )
  expect(good).toMatchObject({
    identity: { correlationId: 'order-4711', trace: { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', sampled: true } },
  })
  const bad = await stand().boundary.admit(requestOf([cookie, ['X-Correlation-Id', 'x\ny'], ['Traceparent', 'zz']]))
  expect(bad).toMatchObject({ identity: { correlationId: expect.stringMatching(/^txn_/), trace: { sampled: false } } })
})

test('event ids made of parts differ when any part does, and however the parts are cut', () => {
  expect(eventIdOf('a', 'b')).toHaveLength(16)
  expect(eventIdOf('a', 'b')).toEqual(eventIdOf('a', 'b'))
  expect(eventIdOf('ab')).not.toEqual(eventIdOf('a', 'b'))
  expect(eventIdOf('a', '')).not.toEqual(eventIdOf('a'))
})

test('a contradictory composition is refused', () => {
  expect(() => stand({ maxEnvelopeLifeMs: 0 })).toThrow(expect.objectContaining({ code: 'BOUNDARY_OPTIONS_INVALID' }))
  expect(() => stand({ contextPolicy: { ip: 'hashed' } })).toThrow(
    expect.objectContaining({ code: 'BOUNDARY_OPTIONS_INVALID' }),
  )
})

describe('a credential that came otherwise', () => {
  test('is judged as one in a request is', async () => {
    const here = stand()
    const context = { requestId: 'job-7', correlationId: 'batch-2026-11', ip: '192.0.2.7', userAgent: 'cli/1' }
    expect(await here.boundary.present({ cookie: COOKIE }, context)).toMatchObject({
      ok: true,
      identity: { sub: 'u_1', requestId: 'job-7', correlationId: 'batch-2026-11', ip: '192.0.2.0/24', userAgent: null },
    })
    here.view.raise({ kind: 'session', tenant: '', id: 's_1' }, 'reason:logout', NOW)
    expect(await here.boundary.present({ cookie: COOKIE })).toMatchObject({ code: 'credential_revoked' })
  })

  test.each([
    [{ cookie: 'a b' }, 'form'],
    [{ cookie: '' }, 'form'],
    [{ cookie: 'x'.repeat(513) }, 'form'],
    [{ bearer: '' }, 'form'],
    [{ bearer: COOKIE }, 'form'],
    [{ bearer: 'rt_fam_x.1.y' }, 'no_refresh'],
    [{ txnToken: 'e30.e30.e30' }, 'no_txn_token'],
  ])('%j is asked about nowhere', async (given, detail) => {
    const sessions = { resolve: () => Promise.reject(new Error('asked')) }
    expect(await stand({ sessions }).boundary.present(given)).toMatchObject({ code: 'credential_invalid', detail })
  })
})
