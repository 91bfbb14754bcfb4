import { type SignalFacts, View } from '@countersign/revocation'
import { expect, test } from 'vitest'
import { floorsOf, lacking } from './floors.ts'

const key = Buffer.alloc(16, 1)
const facts = (floor: number, effect = 'reason:logout'): SignalFacts => ({ key, effect, fallback: 'logout', floor })

function viewOf(...all: SignalFacts[]): View {
  const view = new View()
  for (const each of all) view.apply(each)
  return view
}

test('2.1 several views answer as one fold of all their signals would', () => {
  const views = [viewOf(facts(10), facts(30)), viewOf(facts(20), facts(40)), viewOf(facts(5, 'reason:admin')), viewOf()]
  const one = viewOf(facts(10), facts(30), facts(20), facts(40), facts(5, 'reason:admin'))
  const plain = (floors: readonly { effect: string; higher: number; lower: number }[]) =>
    floors.map(({ effect, higher, lower }) => [effect, higher, lower])
  expect(plain(floorsOf(views, key))).toEqual(plain(one.floors(key)))
  expect(floorsOf(views, Buffer.alloc(16))).toEqual([])
})

test('2.3 what stays beside a view is what it lacks, and nothing it has or has outgrown', () => {
  const make = () => new View()
  expect(lacking(viewOf(facts(30), facts(20)), [viewOf(facts(30), facts(20))], make)).toBeNull()
  expect(lacking(viewOf(facts(30), facts(20)), [viewOf(facts(10))], make)).toBeNull()
  expect(lacking(viewOf(facts(30)), [viewOf(facts(10))], make)?.count).toBe(1)
  expect(lacking(viewOf(facts(30), facts(20)), [viewOf(facts(40))], make)?.floors(key)[0]?.higher).toBe(40)
  const aged = viewOf()
  aged.dropOlderThan(50)
  expect(lacking(aged, [viewOf(facts(40))], make)).toBeNull()
})
