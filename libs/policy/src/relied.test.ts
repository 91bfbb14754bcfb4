/** Earlier steps that work relies on: each judged by its own times, under the rules of the class that runs now. */
import type { OpenedEnvelope } from '@countersign/envelope'
import { NOW, testClaims } from '@countersign/envelope/testing'
import type { FloorEntry } from '@countersign/revocation'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type DecideInput, decide, defineJobClass, type JobClassInput, type Phase } from './index.ts'

const HOUR = 3_600_000
const key = (n: number): Buffer => Buffer.alloc(16, n)

/** The step of somebody: their subject is target `n`, of the version given. */
function step(n: number, version: number, iat: number, scope: string[] = ['pay']): OpenedEnvelope {
  const base = testClaims({ iat, exp: iat + HOUR, scope })
  const targets = [{ kind: 'subject' as const, key: key(n), version }]
  const claims = { ...base, tctx: { ...base.tctx, targets, scope_version: version } }
  return { claims, chain: [claims], keyId: 'k', targets, scopes: scope, relied: [] }
}

function floor(effect: string, higher: number, lower = 0): FloorEntry {
  return { effect, fallback: 'role_change', higher, lower }
}

/** The payment of target 1, just sealed, that relies on the request of target 2, made three hours ago. */
function input(
  floors: Readonly<Record<number, readonly FloorEntry[]>>,
  inFlight: JobClassInput['inFlight'] = {},
  phase: Phase = 'queued',
): DecideInput {
  const request = step(2, NOW - 4 * HOUR, NOW - 3 * HOUR, ['request'])
  return {
    rules: defineJobClass({ name: 'payment', topic: 'payments.run', action: 'pay', scopes: ['pay'], inFlight }),
    envelope: { ...step(1, NOW - 4 * HOUR, NOW - 1_000), relied: [request] },
    view: { floors: (k) => floors[k[0] as number] ?? [] },
    freshness: { proven: true, closed: null, asOf: NOW, ageMs: 1, storeUnseenForMs: 0 },
    reached: 'reached',
    now: NOW,
    epsilonMs: 250,
    phase,
  }
}

const finish = { queued: { logout: 'finish', role_change: 'finish' }, running: { logout: 'finish' } } as const

it.each<[string, DecideInput, string]>([
  ['nothing happened', input({}), 'allow'],
  ['the requester was suspended', input({ 2: [floor('reason:suspension', NOW)] }), 'earlier_revoked_suspension'],
  ['suspended before, and back', input({ 2: [floor('reason:suspension', NOW - 5 * HOUR)] }), 'allow'],
  ['the requester logged out', input({ 2: [floor('reason:logout', NOW)] }), 'earlier_revoked_logout'],
  ['logged out since, by class', input({ 2: [floor('reason:logout', NOW - 2 * HOUR)] }, finish), 'allow'],
  [
    'sealed within the skew of the logout, which no class lets finish',
    input({ 2: [floor('reason:logout', NOW - 3 * HOUR + 250)] }, finish),
    'earlier_revoked_logout',
  ],
  [
    'logged out twice: the request was made under the floor before',
    input({ 2: [floor('reason:logout', NOW, NOW - HOUR)] }, finish),
    'earlier_revoked_logout',
  ],
  ['the scope it was asked with is gone', input({ 2: [floor('scope:request', NOW)] }), 'earlier_revoked_role_change'],
  ['that scope is gone, by class', input({ 2: [floor('scope:request', NOW)] }, finish), 'allow'],
  ['a scope it did not have is gone', input({ 2: [floor('scope:pay', NOW)] }), 'allow'],
  ['an effect not known here', input({ 2: [floor('reason:new', NOW)] }), 'earlier_revoked_role_change'],
  [
    'own endings come first',
    input({ 1: [floor('reason:logout', NOW)], 2: [floor('reason:compromise', NOW)] }),
    'revoked_logout',
  ],
  [
    'the strictest of several',
    input({ 2: [floor('reason:logout', NOW), floor('reason:compromise', NOW)] }),
    'earlier_revoked_compromise',
  ],
  ['while it runs', input({ 2: [floor('reason:suspension', NOW)] }, finish, 'running'), 'earlier_revoked_suspension'],
  ['while it runs, by class', input({ 2: [floor('reason:logout', NOW)] }, finish, 'running'), 'allow'],
])('%s', (_, given, expected) => {
  const decision = decide(given)
  expect(decision.outcome === 'allow' ? 'allow' : decision.reason).toBe(expected)
})

it('says which rule, and of whom only that it was an earlier step', () => {
  expect(decide(input({ 2: [floor('reason:logout', NOW)] }))).toMatchObject({
    outcome: 'deny',
    rule: 'relies_on.queued.logout=stop',
    detail: `an earlier step: subject version ${NOW - 4 * HOUR} is below its floor ${NOW}`,
  })
})

it('never allows because of one more it relies on, and gives no scope for it', () => {
  const entry = fc.record({
    effect: fc.constantFrom('reason:logout', 'reason:suspension', 'scope:pay', 'scope:request'),
    fallback: fc.constant('role_change' as const),
    higher: fc.integer({ min: 1, max: 12 }),
    lower: fc.constant(0),
  })
  const floors = fc.dictionary(fc.constantFrom('1', '2', '3'), fc.array(entry, { maxLength: 3 }))
  fc.assert(
    fc.property(floors, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }), (kept, version, iat) => {
      const given = input(kept as Record<number, FloorEntry[]>, finish)
      const { envelope } = given
      const more = { ...envelope, relied: [...envelope.relied, step(3, version, iat, ['request'])] }
      const before = decide(given)
      const after = decide({ ...given, envelope: more })
      if (before.outcome !== 'allow') expect(after).toEqual(before.reason.startsWith('earlier') ? after : before)
      if (before.outcome !== 'allow') expect(after.outcome).toBe('deny')
      if (after.outcome === 'allow') expect(after).toEqual(before)
    }),
    { numRuns: 2_000 },
  )
})
