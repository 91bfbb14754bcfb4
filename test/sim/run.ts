/** One run of the simulation: a seed in, facts and verdicts out. */
import { type KeyRing, verifyBundle } from '@countersign/envelope'
import { readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { signalId } from '@countersign/schemas'
import type { SessionStore } from '@countersign/session-store'
import { collect, SignalsLedger } from '../checker/collect.ts'
import { finals } from '../checker/evidence.ts'
import type { Facts, RevocationFact, Verdict } from '../checker/history.ts'
import { check } from '../checker/promises.ts'
import { type Befallen, Chaos } from './chaos.ts'
import { EPOCH, SimProcess } from './process.ts'
import { RunReceipts } from './receipts.ts'
import { CLASSES, EPSILON_MS, Site, TOPICS } from './site.ts'
import { type Asked, Workload } from './workload.ts'

const TRAFFIC_MS = 25_000
const SETTLE_MS = 45_000

export interface Result {
  readonly seed: number
  readonly verdicts: readonly Verdict[]
  readonly befallen: readonly Befallen[]
  readonly jobs: number
  readonly revocations: number
  readonly executed: number
  readonly denied: number
  readonly parked: number
  readonly deadLettered: number
  readonly steps: number
}

/** Runs one seed. The same seed gives the same result. */
export async function run(seed: number): Promise<Result> {
  const site = new Site(seed)
  const rings: KeyRing[] = []
  const { schemas } = site.log(new SimProcess('auditor', site.scheduler))
  // What ever stood on the signals log, whatever became of it there.
  const ledger = new SignalsLedger(schemas, () => rings)
  const receipts = new RunReceipts(schemas, site.rootKeys, EPSILON_MS)
  site.broker.onAppend = (record) => {
    receipts.take(record)
    if (record.topic !== SIGNALS_TOPIC) return
    const read = readRecord(record, schemas)
    if (read?.kind === 'TrustBundle') {
      const terms = { now: record.timestamp, epsilonMs: EPSILON_MS, minVersion: 1, current: null }
      const result = verifyBundle(read.body, read.signature, site.rootKeys, terms)
      if (result.ok) rings.push(result.ring)
    }
    ledger.add(record)
  }
  site.broker.onDrop = (offset) => ledger.drop(offset)
  try {
    const started = site.start()
    await site.scheduler.run(500)
    await started
    const workload = new Workload(site)
    const chaos = new Chaos(site)
    workload.start(TRAFFIC_MS)
    chaos.plan(4_000, TRAFFIC_MS)
    await site.scheduler.run(TRAFFIC_MS + SETTLE_MS)
    const facts = await factsOf(site, workload, chaos, ledger, rings)
    const whole = chaos.logHarmedAt === Number.POSITIVE_INFINITY
    const verdicts = [...check(facts), receipts.verdict(facts, EPOCH + site.scheduler.now, whole)]
    const states = [...finals(facts).values()]
    const count = (outcome: string): number => states.filter((d) => d.outcome === outcome).length
    return {
      seed,
      verdicts,
      befallen: chaos.befallen,
      jobs: facts.produced.length,
      revocations: workload.asked.length,
      executed: count('executed'),
      denied: count('denied'),
      parked: count('parked'),
      deadLettered: count('dead_lettered'),
      steps: site.scheduler.steps,
    }
  } finally {
    await site.store.close()
  }
}

async function factsOf(
  site: Site,
  workload: Workload,
  chaos: Chaos,
  ledger: SignalsLedger,
  rings: readonly KeyRing[],
): Promise<Facts> {
  const auditor = new SimProcess('auditor', site.scheduler)
  let topics: Awaited<ReturnType<typeof collect>> | undefined
  void collect(site.log(auditor), TOPICS, rings).then((found) => {
    topics = found
  })
  while (topics === undefined) await site.scheduler.run(site.scheduler.now + 1_000)
  const store = await site.store.open()
  const revocations = await Promise.all(workload.asked.map((asked) => revocationFact(store, asked, chaos.harmed)))
  return {
    ...topics,
    flawed: null,
    // After the log was harmed offsets of two histories mix; what a consumer told of itself still counts.
    signals: ledger.signals.map((s) => (s.at >= chaos.logHarmedAt ? { ...s, offset: Number.POSITIVE_INFINITY } : s)),
    checkpoints: ledger.checkpoints,
    unvouched: ledger.unvouched,
    consumers: site.history,
    revocations: revocations.filter((r) => r !== null),
    classes: CLASSES,
    epsilonMs: EPSILON_MS,
  }
}

async function revocationFact(
  store: SessionStore,
  asked: Asked,
  harmed: Chaos['harmed'],
): Promise<RevocationFact | null> {
  const { id, kind, state, offset, askedAt, answeredAt } = asked
  // A store that was rolled back may have lost what never reached the log; that is what rolling back means.
  if (state === 'pending' && harmed === 'store') return null
  const nothingTaken = state === 'acknowledged' && offset === null
  const count = nothingTaken ? 0 : ((await store.revocation(id))?.seqs.length ?? 1)
  const ids = Array.from({ length: count }, (_, i) => signalId(id, i).toString('hex'))
  return { ids, kind, state, offset, askedAt, answeredAt }
}
