import { millis, seconds, systemRandom } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { affiliationTarget, target, targetKey } from '@countersign/revocation'
import { beforeEach, expect, test } from 'vitest'
import { Operators } from './operators.ts'

const NOW = 1_000_000
const WHO = {
  ...{ sub: 'olga', tenant: 'operations', acr: 'mfa', authTime: NOW },
  targets: [
    { kind: 'session', tenant: '', id: 'ses_1', version: NOW },
    { kind: 'family', tenant: '', id: 'fam_1', version: NOW },
    { kind: 'affiliation', tenant: 'operations', id: 'olga', version: NOW },
  ],
}

let clock: FakeClock
let floors: Map<string, { effect: string; higher: number }>
let fresh: boolean
let operators: Operators
let secret: string

beforeEach(() => {
  clock = new FakeClock(NOW)
  floors = new Map()
  fresh = true
  operators = new Operators({
    view: {
      freshness: () => ({ proven: fresh, closed: null, asOf: 0, ageMs: 0, storeUnseenForMs: 0 }),
      floors: (key) =>
        [floors.get(Buffer.from(key).toString('hex'))].flatMap((one) =>
          one ? [{ ...one, fallback: 'admin', lower: 0 }] : [],
        ),
    },
    clock,
    random: systemRandom,
    sessionLifeMs: seconds(60),
    provenForMs: seconds(10),
    stalenessMs: millis(500),
  })
  secret = operators.begin(WHO)
})

function raise(of: Parameters<typeof targetKey>[0], effect: string, higher = NOW + 1): void {
  floors.set(targetKey(of).toString('hex'), { effect, higher })
}

test('nobody without the secret, and nobody after it has ended', () => {
  expect(operators.judge(undefined)).toEqual({ ok: false, code: 'none' })
  expect(operators.judge(`${secret}x`)).toEqual({ ok: false, code: 'none' })
  expect(operators.judge(secret)).toMatchObject({ ok: true, operator: { sub: 'olga', provenAt: NOW } })
  operators.end(secret)
  expect(operators.judge(secret)).toEqual({ ok: false, code: 'none' })
})

test.each([
  ['a logout', () => raise(target('session', 'ses_1'), 'reason:logout')],
  ['a role taken away', () => raise(affiliationTarget('operations', 'olga'), 'scope:identity:admin')],
  ['its app ended', () => raise(target('family', 'fam_1'), 'reason:admin')],
])('%s ends it, at the next use and for good', (_what, end) => {
  end()
  expect(operators.judge(secret)).toEqual({ ok: false, code: 'ended' })
  floors.clear()
  expect(operators.judge(secret)).toEqual({ ok: false, code: 'none' })
})

test('that its token has run out, or that something ended before it began, ends nothing', () => {
  raise(target('family', 'fam_1'), 'reason:expiry')
  raise(target('session', 'ses_1'), 'reason:logout', NOW)
  expect(operators.judge(secret)).toMatchObject({ ok: true })
})

test('ends by its own life', async () => {
  await clock.advance(60_000)
  expect(operators.judge(secret)).toEqual({ ok: false, code: 'ended' })
})

test('without a fresh view the word of identity counts for a short while alone', async () => {
  fresh = false
  expect(operators.judge(secret)).toMatchObject({ ok: true })
  await clock.advance(10_000)
  expect(operators.judge(secret)).toEqual({ ok: false, code: 'stale' })
  fresh = true
  expect(operators.judge(secret)).toMatchObject({ ok: true })
})

test('what it depends on and is not known here cannot be vouched for', () => {
  const other = operators.begin({ ...WHO, targets: [{ kind: 'planet', tenant: '', id: 'x', version: NOW }] })
  expect(operators.judge(other)).toEqual({ ok: false, code: 'ended' })
})
