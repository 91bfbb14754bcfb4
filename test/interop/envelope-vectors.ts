/** Envelope vectors: what opens, and one case for each way not to. Expected codes are written by hand. */
import { bindEvent, derive, Opener, seal } from '@countersign/envelope'
import { claimsBody, sealBodies, sealUnchecked, testClaims } from '@countersign/envelope/testing'
import type { EnvelopeClaims } from '@countersign/schemas'
import { bundle, HOUR, keys, NOW, ring, root, signedBundle, vectorKey, withoutFirst } from './authority.ts'
import { relianceVectors } from './reliance-vectors.ts'
import type { Expected, Json, Situation } from './vector-case.ts'

const HEADER = 'countersign-envelope'
const key = Buffer.from('inv-17')
const value = Buffer.from('0000000001066a6f62', 'hex')
const id = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
const usual: Situation = {
  bundle: 'main',
  now: NOW + 1000,
  topic: 'invoices.export',
  audience: 'billing-export',
  key,
  value,
}
const EPSILON_MS = 250
/** Longest any work of the bundle opens, ms. */
const LONGEST = bundle.window_ms - bundle.max_staleness_ms - EPSILON_MS

const event = bindEvent({ topic: usual.topic, key, id, value })
const plain = testClaims({ event, iat: NOW, exp: NOW + HOUR })
const { tctx } = plain
const claims = (over: Partial<EnvelopeClaims> = {}): EnvelopeClaims => ({ ...plain, ...over })
const one = (c: EnvelopeClaims, k: { keyId: string; sign(b: Uint8Array): Buffer } = keys.envelope): Buffer =>
  sealUnchecked(c, k)
const body = (c: EnvelopeClaims): Buffer => claimsBody(c)
const raw = (bytes: Buffer, k = keys.envelope as Parameters<typeof sealBodies>[1]): Buffer =>
  sealBodies([bytes], k)[0] as Buffer
const edited = (bytes: Buffer, at: number, ...to: number[]): Buffer => {
  const copy = Buffer.from(bytes)
  copy.set(to, at < 0 ? copy.length + at : at)
  return copy
}

const cases: Json[] = []
function vector(
  name: string,
  envelope: Buffer | readonly (readonly [string, Buffer])[],
  expect: Expected,
  over: Partial<Situation> = {},
  opened?: readonly EnvelopeClaims[],
  relied?: readonly EnvelopeClaims[],
): void {
  const situation = { ...usual, ...over }
  const headers = Buffer.isBuffer(envelope) ? [[HEADER, envelope] as const] : envelope
  cases.push({
    name,
    bundle: situation.bundle,
    now: situation.now,
    epsilon_ms: EPSILON_MS,
    topic: situation.topic,
    audience: situation.audience,
    key: hex(situation.key),
    value: hex(situation.value),
    headers: headers.map(([header, bytes]) => [header, bytes.toString('hex')]),
    expect: {
      ...expect,
      ...(opened && { chain: opened.map(claimsJson) }),
      ...(relied && { relied: relied.map(claimsJson) }),
    },
  })
}
const ok: Expected = { ok: true }
const fault = (code: string, parent?: string): Expected => ({ ok: false, code, ...(parent && { parent }) })

/** Bytes as lowercase hex, everything else as it is. */
export function plainJson(v: unknown): Json {
  if (v instanceof Uint8Array) return Buffer.from(v).toString('hex')
  if (Array.isArray(v)) return v.map(plainJson)
  if (typeof v === 'object' && v !== null)
    return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plainJson(x)]))
  return v as Json
}
/** Claims as their version of the schema has them. */
export function claimsJson(claims: EnvelopeClaims): Json {
  const { relies_on: _, succession: __, ...plain } = claims
  return plainJson(claims.relies_on.length === 0 && claims.succession === null ? plain : claims)
}
function hex(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('hex')
}

