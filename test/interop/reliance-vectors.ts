/** Vectors of claims of version 2: envelopes that rely on earlier ones, and successors. */
import { bindEvent, derive, envelopeHash, Opener, packEvidence, succeed } from '@countersign/envelope'
import { claimsBody, sealBodies, sealUnchecked, testClaims } from '@countersign/envelope/testing'
import { ENVELOPE_HEADER, type EnvelopeClaims, RELIES_ON_HEADER } from '@countersign/schemas'
import { bundle, HOUR, keys, NOW, ring, vectorKey } from './authority.ts'
import type { Expected, Vector } from './vector-case.ts'

type Headers = [string, Buffer][]

const EPSILON_MS = 250
const LONGEST = bundle.window_ms - bundle.max_staleness_ms - EPSILON_MS
const value = Buffer.from('0000000001066a6f62', 'hex')
const id = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
const event = bindEvent({ topic: 'invoices.export', key: Buffer.from('inv-17'), id, value })
const asked = bindEvent({ topic: 'requests.open', key: null, id: Buffer.alloc(16, 7), value: null })
const fault = (code: string, earlier?: string): Expected => ({ ok: false, code, ...(earlier && { earlier }) })

/** What somebody else asked for, three hours before. */
const request = testClaims({
  sub: 'usr_requester',
  aud: 'requests',
  scope: ['requests:open'],
  iat: NOW - 3 * HOUR,
  exp: NOW - 2 * HOUR,
  event: asked,
})
const later = (over: Partial<EnvelopeClaims> = {}): EnvelopeClaims =>
  testClaims({ event, iat: NOW, exp: NOW + HOUR, ...over })
const one = (claims: EnvelopeClaims, key = keys.envelope): Buffer => sealUnchecked(claims, key)
const relyingOn = (earlier: readonly Buffer[], over: Partial<EnvelopeClaims> = {}): EnvelopeClaims =>
  later({ relies_on: earlier.map(envelopeHash), ...over })
const beside = (envelope: Buffer, evidence: Buffer): Headers => [
  [ENVELOPE_HEADER, envelope],
  [RELIES_ON_HEADER, evidence],
]
const sent = (claims: EnvelopeClaims, earlier: readonly Buffer[]): Headers => beside(one(claims), packEvidence(earlier))

export function relianceVectors(vector: Vector): void {
  reliances(vector)
  evidence(vector)
  successors(vector)
}

function reliances(vector: Vector): void {
  const first = one(request)
  const claims = relyingOn([first])
  vector('relies on an earlier step', sent(claims, [first]), { ok: true }, {}, [claims], [request])
  const approval: EnvelopeClaims = {
    ...request,
    sub: 'usr_approver',
    iat: NOW - HOUR,
    exp: NOW,
    relies_on: [envelopeHash(first)],
  }
  const second = one(approval)
  const both = relyingOn([second, first])
  vector(
    'relies on a step and on what that relies on',
    sent(both, [second, first]),
    { ok: true },
    {},
    [both],
    [approval, request],
  )
  const eight = Array.from({ length: 8 }, (_, i) => one({ ...request, sub: `usr_${i}` }))
  vector('relies on eight', sent(relyingOn(eight), eight), { ok: true })
  const nine = [...eight, first]
  vector('relies on nine', sent(relyingOn(nine), nine), fault('envelope_malformed'))
  vector('relies on one twice', sent(relyingOn([first, first]), [first, first]), fault('envelope_malformed'))

  const opened = new Opener().prove(first, { ring, now: NOW, epsilonMs: EPSILON_MS })
  if (!opened.ok) throw new Error(opened.code)
  const parent = relyingOn([first])
  const whole = { ...opened.envelope, claims: parent, chain: [parent] }
  const base = { aud: 'mail', scope: [], exp: NOW + 60_000, iat: NOW, reqWl: 'worker', actor: null }
  const mail = bindEvent({ topic: 'emails.send', key: null, id, value: null })
  const there = { topic: 'emails.send', audience: 'mail', key: null, value: null }
  const child = derive({ header: one(parent), envelope: whole }, { ...base, event: mail })
  vector(
    'derived relies on what its parent does',
    sent(child, [first]),
    { ok: true },
    there,
    [child, parent],
    [request],
  )
  vector('derived relies on less than its parent', one({ ...child, relies_on: [] }), fault('envelope_widened'), there)

  const bad = (name: string, earlier: EnvelopeClaims, expect: Expected, key = keys.envelope): void => {
    const bytes = one(earlier, key)
    vector(name, sent(relyingOn([bytes]), [bytes]), expect)
  }
  bad('relies on another transaction', { ...request, txn: 'txn-other' }, fault('envelope_reliance_foreign'))
  const elsewhere = { ...request, tctx: { ...request.tctx, tenant: 'globex' } }
  bad('relies on another tenant', elsewhere, fault('envelope_reliance_foreign'))
  const invalid = (why: string): Expected => fault('envelope_reliance_invalid', why)
  bad('relies on a key the bundle does not have', request, invalid('envelope_key_unknown'), vectorKey('env-2'))
  bad('relies on what a signal key signed', request, invalid('envelope_key_use'), keys.signal)
  bad('relies on a step of later', { ...request, iat: NOW + 251, exp: NOW + HOUR }, invalid('envelope_from_future'))
  bad('relies on an approval and not on its request', approval, invalid('envelope_widened'))
  const ahead = { ...request.tctx, position: { ...request.tctx.position, offset: request.tctx.position.offset + 1 } }
  bad('relies on a position it has not reached', { ...request, tctx: ahead }, invalid('envelope_widened'))
  const old = { ...request, iat: NOW + 1000 - LONGEST, exp: NOW }
  bad('relies on a step whose window has passed', old, fault('envelope_reliance_expired'))
  bad('relies on a step a millisecond within its window', { ...old, iat: old.iat + 1 }, { ok: true })
}

