import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ReplyGuard } from './guard.ts'

type Frame = string | Frame[]
const { frame } = fc.letrec<{ frame: Frame }>((tie) => ({
  frame: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom('+OK\r\n', '-ERR no -1\r\n', ':-42\r\n', '$-1\r\n', '*-1\r\n', '*0\r\n', '$0\r\n\r\n'),
    fc.string({ unit: 'binary', maxLength: 40 }).map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`),
    fc.array(tie('frame'), { minLength: 1, maxLength: 4 }),
  ),
}))
const wire = (of: Frame): string => (typeof of === 'string' ? of : `*${of.length}\r\n${of.map(wire).join('')}`)

it('lets through every reply that was asked for, however it is cut, and counts them', () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 6 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 30 })),
      (frames, cuts) => {
        const bytes = Buffer.from(frames.map(wire).join(''))
        let due = frames.length
        // The client answers whoever waits as replies are complete; here none is taken before the chunk has been judged.
        const guard = new ReplyGuard(() => due)
        const ends = frames.map((_, i) =>
          Buffer.byteLength(
            frames
              .slice(0, i + 1)
              .map(wire)
              .join(''),
          ),
        )
        let at = 0
        for (const cut of cuts) {
          if (at >= bytes.length) break
          expect(guard.refuse(bytes.subarray(at, at + cut))).toBeNull()
          at += cut
          due = ends.filter((end) => end > at).length
        }
        expect(guard.refuse(Buffer.from('+OK\r\n'))).toBe('a reply nobody asked for')
      },
    ),
    { numRuns: 300 },
  )
})

it.each([
  ['>1\r\n', 'a reply of a type that was not agreed to'],
  ['*1\r\n>', 'a reply of a type that was not agreed to'],
  ['$67108865\r\n', 'a reply is too large'],
  ['*99999999999999999999\r\n', 'a reply is too large'],
  ['$x', 'a reply of no length'],
  ['*1\r\n'.repeat(9), 'a reply is nested too deep'],
  [`+${'x'.repeat(70_000)}`, 'a reply has a line without end'],
])('CVE-2021-29469: refuses %j before anything is made of it', (text, reason) => {
  expect(new ReplyGuard(() => 1).refuse(Buffer.from(text))).toBe(reason)
})

it('counts what one reply has brought so far, not what all have', () => {
  const guard = new ReplyGuard(() => 1)
  const chunk = Buffer.alloc(1024 * 1024)
  const whole = (): (string | null)[] => {
    const reasons = [guard.refuse(Buffer.from(`$${chunk.length * 40 - 2}\r\n`))]
    for (let i = 0; i < 40; i++) reasons.push(guard.refuse(i < 39 ? chunk : Buffer.concat([chunk, Buffer.alloc(0)])))
    return reasons
  }
  expect(new Set([...whole(), ...whole()])).toEqual(new Set([null]))
  expect(guard.refuse(Buffer.from('*2\r\n$60000000\r\n'))).toBeNull()
  for (let left = 60_000_002; left > 0; left -= chunk.length)
    expect(guard.refuse(chunk.subarray(0, Math.min(left, chunk.length)))).toBeNull()
  expect(guard.refuse(Buffer.from('$60000000\r\n'))).toBeNull()
  const reasons = Array.from({ length: 8 }, () => guard.refuse(chunk))
  expect(reasons.at(-1)).toBe('a reply is too large')
})