function good(): void {
  vector('alone in its tree', one(plain), ok, {}, [plain])
  vector('at exactly iat - epsilon', one(plain), ok, { now: NOW - 250 })
  vector('one millisecond before exp', one(plain), ok, { now: plain.exp - 1 })
  vector('sealed before its key retired', one(claims({ iat: NOW - HOUR - 1 }), keys.retired), ok)
  vector('within the tenants and topics of its key', one(plain, keys.limited), ok)
  for (const size of [2, 3, 5, 6]) {
    const inputs = Array.from({ length: size }, (_, i) => claims({ txn: `txn-${i}` }))
    for (const [i, envelope] of seal(inputs, keys.envelope).entries()) {
      vector(`leaf ${i} of ${size}`, envelope, ok, {}, [inputs[i] as EnvelopeClaims])
    }
  }
  const bare = claims({
    scope: [],
    event: bindEvent({ topic: usual.topic, key: null, id, value: null }),
    tctx: { ...tctx, session: null, client: null, targets: [], position: { log_id: 'log-1', offset: -1 } },
    rctx: {
      request_id: null,
      auth_time: null,
      acr: null,
      amr: [],
      ip: null,
      user_agent: null,
      posture: null,
      risk: null,
    },
  })
  vector('neither key nor value', one(bare), ok, { key: null, value: null }, [bare])
  const empty = claims({ event: bindEvent({ topic: usual.topic, key: Buffer.alloc(0), id, value: Buffer.alloc(0) }) })
  vector('empty key and empty value', one(empty), ok, { key: Buffer.alloc(0), value: Buffer.alloc(0) }, [empty])
  const wide = claims({ sub: 'usr_żółć_𝄞', req_wl: '\ufeffapi', rctx: { ...plain.rctx, user_agent: 'x'.repeat(300) } })
  vector('text beyond ASCII, a byte order mark kept, a length of two bytes', one(wide), ok, {}, [wide])
  const full = claims({ req_wl: 'x'.repeat(16_384 - one(claims({ req_wl: 'x'.repeat(9000) })).length + 9000) })
  vector('exactly 16,384 bytes', one(full), ok)
}

function lengths(): void {
  const envelope = one(plain)
  const pair = seal([plain, claims({ txn: 'txn-1' })], keys.envelope)[0] as Buffer
  vector('no envelope header', [], fault('envelope_missing'))
  vector('another header only', [['Countersign-Envelope', envelope]], fault('envelope_missing'))
  vector(
    'the header twice',
    [
      [HEADER, envelope],
      [HEADER, envelope],
    ],
    fault('envelope_repeated'),
  )
  vector('16,385 bytes', Buffer.concat([envelope, Buffer.alloc(16_385 - envelope.length)]), fault('envelope_oversize'))
  vector('no bytes', Buffer.alloc(0), fault('envelope_truncated'))
  vector('only part of the fixed part', envelope.subarray(0, 23), fault('envelope_truncated'))
  vector('the last byte missing', envelope.subarray(0, -1), fault('envelope_truncated'))
  vector('one byte more', Buffer.concat([envelope, Buffer.of(0)]), fault('envelope_malformed'))
  vector('another magic', edited(envelope, 0, 0x63), fault('envelope_malformed'))
  vector('format version 2', edited(envelope, 3, 2), fault('envelope_version_unknown'))
  vector('a tree of none', edited(envelope, 12, 0, 0, 0, 0), fault('envelope_malformed'))
  vector('a tree of 65,537', edited(envelope, 12, 0, 1, 0, 1), fault('envelope_malformed'))
  vector('a leaf beyond its tree', edited(envelope, 16, 0, 0, 0, 1), fault('envelope_malformed'))
  vector('a path longer than index and size imply', edited(envelope, 22, 1), fault('envelope_malformed'))
  vector('a path shorter than index and size imply', edited(pair, 22, 0), fault('envelope_malformed'))
  vector('a path of 255', edited(pair, 22, 255), fault('envelope_malformed'))
  vector('a key id of no bytes', edited(envelope, 23, 0), fault('envelope_malformed'))
  vector('a key id of 65 bytes', edited(envelope, 23, 65), fault('envelope_malformed'))
}

