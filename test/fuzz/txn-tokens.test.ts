import { randomInt } from 'node:crypto'
import { NOW, OWN_CLAIMS, stand } from '@countersign/boundary/testing'
import { openTxnToken, sealTxnToken, type TxnTokenClaims } from '@countersign/envelope'
import { testAuthority } from '@countersign/envelope/testing'
import { SeededRandom } from '@countersign/kernel/testing'
import { expect, test } from 'vitest'
import { campaign, type Tally } from './campaign.ts'
import { blind, type Field, structured } from './mutate.ts'

const authority = testAuthority()
const { envelope, signal } = authority.keys
const S = NOW / 1000
const context = { ring: authority.ring, now: NOW + 1000, epsilonMs: 250, trustDomain: 'services.example' }
const { iss: _, ...own } = OWN_CLAIMS

const specimens = Array.from({ length: 24 }, (_, i): Buffer => {
  const claims: TxnTokenClaims = {
    ...own,
    aud: context.trustDomain,
    iat: S,
    exp: S + 5 + i * 5,
    tenant: 'acme',
    txn: `txn_${i}`,
    req_wl: 'edge',
    targets: [...OWN_CLAIMS.targets, ['transaction', '', `txn_${i}`, NOW]],
    position: { log_id: 'log-1', offset: i },
    ...(i % 3 === 0 && { tctx: { invoice: `i-${i}` }, rctx: { req_ip: '192.0.2.0/24' } }),
    ...(i % 4 === 0 && { credential: 'session_cookie', credential_exp: S + 3600 }),
  }
  return Buffer.from(sealTxnToken(claims, envelope))
})

function judge(text: string): string {
  const result = openTxnToken(text, context)
  return result.ok ? 'accepted' : result.code
}

function nothingGotThrough(tally: Tally): void {
  expect(tally.crashes).toEqual([])
  expect(tally.accepted).toEqual([])
  expect(tally.grownMb).toBeLessThan(64)
}

/** The three parts, as characters or as what they decode to. */
function fieldsOf(token: Buffer): Field[] {
  const first = token.indexOf('.')
  const second = token.indexOf('.', first + 1)
  return [
    { name: 'header', from: 0, to: first },
    { name: 'dot', from: first, to: first + 1 },
    { name: 'claims', from: first + 1, to: second },
    { name: 'signature', from: second + 1, to: token.length },
  ]
}

test('all specimens open, so the campaign starts from good ones', () => {
  for (const token of specimens) expect(judge(token.toString())).toBe('accepted')
})

test('140,000 mutated transaction tokens: none accepted, no crash, memory bounded', () => {
  const tally = campaign('transaction tokens', 140_000, (random) => {
    const token = pick(random)
    const bytes = mutated(token, random)
    const text = bytes.toString('latin1')
    if (text === token.toString('latin1')) return null
    return { input: bytes, run: () => judge(text) }
  })
  nothingGotThrough(tally)
  // The mutations reach past the form.
  for (const code of ['oversize', 'malformed', 'header_refused', 'key_unknown', 'signature_invalid', 'key_use']) {
    expect([code, tally.verdicts.get(`txn_token_${code}`) ?? 0]).not.toEqual([code, 0])
  }
}, 240_000)

test('20,000 damaged claims under a good signature: no crash, and who is let in is wholly covered', async () => {
  const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 32))
  const random = new SeededRandom(seed)
  const { boundary } = stand({ txnTokens: { trustDomain: context.trustDomain }, clock: { ...clockAt(NOW + 1000) } })
  const verdicts = new Map<string, number>()
  for (let i = 0; i < 20_000; i++) {
    const [header = '', claims = ''] = pick(random).toString().split('.')
    const damaged = damage(Buffer.from(claims, 'base64url'), random).toString('base64url')
    const input = `${header}.${damaged}`
    const txnToken = `${input}.${envelope.sign(Buffer.from(input)).toString('base64url')}`
    const admission = await boundary.present({ txnToken })
    const verdict = admission.ok ? 'ok' : (admission.detail ?? admission.code)
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
    if (!admission.ok) continue
    const { sub, tenant, txn, session, client, device, act, targets } = admission.identity
    const covered = (kind: string, of: string, id: string): boolean =>
      targets.some((target) => target.kind === kind && target.tenant === of && target.id === id)
    const whole =
      covered('tenant', tenant, '') &&
      covered('subject', '', sub) &&
      covered('affiliation', tenant, sub) &&
      covered('transaction', '', txn) &&
      (session === null || covered('session', '', session) || covered('family', '', session)) &&
      (client === null || covered('client', '', client)) &&
      (device === null || covered('device', '', device)) &&
      act.every((actor) => covered('subject', '', actor.sub))
    expect([seed, txnToken, whole]).toEqual([seed, txnToken, true])
  }
  console.log(`fuzz transaction claims: FUZZ_SEED=${seed}, ${[...verdicts].map((v) => v.join(' ')).join(', ')}`)
}, 240_000)

