import type { EnvelopeClaims } from '@countersign/schemas'
import { expect, test } from 'vitest'
import { bindEvent, derive, type EnvelopeFault, Opener, type OpenResult, seal } from './index.ts'
import { widenedField } from './narrowing.ts'
import { NOW, sealUnchecked, testAuthority, testClaims, testContext, testId } from './testing.ts'

const { keys, ring } = testAuthority()
const context = testContext(ring)
const code = (result: OpenResult): EnvelopeFault | 'ok' => (result.ok ? 'ok' : result.code)
const one = (claims: EnvelopeClaims, key = keys.envelope): Buffer => seal([claims], key)[0] as Buffer
const raw = (claims: EnvelopeClaims, key = keys.envelope): Buffer => sealUnchecked(claims, key)
const open = (header: Uint8Array, over: Partial<typeof context> = {}): OpenResult =>
  new Opener().open(header, { ...context, ...over })

function edited(bytes: Buffer, edit: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes)
  edit(copy)
  return copy
}

const parent = one(testClaims())
const openedParent = open(parent)
if (!openedParent.ok) throw new Error(openedParent.code)
const childEvent = bindEvent({ topic: 'emails.send', key: null, id: testId(7), value: Buffer.from('mail') })
const childClaims = derive(
  { header: parent, envelope: openedParent.envelope },
  {
    aud: 'mail',
    scope: ['invoices:read'],
    exp: NOW + 60_000,
    iat: NOW + 500,
    reqWl: 'worker',
    actor: { sub: 'svc_worker', principal: 'service' },
    event: childEvent,
  },
)
const childContext = { ...context, topic: 'emails.send', audience: 'mail', key: null, value: Buffer.from('mail') }
const openChild = (claims: EnvelopeClaims, key = keys.derive): OpenResult =>
  new Opener().open(raw(claims, key), childContext)

test('a derived envelope opens with its chain', () => {
  const result = openChild(childClaims)
  if (!result.ok) throw new Error(result.code)
  expect(result.envelope.chain.map((claims) => claims.depth)).toEqual([1, 0])
  expect(result.envelope.claims.tctx.act).toEqual([{ sub: 'svc_worker', principal: 'service' }])
  expect(result.envelope.scopes).toEqual(['invoices:read'])
  expect(result.envelope.targets).toEqual([
    ...openedParent.envelope.claims.tctx.targets,
    ...[keys.derive, keys.envelope].map(({ keyId }) => ring.key(keyId)?.target),
  ])
  expect(openChild(childClaims, keys.envelope).ok).toBe(true)
})

const tctx = childClaims.tctx
const other = { kind: 'device' as const, key: testId(5), version: NOW }
const widened: [string, Partial<EnvelopeClaims>][] = [
  ['txn', { txn: 'txn_other' }],
  ['sub', { sub: 'usr_other' }],
  ['exp', { exp: testClaims().exp + 1 }],
  ['iat', { iat: NOW - 1 }],
  ['scope', { scope: ['invoices:read', 'payments:run'] }],
  ['depth', { depth: 2 }],
  ['tenant', { tctx: { ...tctx, tenant: 'globex' } }],
  ['principal', { tctx: { ...tctx, principal: 'system' } }],
  ['credential', { tctx: { ...tctx, credential: 'jwt' } }],
  ['session', { tctx: { ...tctx, session: null } }],
  ['client', { tctx: { ...tctx, client: 'cli' } }],
  ['device', { tctx: { ...tctx, device: 'dev' } }],
  ['a target dropped', { tctx: { ...tctx, targets: tctx.targets.slice(1) } }],
  ['a target replaced', { tctx: { ...tctx, targets: [other, ...tctx.targets.slice(1)] } }],
  ['a target with another key', { tctx: { ...tctx, targets: tctx.targets.map((t) => ({ ...t, key: testId(5) })) } }],
  ['a target raised', { tctx: { ...tctx, targets: tctx.targets.map((t) => ({ ...t, version: t.version + 1 })) } }],
  ['scope_version', { tctx: { ...tctx, scope_version: tctx.scope_version + 1 } }],
  ['position lower', { tctx: { ...tctx, position: { log_id: 'log-1', offset: 40 } } }],
  ['position on another log', { tctx: { ...tctx, position: { log_id: 'log-2', offset: 41 } } }],
  ['two actors more', { tctx: { ...tctx, act: [...tctx.act, ...tctx.act] } }],
  ['acr', { rctx: { ...childClaims.rctx, acr: 'phr' } }],
  ['amr', { rctx: { ...childClaims.rctx, amr: ['hwk', 'otp'] } }],
  ['auth_time', { rctx: { ...childClaims.rctx, auth_time: NOW } }],
  ['request_id', { rctx: { ...childClaims.rctx, request_id: null } }],
  ['ip', { rctx: { ...childClaims.rctx, ip: null } }],
  ['user_agent', { rctx: { ...childClaims.rctx, user_agent: 'x' } }],
  ['posture', { rctx: { ...childClaims.rctx, posture: 'good' } }],
  ['risk', { rctx: { ...childClaims.rctx, risk: 'low' } }],
]
for (const [field, change] of widened) {
  test(`envelope_widened: ${field}`, () =>
    expect(code(openChild({ ...childClaims, ...change }))).toBe('envelope_widened'))
}