function signatures(): void {
  const envelope = one(plain)
  const leafEnd = 24 + envelope.readUInt16BE(20)
  const [left, right] = seal([plain, claims({ sub: 'usr_0000000000000000' })], keys.envelope) as [Buffer, Buffer]
  const invalid = fault('envelope_signature_invalid')
  const flip = (bytes: Buffer, at: number): Buffer => edited(bytes, at, (bytes.at(at) as number) ^ 1)
  vector('a bit of the fingerprint', flip(envelope, 4), invalid)
  vector('a bit of the claims', flip(envelope, 24), invalid)
  vector('a bit of the signature', flip(envelope, -1), invalid)
  vector('a bit of the path', flip(left, -65), invalid)
  vector('the index of its sibling', edited(left, 19, 1), invalid)
  vector('the claims of its sibling', Buffer.concat([left.subarray(0, 24), right.subarray(24)]), invalid)
  vector(
    'a leaf of two passed off as alone',
    edited(
      Buffer.concat([left.subarray(0, -96), left.subarray(-64)]),
      12,
      0,
      0,
      0,
      1,
      0,
      0,
      0,
      0,
      ...left.subarray(20, 22),
      0,
    ),
    invalid,
  )
  vector('a key of the same id that is not in the bundle', one(plain, vectorKey('stranger', 'env-1')), invalid)
  vector('the id of another key', edited(one(plain, keys.signal), leafEnd, ...Buffer.from('chk-1')), invalid)
  vector('the id of another envelope key', edited(one(plain), leafEnd, ...Buffer.from('der-1')), invalid)
  vector('S not below the group order', raised(envelope), invalid)
  vector('a key the bundle does not have', one(plain, vectorKey('env-2')), fault('envelope_key_unknown'))
  vector('a key taken out of the bundle', envelope, fault('envelope_key_unknown'), { bundle: 'without env-1' })
  vector('a key that is not yet valid', one(plain, keys.future), fault('envelope_key_not_yet_valid'))
  vector('sealed after its key retired', one(plain, keys.retired), fault('envelope_key_retired'))
  vector(
    'sealed at the moment its key retires',
    one(claims({ iat: NOW - HOUR }), keys.retired),
    fault('envelope_key_retired'),
  )
  vector('a signal key', one(plain, keys.signal), fault('envelope_key_use'))
  vector('a checkpoint key', one(plain, keys.checkpoint), fault('envelope_key_use'))
  vector('a derive key at depth 0', one(plain, keys.derive), fault('envelope_key_use'))
  vector(
    'a tenant its key may not sign for',
    one(claims({ tctx: { ...tctx, tenant: 'initech' } }), keys.limited),
    fault('envelope_key_tenant'),
  )
  const mail = claims({ event: { ...event, topic: 'emails.send' } })
  vector('a topic its key may not sign for', one(mail, keys.limited), fault('envelope_key_topic'), {
    topic: 'emails.send',
  })
}

/** The same signature with the group order added to S: equal modulo the order, another spelling. */
function raised(envelope: Buffer): Buffer {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const s = BigInt(`0x${Buffer.from(envelope.subarray(-32)).reverse().toString('hex')}`) + order
  return edited(envelope, -32, ...Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse())
}

