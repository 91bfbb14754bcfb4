/** One run: a seed in, verdicts out. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Appended, NewRecord } from '@countersign/event-log'
import { isCountersignError } from '@countersign/kernel'
import { SeededRandom } from '@countersign/kernel/testing'
import { finals } from '../checker/evidence.ts'
import type { ConsumerEvent, Facts, Flawed, RevocationFact, Verdict } from '../checker/history.ts'
import { check } from '../checker/promises.ts'
import type { Worker } from './crew.ts'
import { People, type Sealed } from './people.ts'
import { type Burst, PEOPLE, type PlannedRevocation, planOf } from './plan.ts'
import type { Shift } from './shift.ts'
import type { Site } from './site.ts'
import { classesOf, EPSILON_MS } from './topics.ts'

const SETTLE_MS = 40_000
/** What is decided a second time may still come after everything was decided once. */
const AFTERMATH_MS = 150

export interface Result {
  readonly seed: number
  readonly verdicts: readonly Verdict[]
  /** What befell the workers, in order. */
  readonly befallen: readonly string[]
  readonly jobs: number
  readonly states: Readonly<Record<'executed' | 'denied' | 'parked' | 'dead_lettered', number>>
  readonly revocations: number
  readonly starts: number
  readonly seconds: number
  /** What the verdicts stand on. */
  readonly facts: Facts
}

/** Runs one seed on a site; runs on one site follow each other. */
export async function run(site: Site, seed: number): Promise<Result> {
  const began = performance.now()
  const one = new Run(site, seed)
  try {
    await one.play()
    const facts = await one.facts()
    const verdicts = check(facts)
    const states = { executed: 0, denied: 0, parked: 0, dead_lettered: 0 }
    for (const { outcome } of finals(facts).values()) states[outcome]++
    return {
      seed,
      verdicts,
      befallen: one.befallen,
      jobs: facts.produced.length,
      states,
      revocations: facts.revocations.length,
      starts: facts.consumers.filter(({ type }) => type === 'start').length,
      seconds: (performance.now() - began) / 1_000,
      facts,
    }
  } finally {
    await one.end()
  }
}

class Run {
  readonly befallen: string[] = []
  readonly #site: Site
  readonly #plan: ReturnType<typeof planOf>
  readonly #name: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'countersign-conservation-'))
  readonly #people: People
  readonly #working = new Set<Worker>()
  readonly #histories: string[] = []
  readonly #revocations: RevocationFact[] = []
  readonly #flawed: Flawed[] = []
  readonly #sent: string[] = []
  #from: ReadonlyMap<string, number> = new Map()
  #signalsFrom = 0
  #checkpointsFrom = 0
  #shifts = 0
  #began = 0
  #over = false

  constructor(site: Site, seed: number) {
    this.#site = site
    this.#plan = planOf(seed)
    this.#name = `${site.place.site}-${seed}-${site.nextRun()}`
    const { identity, catalogue, log } = site
    const random = new SeededRandom(seed + 1_000_000)
    this.#people = new People(PEOPLE, this.#name, site.place.site, { random, identity, catalogue, log })
  }

