/** Tables for every cause, and properties against a plain oracle. */
import { REASONS, type Reason, strictness } from '@countersign/revocation'
import type { EnvelopeClaims, TargetVersion } from '@countersign/schemas'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DecideInput, type Decision, decide, defineJobClass, type JobClassInput, type Phase } from './index.ts'

const NOW = 1_800_000_000_000
const EPSILON = 250
const key = (n: number): Buffer => Buffer.alloc(16, n)

interface Floor {
  on: number
  effect: string
  fallback: Reason
  higher: number
  lower: number
}
type Change = Omit<Partial<DecideInput>, 'freshness' | 'rules'> & {
  rules?: Partial<JobClassInput>
  claims?: Partial<EnvelopeClaims>
  tctx?: Partial<EnvelopeClaims['tctx']>
  rctx?: Partial<EnvelopeClaims['rctx']>
  targets?: TargetVersion[]
  freshness?: Partial<DecideInput['freshness']>
  floors?: Floor[]
}

function input(change: Change = {}): DecideInput {
  const { rules, claims, tctx, rctx, targets, freshness, floors = [], ...rest } = change
  const made: EnvelopeClaims = {
    txn: 'txn',
    sub: 'sub',
    aud: 'payments',
    scope: ['pay', 'read'],
    req_wl: 'api',
    iat: NOW - 5_000,
    exp: NOW + 60_000,
    tctx: {
      tenant: 't1',
      principal: 'user',
      act: [],
      credential: 'session_cookie',
      session: 's',
      client: null,
      device: null,
      targets: targets ?? [target(1, NOW - 60_000), target(2, NOW - 50_000, 'affiliation')],
      scope_version: NOW - 50_000,
      position: { log_id: 'log', offset: 1 },
      ...tctx,
    },
    rctx: {
      request_id: null,
      auth_time: NOW - 65_000,
      acr: 'aal1',
      amr: [],
      ip: null,
      user_agent: null,
      posture: null,
      risk: null,
      ...rctx,
    },
    event: { topic: 'payments.run', key: null, id: key(9), payload_sha256: null },
    depth: 0,
    parent: null,
    relies_on: [],
    succession: null,
    ...claims,
  }
  return {
    rules: defineJobClass({ name: 'payment', topic: 'payments.run', action: 'pay', scopes: ['pay'], ...rules }),
    envelope: { claims: made, chain: [made], keyId: 'k', targets: made.tctx.targets, scopes: made.scope, relied: [] },
    view: { floors: (k) => floors.filter((floor) => floor.on === k[0]) },
    freshness: { proven: true, closed: null, asOf: NOW - 900, ageMs: 1_100, storeUnseenForMs: 0, ...freshness },
    reached: 'reached',
    now: NOW,
    epsilonMs: EPSILON,
    phase: 'queued',
    ...rest,
  }
}

function target(n: number, version: number, kind: TargetVersion['kind'] = 'session'): TargetVersion {
  return { kind, key: key(n), version }
}

function floor(effect: string, higher: number, more: Partial<Floor> = {}): Floor {
  return { on: 1, effect, fallback: 'compromise', higher, lower: 0, ...more }
}

const verdict = (change: Change): string => {
  const decision = decide(input(change))
  expect(decision.asOf).toBe(NOW - 900)
  expect(decision.rule).not.toBe('')
  return `${decision.outcome} ${decision.reason}`
}