function pick(random: SeededRandom): Buffer {
  return specimens[random.below(specimens.length)] as Buffer
}

function mutated(token: Buffer, random: SeededRandom): Buffer {
  if (random.below(200) === 0) return Buffer.concat([token, Buffer.from(random.bytes(8_192).toString('base64url'))])
  const other = pick(random)
  switch (random.below(5)) {
    case 0:
      return blind(token, random)
    case 1:
      return structured(token, fieldsOf(token), other, fieldsOf(other), random)
    case 2:
      return recoded(token, random, (bytes) => blind(bytes, random))
    case 3:
      return recoded(token, random, (bytes) => rewritten(bytes, random))
    default:
      return resigned(token, random)
  }
}

/** One part decoded, changed and written again as it should be. */
function recoded(token: Buffer, random: SeededRandom, change: (bytes: Buffer) => Buffer): Buffer {
  const parts = token.toString().split('.')
  const at = random.below(3)
  parts[at] = change(Buffer.from(parts[at] as string, 'base64url')).toString('base64url')
  return Buffer.from(parts.join('.'))
}

const REWRITES: readonly (readonly [RegExp, string])[] = [
  [/EdDSA/, 'none'],
  [/EdDSA/, 'HS256'],
  [/EdDSA/, 'ES256'],
  [/txntoken\+jwt/, 'at+jwt'],
  [/env-1/, 'sig-1'],
  [/env-1/, 'constructor'],
  [/env-1/, 'env-2'],
  [/\{/, '{"crit":["exp"],'],
  [/\{/, '{"iss":"https://identity.example",'],
  [/acme/, 'globex'],
  [/services\.example/, 'services.evil'],
  [/invoices:read/, 'admin'],
  [/"exp":\d+/, '"exp":9999999999'],
  [/\}$/, '} '],
]

function rewritten(bytes: Buffer, random: SeededRandom): Buffer {
  const [found, by] = REWRITES[random.below(REWRITES.length)] as (typeof REWRITES)[number]
  return Buffer.from(bytes.toString().replace(found, by))
}

/** Under a good signature of a key that may not: its own id, or another’s. */
function resigned(token: Buffer, random: SeededRandom): Buffer {
  const [, claims = ''] = token.toString().split('.')
  const kid = random.below(2) === 0 ? 'sig-1' : 'env-1'
  const header = Buffer.from(JSON.stringify({ alg: 'EdDSA', typ: 'txntoken+jwt', kid })).toString('base64url')
  const input = `${header}.${claims}`
  return Buffer.from(`${input}.${signal.sign(Buffer.from(input)).toString('base64url')}`)
}

const ODD: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 2 ** 53, '', 'x', '__proto__', '\ud800', [], {}, [[]], ['acme'], { sub: 'u_1' }],
  { sub: 'u_9', principal: 'user' },
  { log_id: 'log-1', offset: -2 },
  [['tenant', 'acme', '', 0, 1]],
  'x'.repeat(2_000),
]

/** As text, or as members: one gone, one odd, one in another's place. */
function damage(claims: Buffer, random: SeededRandom): Buffer {
  if (random.below(4) === 0) return blind(claims, random)
  const members = JSON.parse(claims.toString()) as Record<string, unknown>
  const names = Object.keys(members)
  const one = (): string => names[random.below(names.length)] as string
  const name = one()
  const { [name]: value, ...rest } = members
  const list = Array.isArray(value) ? value.filter(() => random.below(6) > 0) : value
  const changes = [undefined, ODD[random.below(ODD.length)], members[one()], list]
  return Buffer.from(JSON.stringify({ ...rest, [name]: changes[random.below(changes.length)] }))
}

function clockAt(now: number) {
  return { now: () => now, monotonic: () => 0, sleep: async () => {}, after: () => () => {} }
}