  async play(): Promise<void> {
    const { collector } = this.#site.watcher
    this.#from = await this.#site.ends(this.#site.jobTopics)
    this.#signalsFrom = collector.ledger.signals.length
    this.#checkpointsFrom = Math.max(0, collector.ledger.checkpoints.length - 20)
    await this.#site.groupFromHere(this.#name)
    await Promise.all([this.#hire(), this.#hire()])
    this.#began = performance.now()
    const { bursts, revocations, visitor, frozen, silence } = this.#plan
    await Promise.all([
      ...bursts.map((burst) => this.#at(burst.at, () => this.#send(burst))),
      ...revocations.map((one) => this.#at(one.at, () => this.#revoke(one))),
      visitor && this.#at(visitor.at, () => this.#visit(visitor.forMs)),
      frozen && this.#at(frozen.at, () => this.#freeze(frozen.worker)),
      silence && this.#at(silence.at, () => this.#silence(silence.forMs)),
    ])
    const { watcher } = this.#site
    const settled = await watcher.until(() => this.#undecided() === 0, SETTLE_MS)
    if (!settled) this.befallen.push(`${this.#undecided()} jobs without a state after ${SETTLE_MS / 1_000} s`)
    await sleep(AFTERMATH_MS)
    this.#over = true
    await Promise.all([...this.#working].map((worker) => this.#dismiss(worker)))
    const ends = await this.#site.ends()
    await watcher.until(() => watcher.hasRead(ends), 10_000)
  }

  /** What this run left behind, of all that its site holds. */
  async facts(): Promise<Facts> {
    const { collector } = this.#site.watcher
    const { signals, checkpoints, unvouched } = collector.ledger
    const mine = (place: string): boolean => this.#isMine(place)
    return {
      produced: collector.produced.filter((p) => mine(placeOf(p))),
      flawed: this.#flawed,
      signals: signals.slice(this.#signalsFrom),
      unvouched: [...unvouched],
      checkpoints: checkpoints.slice(this.#checkpointsFrom),
      decisions: collector.decisions.filter((d) => mine(placeOf(d))),
      setAside: collector.setAside.filter(({ origin }) => mine(origin)),
      consumers: this.#histories.flatMap(historyOf),
      revocations: this.#revocations,
      classes: classesOf(this.#site.place.site),
      epsilonMs: EPSILON_MS,
    }
  }

  async end(): Promise<void> {
    this.#over = true
    await Promise.all([...this.#working].map((worker) => worker.end()))
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #at(ms: number, act: () => Promise<void>): Promise<void> {
    await sleep(Math.max(0, ms - (performance.now() - this.#began)))
    await act()
  }

  /** Puts one more worker to work; who dies is replaced. */
  async #hire(): Promise<Worker | undefined> {
    const { crew, sessionTimeoutMs } = this.#site
    const number = this.#shifts++
    const worker = await crew.take()
    if (this.#over) {
      crew.giveBack(worker)
      return
    }
    const { seed, workers } = this.#plan
    const planned = workers[number] ?? { ...(workers[1] as (typeof workers)[number]), kill: null }
    const history = join(this.#folder, `${number}.history.jsonl`)
    const consumer = `${this.#name}-worker-${number}`
    this.#histories.push(history)
    this.#working.add(worker)
    void worker.gone.then((signal) => {
      if (!this.#working.delete(worker) || this.#over) return
      this.befallen.push(`killed ${planned.kill?.point ?? `by ${signal}`}`)
      void this.#hire().catch((error: unknown) => this.befallen.push(String(error)))
    })
    const shift: Shift = {
      ...planned,
      consumer,
      group: this.#name,
      history,
      sessionTimeoutMs,
      seed: seed * 16 + number,
    }
    await worker.work(shift)
    return worker
  }

  async #dismiss(worker: Worker): Promise<void> {
    this.#working.delete(worker)
    if (await worker.leave()) this.#site.crew.giveBack(worker)
  }

  async #visit(forMs: number): Promise<void> {
    const worker = await this.#hire()
    if (!worker) return
    this.befallen.push('another worker joins')
    await sleep(forMs)
    this.befallen.push('and leaves')
    if (this.#working.has(worker)) await this.#dismiss(worker)
  }

  async #freeze(index: number): Promise<void> {
    const worker = [...this.#working][index]
    if (!worker) return
    worker.freeze()
    this.befallen.push('a worker is frozen past its session')
    await sleep(2 * this.#site.sessionTimeoutMs)
    worker.thaw()
  }

  async #silence(ms: number): Promise<void> {
    this.befallen.push('the notary is silent')
    await this.#site.identity.fallSilent(ms)
  }

  async #send({ jobs, causal, againAfterMs }: Burst): Promise<void> {
    const { replica } = this.#site.identity
    const position = replica.position()
    const newest = this.#revocations.at(-1)?.offset
    const sealed = this.#people.seal(jobs, causal && newest ? { ...position, offset: newest } : position)
    await this.#append(sealed)
    if (againAfterMs === null) return
    await sleep(againAfterMs)
    await this.#append(sealed)
  }

  async #append(sealed: readonly Sealed[]): Promise<void> {
    const { catalogue } = this.#site
    for (const [logical, group] of Map.groupBy(sealed, (one) => one.logical)) {
      const topic = catalogue.jobTopic(logical)
      if (!topic) continue
      const appended = await this.#appendUntilDone(
        topic.name,
        group.map(({ record }) => record),
      )
      for (const [i, { partition, offset }] of appended.entries()) {
        const where = { topic: topic.name, partition, offset }
        this.#sent.push(placeOf(where))
        const flaw = group[i]?.flaw
        if (flaw) this.#flawed.push({ ...where, flaw })
      }
    }
  }

  /** As a producer that wants an answer does: a try that may have arrived is repeated, too. */
  async #appendUntilDone(topic: string, records: readonly NewRecord[]): Promise<readonly Appended[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#site.log.append(topic, records)
      } catch (error) {
        if (!isCountersignError(error) || !error.retriable || attempt === 5) throw error
        await sleep(100 * attempt)
      }
    }
  }

  async #revoke({ person, ending }: PlannedRevocation): Promise<void> {
    this.#revocations.push(await this.#people.end(person, ending))
    // Until then their work is sealed under what has ended, as by a boundary that has not heard.
    await sleep(250)
    this.#people.login(person)
  }

  /** How many messages have no final record yet. */
  #undecided(): number {
    const decided = new Set<string>()
    for (const d of this.#site.watcher.collector.decisions)
      if (d.phase === 'final' && !d.observed) decided.add(placeOf(d))
    return this.#sent.filter((place) => !decided.has(place)).length
  }

  #isMine(place: string): boolean {
    const at = place.lastIndexOf('/')
    const from = this.#from.get(place.slice(0, at))
    return from !== undefined && Number(place.slice(at + 1)) >= from
  }
}

const placeOf = (p: { topic: string; partition: number; offset: number }): string =>
  `${p.topic}/${p.partition}/${p.offset}`

/** A line that a killed process did not finish tells of nothing that went on. */
function historyOf(path: string): ConsumerEvent[] {
  // Of a worker that was killed before its shift began there is none.
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as ConsumerEvent)
}
