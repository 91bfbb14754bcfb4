/** The state of it all on one page: what a stolen credential is good for, who has taken what in how fast, how fresh that is. */
import { type ConsumerExposure, type Instance, type Sentence, spoken } from '@countersign/evidence'
import type { Freshness } from '@countersign/replica'
import { logNameOf, type Progress } from '@countersign/schemas'
import type { FastifyInstance } from 'fastify'
import type { Known, Told } from '../system/known.ts'
import type { Refusals } from '../system/refusals.ts'
import type { Standing } from '../system/standing.ts'
import { type Html, html } from './html.ts'
import type { Pages } from './live.ts'
import { chartData, handle, type Mood, span, state, table, time } from './words.ts'

export interface OverviewOptions {
  readonly pages: Pages
  readonly now: () => number
  readonly freshness: () => Freshness
  readonly identityAlive: Known<true>
  /** Null while the log is not followed. */
  readonly logSilentForMs: () => number | null
  readonly sentences: () => Promise<readonly Sentence[]>
  readonly refusals: Refusals
  readonly standing: Standing
  readonly lookbackMs: number
}

const MINUTE = 60_000
/** Longer than any poll of a log that has nothing new. */
const SILENT_MS = 5_000

export function overviewPages(app: FastifyInstance, options: OverviewOptions): void {
  const { pages, now, standing, refusals, lookbackMs } = options
  pages.add(app, {
    path: '/',
    place: '/',
    title: () => 'Overview',
    charts: {
      exposure: 'Exposure per consumer over time; the table of consumers has the figures',
      rates: 'Decisions a minute by outcome',
    },
    regions: {
      state: async () => stateNow(options, await options.identityAlive.tell()),
      sentence: async () => sentenceTable(await options.sentences()),
      consumers: () => consumerTable(standing, now()),
      exposure: () => exposureChart(standing, now() - lookbackMs),
      rates: () => rateChart(refusals, now() - lookbackMs, now()),
      latest: () => latest(standing),
    },
  })
}

function stateNow(options: OverviewOptions, identity: Told<true>): Html {
  const { now, refusals, standing, lookbackMs } = options
  const { proven, closed, ageMs, asOf } = options.freshness()
  const silent = options.logSilentForMs()
  const lastMinute = refusals.rates(now() - MINUTE, now()).at(0)
  const recent = standing.revocations().filter(({ at }) => at >= now() - lookbackMs).length
  const logGone = silent === null || silent > SILENT_MS
  return html`${logGone && html`<p class="alarm">The log does not answer${silent !== null && ` for ${span(silent)}`}. What follows is as it was then.</p>`}
${!proven && !logGone && html`<p class="alarm">The view of this console is not proven: ${(closed ?? 'starting').replaceAll('_', ' ')}.</p>`}
${identity.value === null || identity.overdue ? html`<p class="alarm">Identity does not answer. Nobody can be logged in or logged out.</p>` : null}
<ul class="facts">
<li>View as of <b>${proven ? time(asOf) : '–'}</b>${proven ? `${span(ageMs)} old` : 'not proven'}</li>
<li>Revocations, last ${span(lookbackMs)} <b>${recent}</b></li>
<li>Executed a minute <b>${lastMinute?.executed ?? 0}</b></li>
<li>Denied a minute <b>${lastMinute?.denied ?? 0}</b></li>
<li>Parked or set aside <b>${(lastMinute?.parked ?? 0) + (lastMinute?.dead_lettered ?? 0)}</b></li>
</ul>`
}

function sentenceTable(sentences: readonly Sentence[]): Html {
  return html`<h2>What a stolen credential is good for</h2>
${
  sentences.length === 0
    ? html`<p>No consumer has registered yet, so nothing can be said.</p>`
    : table(
        'After its revocation, by kind of credential and job class',
        ['Credential', 'Job class', 'At most', 'Measured p99', 'Revocations', 'Why at most'],
        alike(sentences).map(([{ jobClass, boundMs, p99Ms, revocations, arithmetic }, credentials]) => [
          credentials.join(', ').replaceAll('_', ' '),
          jobClass,
          boundMs === null ? state('unbounded', 'bad') : spoken(boundMs),
          p99Ms === null ? 'not measured yet' : spoken(p99Ms),
          revocations,
          arithmetic,
        ]),
        [2, 3, 4],
      )
}`
}

/** Kinds of credential of which the same is to be said are told of together. */
function alike(sentences: readonly Sentence[]): readonly (readonly [Sentence, readonly string[]])[] {
  const groups = Map.groupBy(sentences, ({ jobClass, boundMs, p99Ms, revocations }) =>
    JSON.stringify([jobClass, boundMs, p99Ms, revocations]),
  )
  return [...groups.values()].map((of) => [of[0] as Sentence, of.map(({ credential }) => credential)])
}

const MOODS: Readonly<Record<string, Mood>> = {
  starting: 'wait',
  ready: 'ok',
  closed: 'bad',
  goodbye: 'plain',
  silent: 'bad',
}
/** An instance that went is of no more interest than that. */
const GONE_MS = 10 * MINUTE

