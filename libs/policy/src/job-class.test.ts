import { REASONS } from '@countersign/revocation'
import { describe, expect, it } from 'vitest'
import { defineJobClass, ruleVersion } from './index.ts'

const least = { name: 'payment', topic: 'payments.run', action: 'pay' }

describe('a job class', () => {
  it('is strict by default: nothing finishes, queued or running', () => {
    const rules = defineJobClass(least)
    for (const reason of REASONS) {
      expect([rules.inFlight.queued[reason], rules.inFlight.running[reason]]).toEqual(['stop', 'stop'])
    }
    expect(rules).toMatchObject({
      whenNotFresh: 'wait',
      observe: false,
      attempts: 3,
      stalenessBudgetMs: 5_250,
      scopes: [],
    })
  })

  it('takes single rules over its preset', () => {
    const rules = defineJobClass({ ...least, preset: 'finish-accepted', inFlight: { queued: { logout: 'stop' } } })
    expect(rules.inFlight.queued).toMatchObject({ logout: 'stop', expiry: 'finish', compromise: 'stop' })
    expect(rules.inFlight.running.logout).toBe('finish')
  })

  it('of money has the smallest budget: three intervals and the skew', () => {
    expect(defineJobClass({ ...least, preset: 'money' }).stalenessBudgetMs).toBe(3_250)
  })

  it('keeps scopes sorted and distinct', () => {
    expect(defineJobClass({ ...least, scopes: ['b', 'a', 'b'] }).scopes).toEqual(['a', 'b'])
  })

  it.each([
    ['an unknown key', { ...least, colour: 'red' }, 'colour'],
    ['an unknown key in a part', { ...least, inFlight: { paused: {} } }, 'paused'],
    ['an unknown reason', { ...least, inFlight: { queued: { boredom: 'stop' } } }, 'boredom'],
    ['an unknown preset', { ...least, preset: 'lax' }, 'preset'],
    ['a missing topic', { name: 'payment', action: 'pay' }, 'topic'],
    ['a bad name', { ...least, name: 'Payment!' }, 'name'],
    ['a budget below three intervals', { ...least, stalenessBudgetMs: 3_249 }, '3250'],
    ['a negative wait', { ...least, maxWaitMs: -1 }, 'maxWaitMs'],
    ['no attempt at all', { ...least, attempts: 0 }, 'attempts'],
    ['something else', null, ''],
  ])('refuses %s by name', (_, data, named) => {
    let message = ''
    try {
      defineJobClass(data)
    } catch (error) {
      expect(error).toMatchObject({ code: 'POLICY_CLASS_INVALID', retriable: false })
      message = (error as Error).message
    }
    expect(message).not.toBe('')
    expect(message).toContain(named)
  })

  it('bounds the budget by the interval in use', () => {
    const limits = { checkpointIntervalMs: 200, epsilonMs: 50 }
    expect(defineJobClass({ ...least, stalenessBudgetMs: 650 }, limits).stalenessBudgetMs).toBe(650)
    expect(() => defineJobClass({ ...least, stalenessBudgetMs: 649 }, limits)).toThrow('650')
  })

  it('is frozen to the bottom', () => {
    const rules = defineJobClass(least)
    expect(() => Object.assign(rules.inFlight.queued, { compromise: 'finish' })).toThrow(TypeError)
    expect(() => (rules.scopes as string[]).push('x')).toThrow(TypeError)
  })
})

describe('a rule version', () => {
  it('changes exactly when a rule does, whatever the order of keys', () => {
    const version = ruleVersion(defineJobClass(least))
    expect(version).toMatch(/^[0-9a-f]{32}$/)
    expect(ruleVersion(defineJobClass({ action: 'pay', topic: 'payments.run', name: 'payment' }))).toBe(version)
    expect(ruleVersion(defineJobClass({ ...least, attempts: 4 }))).not.toBe(version)
    expect(ruleVersion(defineJobClass({ ...least, inFlight: { running: { limit: 'finish' } } }))).not.toBe(version)
  })
})
