/** A view too large to keep its signals beside it: folded from Avro bytes as a log hands them out, then asked. */
import { randomBytes } from 'node:crypto'
import { NO_FLOORS, signalFacts, View } from '@countersign/revocation'
import { type Signal, signalCodec } from '@countersign/schemas'
import { answer } from '../child.ts'
import { correct, median } from '../figure.ts'
import { floorsOf, signals } from './facts.ts'

const entries = Number(process.argv[2])
const BATCH = 1_000
const PROBES = 50_000
const ROUNDS = 7

export interface LargeResult {
  readonly decodeS: number
  readonly foldS: number
  /** Nanoseconds per lookup. */
  readonly hitNs: number
  readonly missNs: number
}

const view = new View()
const kept: Buffer[] = []
let decodeS = 0
let foldS = 0
let bodies: Buffer[] = []
for (const signal of signals(entries)) {
  bodies.push(signalCodec.encode(signal))
  if (bodies.length === BATCH) fold()
}
fold()
correct(view.size === entries && view.count === floorsOf(entries), 'entries and floors of the view')

function fold(): void {
  const begun = performance.now()
  const decoded: Signal[] = bodies.map((body) => signalCodec.decode(body))
  bodies = []
  const folding = performance.now()
  decodeS += (folding - begun) / 1e3
  let last: Uint8Array | undefined
  for (const signal of decoded) {
    const facts = signalFacts(signal)
    if (facts === null) continue
    view.apply(facts)
    last = facts.key
  }
  foldS += (performance.now() - folding) / 1e3
  if (last !== undefined) kept.push(Buffer.from(last))
}

// Fresh buffers each round, as messages bring them; drawn across the whole view, so that the caches do not help.
const probes = (key: (i: number) => Buffer): Buffer[] => Array.from({ length: PROBES }, (_, i) => key(i))
const times = { hit: [] as number[], miss: [] as number[] }
for (let round = 0; round < ROUNDS; round++) {
  times.hit.push(
    ask(
      probes((i) => Buffer.from(kept[i % kept.length] as Buffer)),
      PROBES,
    ),
  )
  times.miss.push(
    ask(
      probes(() => randomBytes(16)),
      0,
    ),
  )
}
answer({ decodeS, foldS, hitNs: median(times.hit), missNs: median(times.miss) } satisfies LargeResult)

function ask(keys: readonly Buffer[], expected: number): number {
  const start = performance.now()
  let hits = 0
  for (const key of keys) if (view.floors(key) !== NO_FLOORS) hits++
  const ns = ((performance.now() - start) / PROBES) * 1e6
  correct(hits === expected, `${hits} hits instead of ${expected}`)
  return ns
}