describe('what is not floors', () => {
  it.each<[string, Change, string]>([
    ['allows what nothing forbids', {}, 'allow allowed'],
    ['waits for a proof', { freshness: { proven: false } }, 'wait view_not_proven'],
    ['waits for a first proof', { freshness: { proven: false, closed: 'unproven' } }, 'wait view_not_proven'],
    ['waits while closed', { freshness: { closed: 'digest_mismatch' } }, 'wait view_closed'],
    [
      'parks while closed, by class',
      { freshness: { closed: 'digest_mismatch' }, rules: { whenNotFresh: 'park' } },
      'park view_closed',
    ],
    ['takes an age equal to the budget', { freshness: { ageMs: 5_250 } }, 'allow allowed'],
    ['waits past the budget', { freshness: { ageMs: 5_250.01 } }, 'wait view_stale'],
    ['does not trust an age that is no number', { freshness: { ageMs: Number.NaN } }, 'wait view_stale'],
    ['ignores an unseen store unless bounded', { freshness: { storeUnseenForMs: 1e9 } }, 'allow allowed'],
    [
      'waits for an unseen store when bounded',
      { freshness: { storeUnseenForMs: 2 }, rules: { storeUnseenBudgetMs: 1 } },
      'wait store_unseen',
    ],
    [
      'waits while behind, even if the class parks',
      { reached: 'behind', rules: { whenNotFresh: 'park' } },
      'wait view_behind',
    ],
    ['denies a position beyond the log', { reached: 'beyond' }, 'deny position_beyond_log'],
    ['asks freshness before position', { reached: 'beyond', freshness: { proven: false } }, 'wait view_not_proven'],
    ['denies at expiry', { claims: { exp: NOW } }, 'deny envelope_expired'],
    ['allows just before', { claims: { exp: NOW + 1 } }, 'allow allowed'],
    ['asks for the principal', { rules: { principals: ['schedule'] } }, 'deny principal_not_allowed'],
    ['takes the principal', { rules: { principals: ['schedule', 'user'] } }, 'allow allowed'],
    ['asks for strength', { rules: { acr: ['aal2'] } }, 'deny acr_insufficient'],
    ['takes strength', { rules: { acr: ['aal2'] }, rctx: { acr: 'aal2' } }, 'allow allowed'],
    ['asks for a recent authentication', { rules: { maxAuthAgeMs: 59_999 } }, 'deny authentication_too_old'],
    ['takes one, as of sealing', { rules: { maxAuthAgeMs: 60_000 } }, 'allow allowed'],
    [
      'takes no authentication for an old one',
      { rules: { maxAuthAgeMs: 60_000 }, rctx: { auth_time: null } },
      'deny authentication_too_old',
    ],
    ['asks for posture', { rules: { posture: ['managed'] } }, 'deny posture_insufficient'],
    ['takes posture', { rules: { posture: ['managed'] }, rctx: { posture: 'managed' } }, 'allow allowed'],
    ['asks for risk', { rules: { risk: ['low'] } }, 'deny risk_too_high'],
    ['takes risk', { rules: { risk: ['low'] }, rctx: { risk: 'low' } }, 'allow allowed'],
    ['asks for scopes', { rules: { scopes: ['refund'] } }, 'deny scope_missing'],
  ])('%s', (_, change, expected) => {
    expect(verdict(change)).toBe(expected)
  })
})