function consumerTable(standing: Standing, now: number): Html {
  const exposures = exposuresOf(standing)
  const present = standing.consumers().filter(({ goodbyeAt }) => goodbyeAt === null || now - goodbyeAt < GONE_MS)
  return html`<h2>Consumers</h2>
${
  present.length === 0
    ? html`<p>No consumer has registered yet.</p>`
    : table(
        'Who follows the log, and how fast revocations reached each',
        ['Consumer', 'State', 'View as of', 'Position', 'Vouched for', 'p50', 'p99', 'Longest', 'Revocations'],
        present.map((one) => {
          const told = toldOf(one)
          const ms = exposures
            .filter(({ instance }) => instance === one.instance)
            .map((exposure) => exposure.ms)
            .sort((a, b) => a - b)
          const how = stateOf(one, told[0], now)
          return [
            html`${nameOf(one)} <span class="handle">${one.instance.slice(0, 8)}</span>`,
            state(how, MOODS[how] ?? 'plain'),
            told[0] !== undefined && told[0].as_of > 0 ? time(told[0].as_of) : '–',
            told.map(({ offset }) => offset).join(', ') || '–',
            voucherOf(one) ?? state('no', 'wait'),
            ...[0.5, 0.99, 1].map((q) => (ms.length === 0 ? '–' : span(quantile(ms, q)))),
            ms.length,
          ]
        }),
        [3, 5, 6, 7, 8],
      )
}`
}

/** Its last word on each log, the least fresh first. */
function toldOf({ told }: Instance): readonly Progress[] {
  const known = [...told.values()].filter(({ last }) => last.log_id !== '')
  // A log that was replaced has the name of the one before.
  const byLog = Map.groupBy(known, ({ last }) => logNameOf(last.log_id))
  const last = [...byLog.values()].map((of) => of.reduce((a, b) => (b.lastAt > a.lastAt ? b : a)).last)
  return last.sort((a, b) => a.as_of - b.as_of)
}

/** Who says nothing for longer than it may work on what it knew does nothing any more, whatever it said last. */
function stateOf({ goodbyeAt, maxStalenessMs, epsilonMs }: Instance, told: Progress | undefined, now: number): string {
  if (goodbyeAt !== null) return 'goodbye'
  if (told === undefined) return 'starting'
  return told.state === 'ready' && now - told.as_of > maxStalenessMs + epsilonMs ? 'silent' : told.state
}

function exposureChart(standing: Standing, since: number): Html {
  const byConsumer = new Map<string, ConsumerExposure[]>()
  for (const one of exposuresOf(standing)) {
    if (one.appendedAt < since) continue
    const name = `${one.consumer} ${one.instance.slice(0, 8)}`
    byConsumer.set(name, [...(byConsumer.get(name) ?? []), one])
  }
  const each = [...byConsumer.values()]
  const times = [...new Set(each.flat().map(({ appendedAt }) => appendedAt))].sort((a, b) => a - b)
  const lines = each.map((list) => {
    const byTime = new Map(list.map(({ appendedAt, ms }) => [appendedAt, Math.max(1, ms)]))
    return times.map((at) => byTime.get(at) ?? null)
  })
  const data = {
    labels: [...byConsumer.keys()],
    unit: 'ms',
    least: 10,
    points: [times.map((at) => at / 1000), ...lines],
  }
  return html`<h2>Exposure over time</h2>
<p class="as-of">Each point is one revocation at one consumer: from its place on the log to the view by which that consumer decides.</p>
${times.length === 0 && html`<p>No revocation has reached a consumer in this time.</p>`}
${chartData('exposure-data', data)}`
}

/** Without those of a signal that stood there when the consumer began: how long it took to begin is no exposure. */
function exposuresOf(standing: Standing): readonly ConsumerExposure[] {
  const since = new Map(standing.consumers().map(({ instance, registeredAt }) => [instance, registeredAt[0] ?? 0]))
  return standing.exposures().filter(({ instance, appendedAt }) => appendedAt >= (since.get(instance) ?? 0))
}

/** None unless each of its names was vouched for. */
function voucherOf({ consumers, vouchers }: Instance): string | null {
  const ids = new Set(vouchers.values())
  return [...consumers].every((name) => vouchers.has(name)) ? [...ids].join(', ') : null
}

function nameOf({ consumers }: Instance): string {
  return [...consumers].join(', ')
}

function rateChart(refusals: Refusals, since: number, now: number): Html {
  const rates = refusals.rates(since, now)
  const kinds = ['executed', 'denied', 'parked', 'dead_lettered'] as const
  const data = {
    labels: kinds.map((kind) => kind.replaceAll('_', ' ')),
    unit: 'a minute',
    shape: 'bars',
    least: 4,
    points: [rates.map(({ minute }) => minute / 1000), ...kinds.map((kind) => rates.map((rate) => rate[kind]))],
  }
  return html`<h2>Decisions a minute</h2>
${rates.length === 0 && html`<p>Nothing was decided in this time.</p>`}
${chartData('rates-data', data)}`
}

function latest(standing: Standing): Html {
  const list = standing.revocations().slice(0, 5)
  return html`<h2>Latest revocations</h2>
${
  list.length === 0
    ? html`<p>There is none on the log.</p>`
    : html`<ul>${list.map(({ id, at, cause }) => html`<li>${time(at)} <a href="/revocations/${id}">${cause.replaceAll('_', ' ')}</a> ${handle(id)}</li>`)}</ul>`
}`
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0
}
