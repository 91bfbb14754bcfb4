import { readFileSync } from 'node:fs'
import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { isEffect, REASONS, reasonEffect, reasonOf, scopeEffect, scopeOf, stricter, strictness } from './effects.ts'
import { signalFacts } from './signals.ts'
import { TARGET_KINDS, targetKey } from './targets.ts'

const schema = JSON.parse(readFileSync(new URL('../../../schemas/avro/signal.avsc', import.meta.url), 'utf8'))
const fieldType = (name: string) => schema.fields.find((field: { name: string }) => field.name === name).type

describe('effects', () => {
  test('know exactly the reasons and kinds of the contract', () => {
    expect([...REASONS].sort()).toEqual([...fieldType('fallback').symbols].sort())
    expect(TARGET_KINDS).toEqual(fieldType('target').fields[0].type.symbols)
  })

  test('fit the four bits an entry has for them', () => {
    expect(REASONS.length).toBeLessThanOrEqual(16)
  })

  test('are reasons, scopes, or nothing known here', () => {
    expect(reasonOf('reason:logout')).toBe('logout')
    expect(reasonOf('reason:eclipse')).toBeNull()
    expect(reasonOf('scope:logout')).toBeNull()
    expect(scopeOf('scope:invoices:read')).toBe('invoices:read')
    expect(scopeOf('scope:')).toBeNull()
    expect(reasonOf(reasonEffect('admin'))).toBe('admin')
    expect(scopeOf(scopeEffect('pay'))).toBe('pay')
  })

  test('are bounded', () => {
    expect(isEffect('')).toBe(false)
    expect(isEffect(`scope:${'é'.repeat(125)}`)).toBe(true)
    expect(isEffect(`scope:${'é'.repeat(126)}`)).toBe(false)
    expect(isEffect('scope:\ud800')).toBe(false)
  })

  const reason = fc.constantFrom(...REASONS)
  test.prop([reason, reason, reason])('the stricter reason wins in any order', (a, b, c) => {
    expect(stricter(a, b)).toBe(stricter(b, a))
    expect(stricter(a, stricter(b, c))).toBe(stricter(stricter(a, b), c))
    expect(stricter(a, a)).toBe(a)
    expect(strictness(stricter(a, b))).toBe(Math.min(strictness(a), strictness(b)))
  })

  test('compromise is the strictest', () => {
    for (const other of REASONS) expect(stricter('compromise', other)).toBe('compromise')
  })
})

describe('signalFacts', () => {
  const target = { kind: 'session', tenant: '', id: 's1' } as const
  const signal = { target, effect: 'reason:logout', fallback: 'logout', floor: 5 } as const

  test('takes target key, effect, fallback and floor', () => {
    expect(signalFacts(signal)).toEqual({
      key: targetKey(target),
      effect: 'reason:logout',
      fallback: 'logout',
      floor: 5,
    })
  })

  test('is null for what is not a signal', () => {
    expect(signalFacts({ ...signal, floor: 0 })).toBeNull()
    expect(signalFacts({ ...signal, floor: 2 ** 48 })).toBeNull()
    expect(signalFacts({ ...signal, floor: 1.5 })).toBeNull()
    expect(signalFacts({ ...signal, effect: '' })).toBeNull()
    expect(signalFacts({ ...signal, target: { ...target, tenant: 'acme' } })).toBeNull()
    expect(signalFacts({ ...signal, fallback: 'eclipse' as never })).toBeNull()
  })
})
