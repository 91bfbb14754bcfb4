import fc from 'fast-check'
import { expect, it } from 'vitest'
import { packBody, RowHasher, unpackBody } from './row.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const bodies = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(
    fc.tuple(
      fc.string({ maxLength: 10 }).filter((name) => name.isWellFormed()),
      bytes,
    ),
    { maxLength: 4 },
  ),
})

it('unpacks what it packed; null is not empty', () => {
  fc.assert(
    fc.property(bodies, (body) => {
      expect(unpackBody(packBody(body))).toEqual({ ...body })
    }),
  )
})

it('ends with any bytes, and says no more than they do', () => {
  fc.assert(
    fc.property(bytes, (any) => {
      const { key, value, headers } = unpackBody(any)
      const said = [key, value, ...headers.map(([, bytes]) => bytes)].reduce((sum, one) => sum + (one?.length ?? 0), 0)
      expect(said).toBeLessThanOrEqual(any.length)
    }),
  )
})

it('hashes rows apart that differ in anything', () => {
  const row = { topic: 'topic', partition: 1, offset: 2 ** 40, after: -1, at: 3, body: Buffer.from('body') }
  const others = [
    { ...row, topic: 'topi' },
    { ...row, partition: 2 },
    { ...row, offset: 2 ** 40 + 1 },
    { ...row, offset: 0 },
    { ...row, after: 0 },
    { ...row, at: 4 },
    { ...row, body: Buffer.from('bodY') },
    { ...row, body: Buffer.from('body\0') },
  ]
  const hasher = new RowHasher()
  const prev = Buffer.alloc(32, 1)
  const all = [row, ...others].map((one) => hasher.hash(prev, 7, one).toString('hex'))
  all.push(hasher.hash(prev, 8, row).toString('hex'), hasher.hash(Buffer.alloc(32, 2), 7, row).toString('hex'))
  expect(new Set(all).size).toBe(all.length)
  expect(hasher.hash(prev, 7, { ...row, body: Buffer.alloc(1_000_000) })).toHaveLength(32)
  expect(hasher.hash(prev, 7, row).toString('hex')).toBe(all[0])
})