function spellings(): void {
  const good = body(plain)
  const malformed = fault('envelope_malformed')
  const at = (text: string): number => good.indexOf(text)
  const splice = (from: number, drop: number, ...insert: number[]): Buffer =>
    raw(Buffer.concat([good.subarray(0, from), Buffer.from(insert), good.subarray(from + drop)]))
  const scopeCount = at('invoices:export') - 2
  vector('no claims', raw(Buffer.alloc(0)), malformed)
  vector('claims cut short', raw(good.subarray(0, -1)), malformed)
  vector('a rest after the claims', raw(Buffer.concat([good, Buffer.of(0)])), malformed)
  vector('a varint with an empty last group', splice(0, 1, (good[0] as number) | 0x80, 0), malformed)
  vector('a long of 2^52', splice(at('api') + 3, 6, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10), malformed)
  vector('an array block with its size', splice(scopeCount, 1, 3, 60), malformed)
  vector('an array in two blocks', splice(at('invoices:read') - 1, 0, 0x02), malformed)
  vector('an array of 200 million', splice(scopeCount, 1, 0x80, 0x84, 0xaf, 0xbf, 0x01), malformed)
  vector('a branch the union does not have', splice(good.length - 1, 1, 4), malformed)
  vector('text that is not UTF-8', splice(1, 1, 0xff), malformed)
  vector('text with a surrogate', splice(1, 3, 0xed, 0xa0, 0x80), malformed)
  vector('an empty txn', one(claims({ txn: '' })), malformed)
  vector('an empty tenant', one(claims({ tctx: { ...tctx, tenant: '' } })), malformed)
  vector('an empty topic', one(claims({ event: { ...event, topic: '' } })), malformed)
  vector('exp at iat', one(claims({ exp: NOW })), malformed)
  vector('iat before 1970', one(claims({ iat: -1 })), malformed)
  vector('scopes out of order', one(claims({ scope: ['b', 'a'] })), malformed)
  vector('a scope twice', one(claims({ scope: ['a', 'a'] })), malformed)
  vector('a scope with a space', one(claims({ scope: ['a b'] })), malformed)
  vector('a scope beyond ASCII', one(claims({ scope: ['é'] })), malformed)
  vector(
    'a negative version',
    one(claims({ tctx: { ...tctx, targets: [{ kind: 'tenant', key: id, version: -1 }] } })),
    malformed,
  )
  vector('an offset below -1', one(claims({ tctx: { ...tctx, position: { log_id: 'log-1', offset: -2 } } })), malformed)
  vector('a depth of 1 without a parent', one(claims({ depth: 1 })), malformed)
  vector('a depth of 0 with a parent', one(claims({ parent: one(plain) })), malformed)
  vector('a negative depth', one(claims({ depth: -1, parent: one(plain) })), malformed)
  vector('a depth of 4', one(claims({ depth: 4, parent: one(plain) })), fault('envelope_too_deep'))
}

function bindings(): void {
  const envelope = one(plain)
  const empty = Buffer.alloc(0)
  const bare = one(claims({ event: bindEvent({ topic: usual.topic, key: null, id, value: null }) }))
  const hollow = one(claims({ event: bindEvent({ topic: usual.topic, key: empty, id, value: empty }) }))
  vector('another topic', envelope, fault('envelope_topic_mismatch'), { topic: 'emails.send' })
  vector('another key', envelope, fault('envelope_key_mismatch'), { key: Buffer.from('inv-18') })
  vector('the key removed', envelope, fault('envelope_key_mismatch'), { key: null })
  vector('an empty key for none', bare, fault('envelope_key_mismatch'), { key: empty, value: null })
  vector('no key for an empty one', hollow, fault('envelope_key_mismatch'), { key: null, value: empty })
  vector('another value', envelope, fault('envelope_payload_mismatch'), { value: Buffer.from('other') })
  vector('the value removed', envelope, fault('envelope_payload_mismatch'), { value: null })
  vector('an empty value for none', bare, fault('envelope_payload_mismatch'), { key: null, value: empty })
  vector('no value for an empty one', hollow, fault('envelope_payload_mismatch'), { key: empty, value: null })
  vector('another audience', envelope, fault('envelope_audience_mismatch'), { audience: 'mail' })
  vector('from the future', envelope, fault('envelope_from_future'), { now: NOW - 251 })
  vector('at exp', envelope, fault('envelope_expired'), { now: plain.exp })
  const long = one(claims({ exp: NOW + 48 * HOUR }))
  vector('one millisecond before the window closes', long, ok, { now: NOW + LONGEST - 1 })
  vector('when the window has passed', long, fault('envelope_expired'), { now: NOW + LONGEST })
}