test('scopes of a child are a subset, whichever they are', () => {
  const subsets = Array.from({ length: 16 }, (_, bits) => ['a', 'b', 'c', 'd'].filter((_, i) => bits & (1 << i)))
  for (const all of subsets) {
    for (const some of subsets) {
      const field = widenedField({ ...childClaims, scope: some }, testClaims({ scope: all }))
      expect(field === 'scope').toBe(!some.every((scope) => all.includes(scope)))
    }
  }
})

test('actors of the parent cannot be dropped or replaced', () => {
  const acting = testClaims({ tctx: { ...testClaims().tctx, act: [{ sub: 'adm_1', principal: 'user' }] } })
  const header = one(acting)
  for (const act of [
    [],
    [{ sub: 'adm_2', principal: 'user' as const }],
    [{ sub: 'adm_1', principal: 'service' as const }],
  ]) {
    const child = { ...childClaims, parent: header, tctx: { ...tctx, act } }
    expect(code(openChild(child))).toBe('envelope_widened')
  }
  expect(openChild({ ...childClaims, parent: header, tctx: { ...tctx, act: acting.tctx.act } }).ok).toBe(true)
})

test('a parent that does not hold says why', () => {
  const inner = (header: Buffer): unknown => {
    const result = openChild({ ...childClaims, parent: header })
    return result.ok ? 'ok' : [result.code, result.parent]
  }
  const flipped = edited(parent, (b) => b.writeUInt8(b[40]! ^ 1, 40))
  expect(inner(flipped)).toEqual(['envelope_parent_invalid', 'envelope_signature_invalid'])
  expect(inner(parent.subarray(1))).toEqual(['envelope_parent_invalid', 'envelope_malformed'])
  expect(inner(Buffer.alloc(0))).toEqual(['envelope_parent_invalid', 'envelope_truncated'])
  expect(inner(one(testClaims(), keys.derive))).toEqual(['envelope_parent_invalid', 'envelope_key_use'])
  expect(inner(one(testClaims(), { ...keys.envelope, keyId: 'gone' }))).toEqual([
    'envelope_parent_invalid',
    'envelope_key_unknown',
  ])
})

test('three derivations open, a fourth is refused by derive', () => {
  const opener = new Opener()
  let header = parent
  let envelope = openedParent.envelope
  const next = (): EnvelopeClaims =>
    derive(
      { header, envelope },
      { aud: 'mail', scope: [], exp: NOW + 60_000, iat: NOW + 500, reqWl: 'w', actor: null, event: childEvent },
    )
  for (let depth = 1; depth <= 3; depth++) {
    header = seal([next()], keys.derive)[0] as Buffer
    const result = opener.open(header, childContext)
    if (!result.ok) throw new Error(result.code)
    envelope = result.envelope
    expect(envelope.chain).toHaveLength(depth + 1)
  }
  expect(next).toThrow(expect.objectContaining({ code: 'ENVELOPE_DERIVE_TOO_DEEP' }))
})

test('derive refuses what open would', () => {
  const derived =
    (over: object): (() => unknown) =>
    () =>
      derive(
        { header: parent, envelope: openedParent.envelope },
        { aud: 'mail', scope: [], exp: NOW + 1000, iat: NOW, reqWl: 'w', actor: null, event: childEvent, ...over },
      )
  const widens = expect.objectContaining({ code: 'ENVELOPE_DERIVE_WIDENS' })
  expect(derived({ exp: testClaims().exp + 1 })).toThrow(widens)
  expect(derived({ scope: ['payments:run'] })).toThrow(widens)
  expect(derived({ iat: NOW - 1 })).toThrow(widens)
  expect(derived({ position: { log_id: 'log-1', offset: 0 } })).toThrow(widens)
  expect(derived({ scope: ['invoices:read', 'invoices:export', 'invoices:read'] })()).toMatchObject({
    scope: ['invoices:export', 'invoices:read'],
  })
  expect(derived({ position: { log_id: 'log-1', offset: 42 } })()).toMatchObject({
    tctx: { position: { offset: 42 } },
  })
})

test('the window counts from the boundary, not from the last derivation', () => {
  const { window_ms, max_staleness_ms } = ring.bundle
  const window = window_ms - max_staleness_ms - childContext.epsilonMs
  const old = seal([testClaims({ exp: NOW + 2 * window })], keys.envelope)[0] as Buffer
  const late = { ...childClaims, parent: old, iat: NOW + window - 5, exp: NOW + 2 * window }
  const at = (now: number): OpenResult => new Opener().open(raw(late, keys.derive), { ...childContext, now })
  expect(code(at(NOW + window - 1))).toBe('ok')
  expect(code(at(NOW + window))).toBe('envelope_expired')
})
