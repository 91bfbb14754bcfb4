/**
 * The whole check on one core: find the header, open, hash the payload, floors, policy. Beside it the same facts from
 * Redis, one pipeline a message, judged by the same policy; both in turn, so that a slow phase of the machine hits both.
 */
import { headerOf, type KeyRing, type OpenContext, type OpenedEnvelope, Opener } from '@countersign/envelope'
import { type Decision, decide, defineJobClass, type Floors } from '@countersign/policy'
import { signalFacts, View } from '@countersign/revocation'
import type { EnvelopeClaims } from '@countersign/schemas'
import { answer } from '../child.ts'
import { correct, median } from '../figure.ts'
import { signals } from '../view/facts.ts'
import { FloorsInRedis } from './redis.ts'
import { AUDIENCE, fetched, type Message, NOW, TOPIC, type Workload, workload } from './workload.ts'

const BATCHES = [1, 4, 16, 64, 256]
const MESSAGES = 2_048
const REDIS_MESSAGES = 1_024
const ROUNDS = 15
/** Messages that come out of one fetch, at least: that is when their bytes are fresh in the caches. */
const LEAST_FETCHED = 64
const ENTRIES = Number(process.argv[2])

/** Messages per second, medians; null without a Redis. */
export interface BatchResult {
  readonly batch: number
  readonly checked: number
  /** The same, counted in seconds of this process's CPU time, its garbage collector included. */
  readonly checkedPerCpuSecond: number
  /** Per message one pipeline, messages one after the other, as `eachMessage` does. */
  readonly redisInTurn: number | null
  /** Per message one pipeline, those of a batch all in flight. */
  readonly redisInFlight: number | null
  /** Medians of the ratios of each round. */
  readonly ratioInTurn: number | null
  readonly ratioInFlight: number | null
}

const rules = defineJobClass({ name: 'export', topic: TOPIC, action: 'export', scopes: ['invoices:export'] })
const freshness = { proven: true, closed: null, asOf: NOW - 1_000, ageMs: 1_250, storeUnseenForMs: 0 }

const workloads = BATCHES.map((batch) => ({ batch, work: workload(MESSAGES, batch, REDIS_MESSAGES) }))
const view = new View()
for (const signal of signals(ENTRIES)) {
  const facts = signalFacts(signal)
  if (facts !== null) view.apply(facts)
}
for (const { work } of workloads) {
  for (const key of work.ended) view.apply({ key, effect: 'reason:logout', fallback: 'logout', floor: NOW - 100 })
}

function judge(envelope: OpenedEnvelope, floors: Floors): Decision {
  return decide({
    rules,
    envelope,
    view: floors,
    freshness,
    reached: 'reached',
    now: NOW,
    epsilonMs: 250,
    phase: 'queued',
  })
}

/** @returns denials. */
function check(messages: readonly Message[], ring: KeyRing, opener: Opener): number {
  let denied = 0
  for (const message of messages) {
    const header = headerOf(message.headers)
    if (!header.ok) throw new Error(header.code)
    const context: OpenContext = {
      ring,
      now: NOW,
      epsilonMs: 250,
      topic: TOPIC,
      audience: AUDIENCE,
      key: message.key,
      value: message.value,
    }
    const opened = opener.open(header.bytes, context)
    if (!opened.ok) throw new Error(opened.code)
    if (judge(opened.envelope, view).outcome !== 'allow') denied++
  }
  return denied
}

/** Nothing is opened and no payload hashed: the messages are trusted. @returns denials. */
async function ask(redis: FloorsInRedis, claims: readonly EnvelopeClaims[], inFlight: number): Promise<number> {
  let denied = 0
  const one = async (each: EnvelopeClaims): Promise<void> => {
    const floors = await redis.floorsOf(each)
    const envelope = {
      claims: each,
      chain: [each],
      keyId: '',
      targets: each.tctx.targets,
      scopes: each.scope,
      relied: [],
    }
    if (judge(envelope, { floors }).outcome !== 'allow') denied++
  }
  for (let first = 0; first < claims.length; first += inFlight) {
    await Promise.all(claims.slice(first, first + inFlight).map(one))
  }
  return denied
}

interface Series {
  readonly checked: number[]
  readonly perCpu: number[]
  readonly inTurn: number[]
  readonly inFlight: number[]
}

const redis = await FloorsInRedis.start()
try {
  await redis?.load(view)
  const series = new Map<number, Series>(
    BATCHES.map((batch) => [batch, { checked: [], perCpu: [], inTurn: [], inFlight: [] }]),
  )
  // The first round warms up and is not counted.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { batch, work } of workloads) {
      const into = round === 0 ? { checked: [], perCpu: [], inTurn: [], inFlight: [] } : (series.get(batch) as Series)
      await measure(batch, work, into)
    }
  }
  answer([...series].map(([batch, all]) => summary(batch, all)))
} finally {
  await redis?.stop()
}

async function measure(batch: number, work: Workload, into: Series): Promise<void> {
  // Each round has an opener of its own: an envelope is seen once, and only its batch helps it.
  const opener = new Opener()
  let denied = 0
  let wallMs = 0
  let cpuUs = 0
  const size = Math.max(batch, LEAST_FETCHED)
  for (let first = 0; first < MESSAGES; first += size) {
    const messages = fetched(work.messages.slice(first, first + size))
    const cpu = process.cpuUsage()
    const start = performance.now()
    denied += check(messages, work.ring, opener)
    wallMs += performance.now() - start
    const used = process.cpuUsage(cpu)
    cpuUs += used.user + used.system
  }
  into.checked.push((MESSAGES / wallMs) * 1e3)
  into.perCpu.push((MESSAGES / cpuUs) * 1e6)
  correct(denied === work.ended.length, `batch ${batch}: ${denied} denials instead of ${work.ended.length}`)
  if (redis === null) return
  const ended = (work.ended.length * REDIS_MESSAGES) / MESSAGES
  for (const [list, inFlight] of [[into.inTurn, 1] as const, [into.inFlight, batch] as const]) {
    const asked = performance.now()
    const refused = await ask(redis, work.claims, inFlight)
    list.push(rate(REDIS_MESSAGES, asked))
    correct(refused === ended, `batch ${batch}: Redis denied ${refused} instead of ${ended}`)
  }
}

function summary(batch: number, { checked, perCpu, inTurn, inFlight }: Series): BatchResult {
  const ratio = (other: number[]): number | null =>
    other.length === 0 ? null : median(other.map((each, i) => (checked[i] as number) / each))
  return {
    batch,
    checked: median(checked),
    checkedPerCpuSecond: median(perCpu),
    redisInTurn: inTurn.length === 0 ? null : median(inTurn),
    redisInFlight: inFlight.length === 0 ? null : median(inFlight),
    ratioInTurn: ratio(inTurn),
    ratioInFlight: ratio(inFlight),
  }
}

function rate(count: number, since: number): number {
  return (count / (performance.now() - since)) * 1e3
}
