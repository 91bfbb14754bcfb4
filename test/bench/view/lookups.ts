/** What asking costs: the filters alone, and a whole view beside a Set and a Map of the same entries. */
import { randomBytes } from 'node:crypto'
import { systemRandom } from '@countersign/kernel'
import {
  createBloomFilter,
  createSplitBlockFilter,
  type Filter,
  NO_FLOORS,
  signalFacts,
  View,
} from '@countersign/revocation'
import { answer } from '../child.ts'
import { correct, median } from '../figure.ts'
import { signals } from './facts.ts'

const entries = Number(process.argv[2])
const PROBES = 50_000
const ROUNDS = 7

/** Nanoseconds per lookup, median of interleaved rounds. */
export type LookupResult = Readonly<Record<string, number>>

const view = new View()
const set = new Set<string>()
const map = new Map<string, number>()
const filters: readonly Filter[] = [createSplitBlockFilter, createBloomFilter].map((create) =>
  create({ capacity: entries, random: systemRandom }),
)
const keys: Buffer[] = []
for (const signal of signals(entries)) {
  const facts = signalFacts(signal)
  if (facts === null || !view.apply(facts)) continue
  const key = Buffer.from(facts.key)
  const hex = key.toString('hex')
  if (!set.has(hex)) {
    keys.push(key)
    for (const filter of filters) filter.add(key)
  }
  set.add(hex)
  map.set(hex, facts.floor)
}

// Fresh buffers each round, as messages bring them; drawn across the whole view, so that the caches do not help.
const step = Math.floor(keys.length / PROBES)
const hits = (): Buffer[] => Array.from({ length: PROBES }, (_, i) => Buffer.from(keys[i * step] as Buffer))
const misses = (): Buffer[] => Array.from({ length: PROBES }, () => randomBytes(16))

const questions: Readonly<Record<string, { ask: (key: Buffer) => boolean; exact: boolean }>> = {
  'view.floors': { ask: (key) => view.floors(key) !== NO_FLOORS, exact: true },
  'split-block.has': { ask: (key) => filters[0]?.has(key) === true, exact: false },
  'bloom-filters.has': { ask: (key) => filters[1]?.has(key) === true, exact: false },
  'set.has': { ask: (key) => set.has(key.toString('hex')), exact: true },
  'map.get': { ask: (key) => map.get(key.toString('hex')) !== undefined, exact: true },
}

const times = new Map<string, number[]>()
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, question] of Object.entries(questions)) {
    for (const [expected, probes] of [['hit', hits()] as const, ['miss', misses()] as const]) {
      const start = performance.now()
      let yes = 0
      for (const key of probes) if (question.ask(key)) yes++
      const ns = ((performance.now() - start) / PROBES) * 1e6
      times.set(`${name}.${expected}`, [...(times.get(`${name}.${expected}`) ?? []), ns])
      if (expected === 'hit') correct(yes === PROBES, `${name}: a key that is there was missed`)
      else correct(yes <= (question.exact ? 0 : PROBES * 2e-4 + 10), `${name}: ${yes} wrong hits`)
    }
  }
}

const result: LookupResult = Object.fromEntries([...times].map(([name, all]) => [name, median(all)]))
answer(result)
