import { type EnvelopeClaims, envelopeClaimsCodec } from '@countersign/schemas'
import { describe, expect, test } from 'vitest'
import { bindEvent, derive, type EnvelopeFault, Opener, type OpenResult, seal } from './index.ts'
import { leafHash, rootMessage } from './merkle.ts'
import { NOW, sealBodies, testAuthority, testClaims, testContext, testEvent, testId } from './testing.ts'

const authority = testAuthority()
const { keys, ring } = authority
const context = testContext(ring)
const one = (claims: EnvelopeClaims, key = keys.envelope): Buffer => seal([claims], key)[0] as Buffer
const raw = (claims: EnvelopeClaims, key = keys.envelope): Buffer =>
  sealBodies([envelopeClaimsCodec.encode(claims)], key)[0] as Buffer
const code = (result: OpenResult): EnvelopeFault | 'ok' => (result.ok ? 'ok' : result.code)
const open = (header: Uint8Array, over: Partial<typeof context> = {}): OpenResult =>
  new Opener().open(header, { ...context, ...over })

function edited(bytes: Buffer, edit: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes)
  edit(copy)
  return copy
}

test('an envelope opens to what was sealed', () => {
  const claims = testClaims()
  const result = open(one(claims))
  if (!result.ok) throw new Error(result.code)
  expect(result.envelope.claims).toEqual({ ...claims })
  expect(result.envelope.keyId).toBe('env-1')
  expect(result.envelope.chain).toHaveLength(1)
  expect(result.envelope.targets).toHaveLength(6)
  expect(result.envelope.scopes).toEqual(['invoices:export', 'invoices:read'])
})

