import type { OutboxRow } from '@countersign/session-store'
import { expect, test } from 'vitest'
import { MemoryOutbox } from './memory-outbox.ts'
import { OutboxAudit } from './outbox-audit.ts'
import { SeenRows } from './seen-rows.ts'

const id = (n: number): Buffer => Buffer.alloc(16, n)
const at = (offset: number) => ({ log_id: 'log-1', offset })

async function outboxOf(floors: readonly number[]): Promise<MemoryOutbox> {
  const store = new MemoryOutbox()
  await store.nameLog({ log_id: 'log-1', predecessor: null }, null)
  floors.forEach((floor, i) => {
    store.add({ seq: i + 1, id: id(i + 1), body: Buffer.alloc(0), signature: Buffer.alloc(0), floor })
  })
  return store
}

const seqs = (rows: readonly OutboxRow[]): number[] => rows.map(({ seq }) => seq)

test('2.4 a row that was on its way when others were settled is looked at again', async () => {
  const store = await outboxOf([100, 100, 100])
  const seen = new SeenRows()
  seen.add(5, id(2), 100)
  const audit = new OutboxAudit(store, () => seen)
  await store.acknowledge([{ seq: 2, position: at(5) }])
  expect(await audit.missing('log-1', 9, 0)).toEqual([])
  await store.acknowledge([{ seq: 1, position: at(4) }])
  expect(seqs(await audit.missing('log-1', 9, 0))).toEqual([1])
})

test('2.4 a row is found at its position, by its id, on its log; rows below the horizon owe nothing', async () => {
  const store = await outboxOf([100, 100, 100, 10])
  const seen = new SeenRows()
  for (const offset of [1, 2, 3]) seen.add(offset, id(offset), 100)
  const audit = new OutboxAudit(store, () => seen)
  await store.acknowledge([
    { seq: 1, position: at(1) },
    { seq: 2, position: at(3) },
    { seq: 3, position: at(9) },
    { seq: 4, position: at(4) },
  ])
  expect(seqs(await audit.missing('log-1', 8, 50))).toEqual([2])
  expect(seqs(await audit.missing('log-1', 9, 50))).toEqual([2, 3])
  audit.restart()
  expect(seqs(await audit.missing('log-2', 9, 50))).toEqual([1, 2, 3])
})

test('rows seen are found after growth and gone after forgetting', () => {
  const seen = new SeenRows()
  for (let i = 0; i < 5_000; i++) seen.add(i * 2, id(i % 256), i)
  expect(seen.has(9_998, id(4_999 % 256))).toBe(true)
  expect(seen.has(9_997, id(4_999 % 256))).toBe(false)
  expect(seen.since(9_996).size).toBe(2)
  seen.forget(4_000)
  expect(seen.size).toBe(1_000)
  expect(seen.has(0, id(0))).toBe(false)
  expect(seen.has(8_000, id(4_000 % 256))).toBe(true)
})
