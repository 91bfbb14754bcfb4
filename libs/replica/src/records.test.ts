import { SIGNATURE_HEADER } from '@countersign/schemas'
import { expect, test } from 'vitest'
import { World } from './testing-world.ts'

test('2.3 a signature header without a value is skipped, and the view stays proven', async () => {
  const w = new World()
  await w.proven()
  const value = w.log.partition().records.at(-1)?.value ?? null
  w.log.write({ key: null, value, headers: [[SIGNATURE_HEADER, null as unknown as Uint8Array]] })
  w.read()
  await w.tick()
  expect(w.faults).toEqual(['record_unreadable'])
  expect(w.fresh().proven).toBe(true)
})
