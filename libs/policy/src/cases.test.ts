import { describe, expect, it } from 'vitest'
import { defineJobClass, defineJobClasses, judgeCases, readCases } from './index.ts'

const classes = [
  defineJobClass({
    name: 'export',
    topic: 'invoices.export',
    action: 'export',
    preset: 'finish-accepted',
    scopes: ['a'],
  }),
  defineJobClass({
    name: 'pay',
    topic: 'payments.run',
    action: 'pay',
    preset: 'money',
    acr: ['mfa', 'phr'],
    maxAuthAgeMs: 600_000,
    posture: ['managed'],
    risk: ['low', 'medium'],
    principals: ['user'],
  }),
]

function verdicts(cases: readonly object[], work: object = {}): Record<string, string> {
  const named = cases.map((one) => ({ expect: { outcome: 'allow' }, class: 'export', ...one }))
  const results = judgeCases(readCases({ work, cases: named }).cases, classes)
  return Object.fromEntries(results.map(({ name, decision }) => [name, `${decision.outcome} ${decision.reason}`]))
}

describe('a table of cases', () => {
  it('judges signals by when they came and what the class says of their reason', () => {
    const logout = { target: 'session', reason: 'logout' }
    expect(
      verdicts([
        { name: 'nothing came' },
        { name: 'left after it was sealed', signals: [{ ...logout, ago: '10s' }] },
        { name: 'left before it was sealed', signals: [{ ...logout, ago: '2m' }] },
        { name: 'left before the session began', signals: [{ ...logout, ago: '2h' }] },
        { name: 'no session', work: { targets: ['subject'] }, signals: [{ ...logout, ago: '2m' }] },
        { name: 'stolen', signals: [{ target: 'token', reason: 'compromise', ago: '10s' }] },
        { name: 'scope lost', signals: [{ target: 'affiliation', scope: 'a', ago: '10s' }] },
        { name: 'other scope lost', signals: [{ target: 'affiliation', scope: 'b', ago: '10s' }] },
        { name: 'running', phase: 'running', view: { age: '1h' }, signals: [{ ...logout, ago: '10s' }] },
      ]),
    ).toEqual({
      'nothing came': 'allow allowed',
      'left after it was sealed': 'allow allowed',
      'left before it was sealed': 'deny revoked_logout',
      'left before the session began': 'allow allowed',
      'no session': 'allow allowed',
      stolen: 'deny revoked_compromise',
      'scope lost': 'deny scope_removed',
      'other scope lost': 'allow allowed',
      running: 'wait view_stale',
    })
  })

  it('judges strength, age of login, posture, risk, principal, life and view', () => {
    const pay = { class: 'pay' }
    const good = { acr: 'mfa', authenticated: '5m', posture: 'managed', risk: 'low' }
    expect(
      verdicts(
        [
          { ...pay, name: 'good' },
          { ...pay, name: 'weak', work: { acr: 'pwd' } },
          { ...pay, name: 'strength unknown', work: { acr: null } },
          { ...pay, name: 'long ago', work: { authenticated: '12m' } },
          { ...pay, name: 'long ago now, not at sealing', work: { authenticated: '12m', sealed: '3m' } },
          { ...pay, name: 'own device', work: { posture: 'unmanaged' } },
          { ...pay, name: 'device unknown', work: { posture: null } },
          { ...pay, name: 'risky', work: { risk: 'high' } },
          { ...pay, name: 'nightly', work: { principal: 'schedule' } },
          { ...pay, name: 'too late', work: { sealed: '3m', life: '2m' } },
          { ...pay, name: 'stale', view: { age: '4s' } },
          { ...pay, name: 'closed', view: { closed: 'digest_differs' } },
          { ...pay, name: 'store away', view: { storeUnseenFor: '2m' } },
          { ...pay, name: 'behind', view: { position: 'behind' } },
          { ...pay, name: 'beyond', view: { position: 'beyond' } },
        ],
        good,
      ),
    ).toEqual({
      good: 'allow allowed',
      weak: 'deny acr_insufficient',
      'strength unknown': 'deny acr_insufficient',
      'long ago': 'deny authentication_too_old',
      'long ago now, not at sealing': 'allow allowed',
      'own device': 'deny posture_insufficient',
      'device unknown': 'deny posture_insufficient',
      risky: 'deny risk_too_high',
      nightly: 'deny principal_not_allowed',
      'too late': 'deny envelope_expired',
      stale: 'wait view_stale',
      closed: 'wait view_closed',
      'store away': 'wait store_unseen',
      behind: 'wait view_behind',
      beyond: 'deny position_beyond_log',
    })
  })

  it.each([
    [{ outcome: 'deny' }, false],
    [{ outcome: 'allow', reason: 'scope_removed' }, false],
    [{ outcome: 'allow', rule: 'in_flight.queued.role_change=finish' }, false],
    [{ outcome: 'allow', scopes: ['b', 'c'] }, false],
    [{ outcome: 'allow' }, true],
    [{ outcome: 'allow', reason: 'allowed', rule: 'allow', scopes: ['c', 'a'] }, true],
  ])('passes only what is as expected: %j', (expected, passed) => {
    const signals = [{ target: 'affiliation', scope: 'b', ago: '10s' }]
    const one = { name: 'x', class: 'export', work: { scopes: ['a', 'b', 'c'] }, signals, expect: expected }
    expect(judgeCases(readCases({ cases: [one] }).cases, classes)[0]?.passed).toBe(passed)
  })

  it.each([
    [{}, 'cases'],
    [{ cases: [] }, 'cases'],
    [{ cases: [{ name: 'x', class: 'export' }] }, 'expect'],
    [{ cases: [{ name: 'x', class: 'export', expect: { outcome: 'maybe' } }] }, 'outcome'],
    [{ cases: [{ name: 'x', class: 'export', expect: { outcome: 'deny' }, work: { sealed: 5 } }] }, 'sealed'],
    [{ cases: [{ name: 'x', class: 'export', expect: { outcome: 'deny' }, work: { sealed: '5 m' } }] }, 'such as'],
    [{ cases: [{ name: 'x', class: 'export', expect: { outcome: 'deny' }, signal: [] }] }, 'signal'],
    [
      {
        cases: [
          { name: 'x', class: 'export', expect: { outcome: 'deny' }, signals: [{ target: 'session', ago: '1s' }] },
        ],
      },
      'a reason or a scope',
    ],
    [{ cases: Array(2).fill({ name: 'x', class: 'export', expect: { outcome: 'deny' } }) }, 'two cases'],
  ])('refuses %j and says where', (data, hint) => {
    const read = () => readCases(data)
    expect(read).toThrowError(hint)
    expect(read).toThrowError(expect.objectContaining({ code: 'POLICY_CASES_INVALID' }))
  })

  it('refuses a class that is not there', () => {
    const { cases } = readCases({ cases: [{ name: 'x', class: 'exprot', expect: { outcome: 'deny' } }] })
    expect(() => judgeCases(cases, classes)).toThrowError('there is no class exprot, only export, pay')
  })
})

describe('job classes of a file', () => {
  const one = { name: 'a', topic: 't', action: 'do' }
  it('are a list, or what a worker answers, or stand under "classes"', () => {
    const told = JSON.parse(JSON.stringify([{ ...defineJobClass(one), ruleVersion: 'abc' }]))
    for (const data of [[one], { classes: [one] }, told]) expect(defineJobClasses(data)).toEqual([defineJobClass(one)])
  })

  it.each([
    [[], 'at least one'],
    [{}, 'at least one'],
    [null, 'at least one'],
    [{ classes: [one], more: 1 }, 'nothing but'],
    [[one, one], 'two job classes are called a'],
    [['a'], 'expected object'],
    [[{ ...one, scoops: [] }], 'scoops'],
  ])('are not %j', (data, hint) => {
    expect(() => defineJobClasses(data)).toThrowError(hint)
  })
})