describe('floors', () => {
  it.each(REASONS.flatMap((reason) => (['queued', 'running'] as const).map((phase) => [reason, phase] as const)))(
    '%s, %s: stop denies, finish lets accepted work go on',
    (reason, phase) => {
      const floors = [floor(`reason:${reason}`, NOW - 1_000)]
      const rule = (what: 'stop' | 'finish'): Partial<JobClassInput> => ({ inFlight: { [phase]: { [reason]: what } } })
      expect(verdict({ floors, phase, rules: rule('stop') })).toBe(`deny revoked_${reason}`)
      const decision = decide(input({ floors, phase, rules: rule('finish') }))
      expect(decision).toMatchObject({ outcome: 'allow', rule: `in_flight.${phase}.${reason}=finish` })
    },
  )

  const finish: Partial<JobClassInput> = { inFlight: { queued: { logout: 'finish' } } }
  it.each<[string, Change, string]>([
    ['leave a version at the floor alone', { floors: [floor('reason:logout', NOW - 60_000)] }, 'allow allowed'],
    ['hit a version below', { floors: [floor('reason:logout', NOW - 59_999)] }, 'deny revoked_logout'],
    ['of other targets do not matter', { floors: [floor('reason:logout', NOW, { on: 7 })] }, 'allow allowed'],
    [
      'do not let finish what was sealed within the skew',
      { rules: finish, floors: [floor('reason:logout', NOW - 4_750)] },
      'deny revoked_logout',
    ],
    [
      'let finish what was sealed before',
      { rules: finish, floors: [floor('reason:logout', NOW - 4_749)] },
      'allow allowed',
    ],
    [
      'do not let finish what an earlier floor hits',
      { rules: finish, floors: [floor('reason:logout', NOW - 1, { lower: NOW - 59_999 })] },
      'deny revoked_logout',
    ],
    [
      'let finish what the earlier floor leaves',
      { rules: finish, floors: [floor('reason:logout', NOW - 1, { lower: NOW - 60_000 })] },
      'allow allowed',
    ],
    [
      'of unknown effect count as their fallback',
      { floors: [floor('colour:red', NOW, { fallback: 'device_lost' })] },
      'deny revoked_device_lost',
    ],
    [
      'of unknown reason count as their fallback',
      { rules: finish, floors: [floor('reason:new', NOW - 1, { fallback: 'logout' })] },
      'allow allowed',
    ],
    ['take a scope made before', { floors: [floor('scope:pay', NOW - 49_999, { on: 2 })] }, 'deny scope_removed'],
    ['leave a scope made since', { floors: [floor('scope:pay', NOW - 50_000, { on: 2 })] }, 'allow allowed'],
    [
      "judge scopes by their own version, not the target's",
      { floors: [floor('scope:pay', NOW - 55_000)] },
      'allow allowed',
    ],
    ['of a scope do not end the work', { floors: [floor('scope:read', NOW, { on: 2 })] }, 'allow allowed'],
    [
      'say the strictest reason',
      { floors: [floor('reason:logout', NOW), floor('reason:compromise', NOW, { on: 2 })] },
      'deny revoked_compromise',
    ],
    [
      'say a stop though another finishes',
      { rules: finish, floors: [floor('reason:logout', NOW - 1), floor('reason:limit', NOW - 1)] },
      'deny revoked_limit',
    ],
    [
      'come before scopes',
      { floors: [floor('scope:pay', NOW, { on: 2 }), floor('reason:logout', NOW)] },
      'deny revoked_logout',
    ],
  ])('%s', (_, change, expected) => {
    expect(verdict(change)).toBe(expected)
  })

  it('remove scopes that add up, and leave the rest', () => {
    const floors = [floor('scope:read', NOW, { on: 2 }), floor('scope:write', NOW)]
    expect(decide(input({ floors, claims: { scope: ['pay', 'read', 'write'] } }))).toMatchObject({ scopes: ['pay'] })
  })

  it('explain themselves without naming anybody', () => {
    const decision = decide(input({ floors: [floor('reason:logout', NOW)] }))
    expect(decision).toMatchObject({
      rule: 'in_flight.queued.logout=stop',
      detail: `session version ${NOW - 60_000} is below its floor ${NOW}`,
    })
  })
})

describe('running work', () => {
  it.each<[string, Change, string]>([
    [
      'is hit even on a stale view',
      { freshness: { ageMs: 1e9 }, floors: [floor('reason:logout', NOW)] },
      'deny revoked_logout',
    ],
    ['is told of a stale view when nothing hits', { freshness: { ageMs: 1e9 } }, 'wait view_stale'],
    ['does not expire', { claims: { exp: NOW - 10_000 } }, 'allow allowed'],
    ['is not asked for its position again', { reached: 'behind' }, 'allow allowed'],
    ['loses a scope', { floors: [floor('scope:pay', NOW, { on: 2 })] }, 'deny scope_removed'],
  ])('%s', (_, change, expected) => {
    expect(verdict({ ...change, phase: 'running' })).toBe(expected)
  })
})

/** Small numbers, so that versions, floors, seals and skew meet often. */
const small = fc.integer({ min: 1, max: 12 })
const effects = fc.constantFrom(
  'reason:logout',
  'reason:compromise',
  'reason:role_change',
  'reason:new',
  'scope:pay',
  'scope:read',
  'colour:red',
)
const aFloor: fc.Arbitrary<Floor> = fc
  .record({
    on: fc.integer({ min: 1, max: 3 }),
    effect: effects,
    fallback: fc.constantFrom<Reason>('logout', 'suspension'),
    higher: small,
    drop: fc.integer({ min: 1, max: 12 }),
  })
  .map(({ drop, ...rest }) => ({ ...rest, lower: Math.max(0, rest.higher - drop) }))