function parents(): void {
  const parent = one(plain)
  const opened = new Opener().open(parent, { ...usual, ring, epsilonMs: EPSILON_MS })
  if (!opened.ok) throw new Error(opened.code)
  const mail = bindEvent({ topic: 'emails.send', key: null, id, value: Buffer.from('mail') })
  const there = { topic: 'emails.send', audience: 'mail', key: null, value: Buffer.from('mail') }
  const actor = { sub: 'svc_worker', principal: 'service' } as const
  const base = {
    aud: 'mail',
    scope: ['invoices:read'],
    exp: NOW + 60_000,
    iat: NOW + 500,
    reqWl: 'worker',
    actor,
    event: mail,
  }
  const child = derive({ header: parent, envelope: opened.envelope }, base)
  vector('derived once, by a derive key', one(child, keys.derive), ok, there, [child, plain])
  vector('derived once, by an envelope key', one(child), ok, there, [child, plain])
  const chain = [plain]
  let header = parent
  for (let depth = 1; depth <= 3; depth++) {
    const envelope = { ...opened.envelope, claims: chain[0] as EnvelopeClaims }
    chain.unshift(derive({ header, envelope }, { ...base, actor: depth === 2 ? null : actor }))
    header = one(chain[0] as EnvelopeClaims, keys.derive)
  }
  vector('derived three times', header, ok, there, chain)

  const old = one(claims({ exp: NOW + 48 * HOUR }))
  const late = one({ ...child, parent: old, iat: NOW + 11 * HOUR, exp: NOW + 48 * HOUR }, keys.derive)
  vector('derived late, a millisecond within the window', late, ok, { ...there, now: NOW + LONGEST - 1 })
  vector('derived late, the window of its boundary passed', late, fault('envelope_expired'), {
    ...there,
    now: NOW + LONGEST,
  })

  const invalid = (name: string, bytes: Buffer, why: string): void =>
    vector(name, one({ ...child, parent: bytes }, keys.derive), fault('envelope_parent_invalid', why), there)
  invalid('a parent without bytes', Buffer.alloc(0), 'envelope_truncated')
  invalid('a parent with a flipped bit', edited(parent, 30, (parent[30] as number) ^ 1), 'envelope_signature_invalid')
  invalid('a parent signed by a derive key at depth 0', one(plain, keys.derive), 'envelope_key_use')
  invalid('a parent of an unknown key', one(plain, vectorKey('env-2')), 'envelope_key_unknown')
  invalid('a parent sealed after its key retired', one(plain, keys.retired), 'envelope_key_retired')

  const widened = (field: string, over: Partial<EnvelopeClaims>): void =>
    vector(`widened: ${field}`, one({ ...child, ...over }, keys.derive), fault('envelope_widened'), there)
  const context = (over: Partial<EnvelopeClaims['tctx']>): Partial<EnvelopeClaims> => ({
    tctx: { ...child.tctx, ...over },
  })
  widened('txn', { txn: 'txn-other' })
  widened('sub', { sub: 'usr_other' })
  widened('a scope more', { scope: ['invoices:read', 'payments:run'] })
  widened('exp after the parent', { exp: plain.exp + 1 })
  widened('iat before the parent', { iat: NOW - 1 })
  widened('depth not one more', { depth: 2 })
  widened('tenant', context({ tenant: 'globex' }))
  widened('principal', context({ principal: 'system' }))
  widened('credential', context({ credential: 'jwt' }))
  widened('session', context({ session: null }))
  widened('client', context({ client: 'cli' }))
  widened('device', context({ device: 'dev_1' }))
  widened('a target missing', context({ targets: tctx.targets.slice(1) }))
  widened(
    'a target with a higher version',
    context({ targets: tctx.targets.map((t) => ({ ...t, version: t.version + 1 })) }),
  )
  widened('scope_version', context({ scope_version: tctx.scope_version + 1 }))
  widened('a position before the parent', context({ position: { log_id: 'log-1', offset: tctx.position.offset - 1 } }))
  widened('a position on another log', context({ position: { log_id: 'log-2', offset: tctx.position.offset } }))
  widened('two actors at once', context({ act: [actor, actor] }))
  widened('acr', { rctx: { ...child.rctx, acr: 'phr' } })
  widened('auth_time', { rctx: { ...child.rctx, auth_time: NOW } })
}

/** @returns the content of `envelopes.json`. */
export function envelopeVectors(): object {
  for (const group of [good, lengths, signatures, spellings, bindings, parents]) group()
  relianceVectors(vector)
  return {
    about: 'ENVELOPE.md §2 to §6 and §11. Bytes are lowercase hex. `now` and all times are epoch milliseconds.',
    roots: [root.publicKey.toString('hex')],
    bundles: { main: signedBundle(bundle), 'without env-1': signedBundle(withoutFirst) },
    cases,
  }
}
