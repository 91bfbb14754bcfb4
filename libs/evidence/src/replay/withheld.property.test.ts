import { View } from '@countersign/revocation'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Folded, withheldFrom } from './withheld.ts'

const fallbacks = ['compromise', 'logout', 'expiry'] as const
const signals = fc
  .array(
    fc.record({
      target: fc.nat(5),
      effect: fc.constantFrom('reason:logout', 'scope:pay', 'reason:compromise'),
      fallback: fc.constantFrom(...fallbacks),
      floor: fc.integer({ min: 1, max: 12 }),
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((list) =>
    list.map(
      ({ target, ...rest }, offset): Folded => ({
        ...rest,
        offset,
        id: Buffer.alloc(16, offset + 1),
        key: Buffer.alloc(16, target),
      }),
    ),
  )

function digestOf(list: readonly Folded[], horizon: number): Buffer {
  const view = new View()
  for (const signal of list) view.apply(signal)
  view.dropOlderThan(horizon)
  return view.digest()
}

it('names the signal a view lacks, or one that would have left the very same view', () => {
  fc.assert(
    fc.property(signals, fc.nat(), fc.nat(8), (list, pick, horizon) => {
      const lost = list[pick % list.length] as Folded
      const others = list.filter((one) => one !== lost)
      const digest = digestOf(others, horizon)
      const found = withheldFrom({ horizon, signals: list }, digest)
      if (digest.equals(digestOf(list, horizon))) {
        // It made no difference, so nothing can be told; nor is anything told that does.
        for (const one of found)
          expect(
            digestOf(
              list.filter((other) => other !== one),
              horizon,
            ),
          ).toEqual(digest)
        return
      }
      expect(found).toContain(lost)
      for (const one of found)
        expect(
          digestOf(
            list.filter((other) => other !== one),
            horizon,
          ),
        ).toEqual(digest)
    }),
    { numRuns: 300 },
  )
})

it('names none for the digest of another view', () => {
  const list = [1, 2, 3].map((n) => ({
    offset: n,
    id: Buffer.alloc(16, n),
    key: Buffer.alloc(16, n),
    effect: 'reason:logout',
    fallback: 'logout' as const,
    floor: n,
  }))
  expect(withheldFrom({ horizon: 0, signals: list }, digestOf(list.slice(2), 0))).toEqual([])
  expect(withheldFrom({ horizon: 0, signals: list }, Buffer.alloc(32, 7))).toEqual([])
})