function evidence(vector: Vector): void {
  const first = one(request)
  const claims = relyingOn([first])
  const packed = packEvidence([first])
  const missing = fault('envelope_reliance_missing')
  vector('nothing of what it relies on', one(claims), missing)
  vector('the evidence twice', [...beside(one(claims), packed), [RELIES_ON_HEADER, packed]], missing)
  vector('evidence of more than it relies on', sent(claims, [first, first]), missing)
  vector('evidence of another version', beside(one(claims), Buffer.concat([Buffer.of(2), packed.subarray(1)])), missing)
  vector('evidence cut short', beside(one(claims), packed.subarray(0, -1)), missing)
  vector('evidence with a rest', beside(one(claims), Buffer.concat([packed, Buffer.of(0)])), missing)
  vector('evidence of nothing', beside(one(claims), Buffer.of(1, 0)), missing)
  const other = one({ ...request, sub: 'usr_other' })
  vector('evidence of somebody else', sent(claims, [other]), fault('envelope_reliance_mismatch'))
  const two = relyingOn([first, other])
  vector('evidence in another order', sent(two, [other, first]), fault('envelope_reliance_mismatch'))
  vector('evidence beside an envelope that relies on nothing', beside(one(later()), packed), { ok: true })
}

function successors(vector: Vector): void {
  const began = later({ iat: NOW - 3 * HOUR, exp: NOW })
  const header = one(began)
  const opened = new Opener().prove(header, { ring, now: NOW, epsilonMs: EPSILON_MS })
  if (!opened.ok) throw new Error(opened.code)
  const terms = { scope: began.scope, iat: NOW, exp: NOW + 24 * HOUR, reqWl: 'identity', position: began.tctx.position }
  const successor = succeed({ header, envelope: opened.envelope }, terms)
  vector('a successor', one(successor), { ok: true }, {}, [successor])
  const end = NOW - 3 * HOUR + LONGEST
  vector(
    'a successor a millisecond before the window of its work closes',
    one(successor),
    { ok: true },
    { now: end - 1 },
  )
  vector('a successor when the window of its work has passed', one(successor), fault('envelope_expired'), { now: end })
  const third = { ...successor, depth: 3 }
  vector('a successor of what was derived three times', one(third), { ok: true }, {}, [third])
  vector('a successor by a derive key', one(third, keys.derive), fault('envelope_key_use'))
  const malformed = fault('envelope_malformed')
  vector('a successor with a parent', one({ ...successor, depth: 1, parent: header }), malformed)
  const said = (over: object): EnvelopeClaims => {
    const { succession } = successor
    return { ...successor, succession: { ...(succession as NonNullable<typeof succession>), ...over } }
  }
  vector('a successor of nothing', one(said({ count: 0 })), malformed)
  vector('the 33rd successor', one(said({ count: 33 })), malformed)
  vector('a successor sealed before its work began', one(said({ begun_at: NOW + 1 })), malformed)
  const plain = Buffer.concat([claimsBody(later()), Buffer.of(0, 0)])
  vector('claims of version 2 that say no more', sealBodies([plain], keys.envelope, 2)[0] as Buffer, malformed)
  vector('claims of version 1 with more behind', sealBodies([plain], keys.envelope)[0] as Buffer, malformed)
}