/** A view keeps one entry for each target and effect. */
const someFloors = fc.uniqueArray(aFloor, { selector: (f) => `${f.on} ${f.effect}`, maxLength: 8 })
const rule = fc.constantFrom<'finish' | 'stop'>('finish', 'stop')
const scene = fc.record({
  floors: someFloors,
  targets: fc.array(fc.record({ n: fc.integer({ min: 1, max: 3 }), version: small }), { maxLength: 4 }),
  scopeVersion: small,
  iat: small,
  logout: rule,
  role_change: rule,
  suspension: rule,
  phase: fc.constantFrom<Phase>('queued', 'running'),
  proven: fc.boolean(),
})
type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never

function play(s: Scene): DecideInput {
  const inFlight = { [s.phase]: { logout: s.logout, role_change: s.role_change, suspension: s.suspension } }
  return input({
    floors: s.floors,
    phase: s.phase,
    epsilonMs: 2,
    now: 20,
    rules: { inFlight },
    freshness: { proven: s.proven, asOf: 1 },
    claims: { iat: s.iat, exp: 1_000 },
    tctx: { scope_version: s.scopeVersion },
    targets: s.targets.map((t) => target(t.n, t.version)),
  })
}

/** The rules of DESIGN 2.1, 2.6 and 2.13 once more, as sentences over lists. */
function oracle(s: Scene): string {
  const rules = play(s).rules.inFlight[s.phase]
  const pairs = s.targets.flatMap((t) =>
    s.floors.filter((f) => f.on === t.n).map((f) => ({ ...f, version: t.version })),
  )
  const gone = new Set(
    pairs.filter((p) => p.effect.startsWith('scope:') && s.scopeVersion < p.higher).map((p) => p.effect.slice(6)),
  )
  const hits = pairs
    .filter((p) => !p.effect.startsWith('scope:') && p.version < p.higher)
    .map((p) => ({ ...p, reason: (REASONS.find((r) => `reason:${r}` === p.effect) ?? p.fallback) as Reason }))
  const may = hits.filter((h) => rules[h.reason] === 'finish' && h.version >= h.lower && s.iat < h.higher - 2)
  const ended = hits.filter((h) => !may.includes(h)).map((h) => h.reason)
  const denied =
    ended.length > 0
      ? `deny revoked_${ended.sort((a, b) => strictness(a) - strictness(b))[0]}`
      : gone.has('pay')
        ? 'deny scope_removed'
        : null
  if (s.phase === 'queued' && !s.proven) return 'wait view_not_proven'
  if (denied) return denied
  return s.proven ? `allow ${['pay', 'read'].filter((x) => !gone.has(x)).join()}` : 'wait view_not_proven'
}

const told = (d: Decision): string => (d.outcome === 'allow' ? `allow ${d.scopes.join()}` : `${d.outcome} ${d.reason}`)

describe('properties', () => {
  it('agrees with the oracle', () => {
    fc.assert(
      fc.property(scene, (s) => {
        expect(told(decide(play(s)))).toBe(oracle(s))
      }),
      { numRuns: 5_000 },
    )
  })

  it('never allows because of a floor more, and never gives scopes back', () => {
    fc.assert(
      fc.property(scene, aFloor, (s, more) => {
        const rest = s.floors.filter((f) => f.on !== more.on || f.effect !== more.effect)
        const before = decide(play({ ...s, floors: rest }))
        const after = decide(play({ ...s, floors: [...rest, more] }))
        if (before.outcome !== 'allow') expect(after.outcome).not.toBe('allow')
        else if (after.outcome === 'allow') for (const scope of after.scopes) expect(before.scopes).toContain(scope)
      }),
      { numRuns: 3_000 },
    )
  })

  it('never allows because a kept floor rises', () => {
    fc.assert(
      fc.property(scene, fc.nat({ max: 7 }), small, (s, which, raise) => {
        const old = s.floors[which]
        if (!old) return
        const risen = { ...old, higher: old.higher + raise, lower: old.higher }
        const before = decide(play(s))
        const after = decide(play({ ...s, floors: s.floors.with(which, risen) }))
        if (before.outcome !== 'allow') expect(after.outcome).not.toBe('allow')
      }),
      { numRuns: 3_000 },
    )
  })

  it('does not depend on the order of floors or targets', () => {
    fc.assert(
      fc.property(scene, (s) => {
        const turned = { ...s, floors: s.floors.toReversed(), targets: s.targets.toReversed() }
        expect(decide(play(turned))).toEqual(decide(play(s)))
      }),
      { numRuns: 3_000 },
    )
  })
})
