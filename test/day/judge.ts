/** After the day: facts from topics and history files, verdicts, and the figures of the table. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type KeyRing, verifyBundle } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { exampleCatalogue, signalId } from '@countersign/schemas'
import { jobClasses } from '@countersign/worker'
import { collect } from '../checker/collect.ts'
import { finals } from '../checker/evidence.ts'
import { exposures, type Spread, spread } from '../checker/exposure.ts'
import type { ConsumerEvent, Facts, RevocationFact, Verdict } from '../checker/history.ts'
import { check } from '../checker/promises.ts'
import type { Told } from './revocations.ts'
import type { Site } from './site.ts'

const EPSILON_MS = 250
const SETTLE_MS = 120_000

/** Everything the day left behind, once every job has its state or two minutes have passed. */
export async function settledFacts(
  site: Site,
  log: EventLog,
  told: readonly Told[],
  progress: (open: number) => void,
): Promise<Facts> {
  const deadline = performance.now() + SETTLE_MS
  for (;;) {
    const facts = await factsOf(site, log, told)
    const open = facts.produced.length - finals(facts).size
    if (open <= 0 || performance.now() > deadline) return facts
    progress(open)
    await sleep(1_000)
  }
}

export async function factsOf(site: Site, log: EventLog, told: readonly Told[]): Promise<Facts> {
  const rings = await ringsOn(log, readFileSync(join(site.folder, 'keys/root.pub'), 'utf8'))
  const topics = await collect(log, exampleCatalogue, rings)
  const consumers = site.workers.flatMap(({ spec }) => historyOf(join(site.folder, `${spec.name}.history.jsonl`)))
  const ids = new Set(topics.signals.map((s) => s.id))
  const revocations = told.flatMap((t) => revocationFact(t, ids))
  return { ...topics, flawed: null, consumers, revocations, classes: jobClasses(), epsilonMs: EPSILON_MS }
}

/** Every ring that was ever in force, verified by the root the run began with. */
export async function ringsOn(log: EventLog, root: string): Promise<KeyRing[]> {
  const rootKeys = [Buffer.from(root.trim(), 'base64')]
  const rings: KeyRing[] = []
  const { start, end } = await log.bounds(SIGNALS_TOPIC)
  for await (const chunk of log.read({ topic: SIGNALS_TOPIC, from: start, to: end })) {
    for (const record of chunk) {
      const read = readRecord(record, log.schemas)
      if (read?.kind !== 'TrustBundle') continue
      const result = verifyBundle(read.body, read.signature, rootKeys, {
        now: record.timestamp,
        epsilonMs: EPSILON_MS,
        minVersion: 1,
        current: null,
      })
      if (result.ok) rings.push(result.ring)
    }
  }
  return rings
}

export function historyOf(path: string): ConsumerEvent[] {
  if (!existsSync(path)) return []
  const events: ConsumerEvent[] = []
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    // A line that a killed process did not finish tells of nothing that went on.
    if (line.endsWith('}')) events.push(JSON.parse(line) as ConsumerEvent)
  }
  return events
}

function revocationFact(
  { kind, id, state, offset, askedAt, at, seqs }: Told,
  onLog: ReadonlySet<string>,
): RevocationFact[] {
  if (id === null) return []
  const ids = seqs === 0 ? [] : [id]
  // A role change takes several scopes: one signal each, with ids that follow from the first.
  for (let i = 1; ids.length > 0 && onLog.has(derived(id, i)); i++) ids.push(derived(id, i))
  return [{ ids, kind, state, offset, askedAt, answeredAt: at }]
}

function derived(id: string, index: number): string {
  return signalId(Buffer.from(id, 'hex'), index).toString('hex')
}

/** What the day promises beyond what every run does. */
export interface DayTerms {
  readonly jobs: number
  readonly revocations: number
  readonly kinds: readonly string[]
  readonly outages: readonly string[]
  readonly outagesPlanned: number
  readonly accepted: number
}

export function verdictsOf(facts: Facts, terms: DayTerms): Verdict[] {
  const acknowledged = facts.revocations.filter((r) => r.state === 'acknowledged')
  const kinds = new Set(acknowledged.map((r) => r.kind))
  const missing = terms.kinds.filter((kind) => !kinds.has(kind))
  const day = (id: string, promise: string, checked: number, violations: string[]): Verdict => ({
    id,
    promise,
    held: violations.length === 0,
    checked,
    violations,
  })
  return [
    ...check(facts),
    day(
      'all-accepted',
      'every job the api accepted stands on its topic',
      terms.accepted,
      facts.produced.length < terms.accepted ? [`${terms.accepted} accepted, ${facts.produced.length} on topics`] : [],
    ),
    day('a-whole-day', 'the day had its jobs, its revocations of every kind and its outages', facts.produced.length, [
      ...(facts.produced.length < terms.jobs ? [`${facts.produced.length} jobs of ${terms.jobs}`] : []),
      ...(acknowledged.length < terms.revocations
        ? [`${acknowledged.length} revocations of ${terms.revocations}`]
        : []),
      ...(missing.length > 0 ? [`none of ${missing.join(', ')}`] : []),
      ...(terms.outages.length < terms.outagesPlanned ? [`outages: ${terms.outages.join(', ')}`] : []),
    ]),
  ]
}

export interface WorkerFigures {
  readonly name: string
  readonly exposureMs: Spread
}

/** How long each consumer could still have acted, and how long jobs waited, by class. */
export function figuresOf(facts: Facts): {
  exposureMs: Spread
  workers: WorkerFigures[]
  waitedMs: Record<string, Spread>
} {
  const byWorker = exposures(facts)
  const producedAt = new Map(facts.produced.map((p) => [p.eventId, p.at]))
  const waits = new Map<string, number[]>()
  const seen = new Set<string>()
  for (const e of facts.consumers) {
    if (e.type !== 'start' || seen.has(e.eventId)) continue
    seen.add(e.eventId)
    const list = waits.get(e.class) ?? []
    waits.set(e.class, list)
    list.push(Math.max(0, e.at - (producedAt.get(e.eventId) ?? e.at)))
  }
  return {
    exposureMs: spread([...byWorker.values()].flat()),
    workers: [...byWorker]
      .map(([name, values]) => ({ name, exposureMs: spread(values) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    waitedMs: Object.fromEntries([...waits].sort().map(([name, values]) => [name, spread(values)])),
  }
}
