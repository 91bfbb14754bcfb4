/** Folding a million signals from their Avro bytes, the digest kept on the way; then a snapshot and back. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestElement, LtHash, signalFacts, View } from '@countersign/revocation'
import { signalCodec } from '@countersign/schemas'
import { answer } from '../child.ts'
import { correct } from '../figure.ts'
import { floorsOf, signals } from './facts.ts'

const entries = Number(process.argv[2])
const BATCH = 1_000

export interface RebuildResult {
  readonly decodeS: number
  readonly foldS: number
  readonly snapshotS: number
  readonly snapshotBytes: number
  readonly restoreS: number
  readonly cloneS: number
}

const bodies = Array.from(signals(entries), (signal) => signalCodec.encode(signal))

// In batches, as a log hands them out: a million decoded signals at once would measure the garbage collector.
const view = new View()
let decodeS = 0
let foldS = 0
for (let first = 0; first < bodies.length; first += BATCH) {
  const begun = performance.now()
  const decoded = bodies.slice(first, first + BATCH).map((body) => signalCodec.decode(body))
  decodeS += seconds(begun)
  const folding = performance.now()
  for (const signal of decoded) {
    const facts = signalFacts(signal)
    if (facts !== null) view.apply(facts)
  }
  foldS += seconds(folding)
}
const digest = view.digest()
correct(view.count === floorsOf(entries), 'floors of the view')

// The digest once more from the kept floors alone, spelled out and backwards.
const again = new LtHash()
for (const facts of [...view.facts()].reverse()) again.add(digestElement(facts))
correct(again.digest().equals(digest), 'digest')

const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'))
try {
  const path = join(folder, 'view')
  let start = performance.now()
  const file = openSync(path, 'w')
  for (const chunk of view.snapshot({ logId: 'log', offset: 1, epoch: 1, sequence: 1, bundleVersion: 1 })) {
    writeSync(file, chunk)
  }
  closeSync(file)
  const snapshotS = seconds(start)

  start = performance.now()
  const bytes = readFileSync(path)
  const restored = View.restore(bytes)
  const restoreS = seconds(start)
  correct(restored.view.digest().equals(digest), 'digest of the restored view')

  start = performance.now()
  correct(view.clone().digest().equals(digest), 'digest of the clone')
  const result: RebuildResult = {
    decodeS,
    foldS,
    snapshotS,
    snapshotBytes: bytes.length,
    restoreS,
    cloneS: seconds(start),
  }
  answer(result)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function seconds(since: number): number {
  return (performance.now() - since) / 1e3
}