describe('each fault has its own code', () => {
  const good = one(testClaims())
  const cases: [EnvelopeFault, string, () => OpenResult][] = [
    ['envelope_oversize', 'over 16 KiB', () => open(Buffer.alloc(16_385))],
    ['envelope_truncated', 'empty', () => open(Buffer.alloc(0))],
    ['envelope_truncated', 'the last byte missing', () => open(good.subarray(0, -1))],
    ['envelope_malformed', 'a byte too many', () => open(Buffer.concat([good, Buffer.of(0)]))],
    ['envelope_malformed', 'other magic', () => open(edited(good, (b) => b.write('CSX')))],
    ['envelope_malformed', 'no key id', () => open(edited(good, (b) => b.writeUInt8(0, 23)))],
    ['envelope_malformed', 'key id of 65 bytes', () => open(edited(good, (b) => b.writeUInt8(65, 23)))],
    ['envelope_malformed', 'tree of 0', () => open(edited(good, (b) => b.writeUInt32BE(0, 12)))],
    ['envelope_malformed', 'tree of 65,537', () => open(edited(good, (b) => b.writeUInt32BE(65_537, 12)))],
    ['envelope_malformed', 'leaf outside its tree', () => open(edited(good, (b) => b.writeUInt32BE(1, 16)))],
    ['envelope_malformed', 'path of another shape', () => open(edited(good, (b) => b.writeUInt8(1, 22)))],
    ['envelope_version_unknown', 'format 2', () => open(edited(good, (b) => b.writeUInt8(2, 3)))],
    ['envelope_key_unknown', 'another authority', () => open(one(testClaims(), { ...keys.envelope, keyId: 'env-2' }))],
    ['envelope_signature_invalid', 'same id, other key', () => open(one(testClaims(), testAuthority(2).keys.envelope))],
    [
      'envelope_signature_invalid',
      'signature',
      () => open(edited(good, (b) => b.writeUInt8(b.at(-1)! ^ 1, b.length - 1))),
    ],
    ['envelope_signature_invalid', 'fingerprint unsigned', () => open(edited(good, (b) => b.writeUInt8(b[4]! ^ 1, 4)))],
    [
      'envelope_malformed',
      'claims that are none',
      () => open(sealBodies([Buffer.from('nonsense')], keys.envelope)[0]!),
    ],
    ['envelope_malformed', 'no claims', () => open(sealBodies([Buffer.alloc(0)], keys.envelope)[0]!)],
    ['envelope_malformed', 'exp before iat', () => open(raw(testClaims({ exp: NOW })))],
    ['envelope_malformed', 'scopes unsorted', () => open(raw(testClaims({ scope: ['b', 'a'] })))],
    ['envelope_malformed', 'scope twice', () => open(raw(testClaims({ scope: ['a', 'a'] })))],
    ['envelope_malformed', 'scope with a space', () => open(raw(testClaims({ scope: ['a b'] })))],
    ['envelope_malformed', 'no tenant', () => open(raw(testClaims({ tctx: { ...testClaims().tctx, tenant: '' } })))],
    ['envelope_malformed', 'depth 1 without parent', () => open(raw(testClaims({ depth: 1 })))],
    ['envelope_malformed', 'depth 0 with parent', () => open(raw(testClaims({ parent: good })))],
    ['envelope_malformed', 'depth below 0', () => open(raw(testClaims({ depth: -1, parent: good })))],
    ['envelope_too_deep', 'depth 4', () => open(raw(testClaims({ depth: 4, parent: good })))],
    ['envelope_key_use', 'signal key', () => open(one(testClaims(), keys.signal))],
    ['envelope_key_use', 'checkpoint key', () => open(one(testClaims(), keys.checkpoint))],
    ['envelope_key_use', 'derive key at depth 0', () => open(one(testClaims(), keys.derive))],
    ['envelope_key_tenant', 'other tenant', () => open(good, { ring: limited({ tenants: ['globex'] }) })],
    ['envelope_key_tenant', 'no tenant', () => open(good, { ring: limited({ tenants: [] }) })],
    ['envelope_key_topic', 'other topic', () => open(good, { ring: limited({ topics: ['emails.send'] }) })],
    ['envelope_key_not_yet_valid', 'sealed early', () => open(good, { ring: limited({ not_before: NOW + 1 }) })],
    ['envelope_key_retired', 'sealed late', () => open(good, { ring: limited({ not_after: NOW }) })],
    ['envelope_topic_mismatch', 'other topic', () => open(good, { topic: 'emails.send' })],
    ['envelope_key_mismatch', 'other key', () => open(good, { key: Buffer.from('inv-1') })],
    ['envelope_key_mismatch', 'key gone', () => open(good, { key: null })],
    [
      'envelope_key_mismatch',
      'empty is not null',
      () => open(bound(null, Buffer.of(1)), { key: Buffer.alloc(0), value: Buffer.of(1) }),
    ],
    ['envelope_payload_mismatch', 'other payload', () => open(good, { value: Buffer.from('payload 1') })],
    ['envelope_payload_mismatch', 'payload gone', () => open(good, { value: null })],
    [
      'envelope_payload_mismatch',
      'empty is not null',
      () => open(bound(null, null), { key: null, value: Buffer.alloc(0) }),
    ],
    [
      'envelope_payload_mismatch',
      'null is not empty',
      () => open(bound(null, Buffer.alloc(0)), { key: null, value: null }),
    ],
    ['envelope_audience_mismatch', 'other audience', () => open(good, { audience: 'mail' })],
    ['envelope_from_future', 'iat beyond the skew', () => open(good, { now: NOW - 251 })],
    ['envelope_expired', 'at exp', () => open(good, { now: testClaims().exp })],
    [
      'envelope_expired',
      'older than the window',
      () => open(one(testClaims({ exp: NOW + 1e9 })), { now: NOW + 12 * 3_600_000 }),
    ],
  ]
  for (const [expected, name, run] of cases) test(`${expected}: ${name}`, () => expect(code(run())).toBe(expected))

  function limited(change: object): typeof ring {
    return testAuthority(1, (grant) => (grant.use === 'envelope' ? { ...grant, ...change } : grant)).ring
  }
  function bound(key: Buffer | null, value: Buffer | null): Buffer {
    return one(testClaims({ event: bindEvent({ topic: 'invoices.export', key, id: testId(0), value }) }))
  }
})

test('edges that are still good', () => {
  const good = one(testClaims())
  expect(open(good, { now: NOW - 250 }).ok).toBe(true)
  expect(open(good, { now: testClaims().exp - 1 }).ok).toBe(true)
  expect(
    open(good, { now: NOW + 30 * 60_000, ring: testAuthority(1, (g) => ({ ...g, not_after: NOW + 1 })).ring }).ok,
  ).toBe(true)
  const nothing = one(
    testClaims({ event: bindEvent({ topic: 'invoices.export', key: null, id: testId(0), value: null }) }),
  )
  expect(open(nothing, { key: null, value: null }).ok).toBe(true)
})

test('claims of a schema not known here are refused, once the signature holds', () => {
  const bytes = edited(one(testClaims()), (b) => b.writeUInt8(b[4]! ^ 1, 4))
  expect(code(open(bytes))).toBe('envelope_signature_invalid')
  // Signed so by a later version of the producer: the leaf covers the fingerprint.
  expect(code(open(resigned(bytes)))).toBe('envelope_schema_unknown')
})

test('a key removed from the bundle is unknown', () => {
  const { bundle } = authority
  const without = testAuthority(1, (g) => (g.use === 'envelope' ? { ...g, key_id: 'env-9' } : g))
  expect(bundle.keys).toHaveLength(without.bundle.keys.length)
  expect(code(open(one(testClaims()), { ring: without.ring }))).toBe('envelope_key_unknown')
})

test('the same opener forgets what it verified when another bundle comes into force', () => {
  const opener = new Opener()
  const header = one(testClaims())
  expect(opener.open(header, context).ok).toBe(true)
  // Same id, other public key: what the old bundle proved is no proof under the new one.
  const other = testAuthority(3).ring
  expect(code(opener.open(header, { ...context, ring: other }))).toBe('envelope_signature_invalid')
  expect(opener.open(header, context).ok).toBe(true)
})

describe('parents', () => {
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
    expect(result.envelope.targets).toEqual(openedParent.envelope.targets)
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
})

describe('batches', () => {
  for (const size of [1, 2, 3, 5, 7, 8, 13, 33, 100]) {
    test(`every envelope of ${size} opens, warm and cold, in any order`, () => {
      const inputs = Array.from({ length: size }, (_, i) => testClaims({ txn: `txn-${i}`, event: testEvent(i) }))
      const headers = seal(inputs, keys.envelope)
      const opener = new Opener()
      const order = inputs.map((_, i) => (i * 7919) % size).filter((v, i, all) => all.indexOf(v) === i)
      for (const i of new Set([...order, ...inputs.keys()])) {
        const over = testContext(ring, {}, i)
        for (const result of [opener.open(headers[i]!, over), new Opener().open(headers[i]!, over)]) {
          if (!result.ok) throw new Error(`${i}: ${result.code}`)
          expect(result.envelope.claims.txn).toBe(`txn-${i}`)
        }
      }
    })
  }

  test('equal claims in one batch are different leaves', () => {
    const [first, second] = seal([testClaims(), testClaims()], keys.envelope) as [Buffer, Buffer]
    const swapped = edited(first, (b) => b.writeUInt32BE(1, 16))
    expect(code(open(swapped))).toBe('envelope_signature_invalid')
    expect(open(first).ok && open(second).ok).toBe(true)
  })

  test('a warm opener judges every byte as a cold one does', () => {
    const inputs = Array.from({ length: 6 }, (_, i) => testClaims({ txn: `txn-${i}`, event: testEvent(i) }))
    const headers = seal(inputs, keys.envelope)
    const warm = new Opener()
    for (const [i, header] of headers.entries()) expect(warm.open(header, testContext(ring, {}, i)).ok).toBe(true)
    for (const [i, header] of headers.entries()) {
      for (let at = 0; at < header.length; at++) {
        const flipped = edited(header, (b) => b.writeUInt8(b[at]! ^ 0x10, at))
        const over = testContext(ring, {}, i)
        expect([at, warm.open(flipped, over).ok]).toEqual([at, false])
      }
    }
  })

  test('a small cache changes the cost, never the answer', () => {
    const inputs = Array.from({ length: 20 }, (_, i) => testClaims({ txn: `txn-${i}`, event: testEvent(i) }))
    for (const maxNodes of [0, 6, 10, 44, 1000]) {
      const opener = new Opener({ maxNodes })
      for (const size of [20, 1, 3]) {
        const headers = seal(inputs.slice(0, size), keys.envelope)
        for (const [i, header] of headers.entries()) expect(opener.open(header, testContext(ring, {}, i)).ok).toBe(true)
      }
    }
  })

  test('a tree of one cannot pass for a node, nor an inner hash for a leaf', () => {
    const [first] = seal([testClaims(), testClaims({ txn: 'other' })], keys.envelope) as [Buffer]
    // Same signature, claimed to be alone in its tree.
    const alone = Buffer.concat([first.subarray(0, -96), first.subarray(-64)])
    alone.writeUInt32BE(1, 12)
    alone.writeUInt8(0, 22)
    expect(code(open(alone))).toBe('envelope_signature_invalid')
  })
})

/** Signs the leaf of a tree of one as it stands. */
function resigned(bytes: Buffer): Buffer {
  const leafEnd = 24 + bytes.readUInt16BE(20)
  const keyEnd = leafEnd + bytes.readUInt8(23)
  const message = rootMessage(bytes.subarray(leafEnd, keyEnd), 1, leafHash(bytes.subarray(0, leafEnd)))
  return Buffer.concat([bytes.subarray(0, keyEnd), keys.envelope.sign(message)])
}
