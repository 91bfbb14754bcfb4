/** The state of it all on one page: what a stolen credential is good for, who has taken what in how fast, how fresh that is. */
import type { Sentence } from '@countersign/evidence'
import type { Freshness } from '@countersign/replica'
import type { FastifyInstance } from 'fastify'
import type { ConsumerNow, Fleet } from '../system/fleet.ts'
import type { Known, Told } from '../system/known.ts'
import type { Refusals } from '../system/refusals.ts'
import type { Revocations } from '../system/revocations.ts'
import { type Html, html, type Shown } from './html.ts'
import type { Pages } from './live.ts'
import { chartData, handle, type Mood, span, state, table, time } from './words.ts'

export interface OverviewOptions {
  readonly pages: Pages
  readonly now: () => number
  readonly freshness: () => Freshness
  readonly identityAlive: Known<true>
  /** Null while the log is not followed. */
  readonly logSilentForMs: () => number | null
  readonly sentences: () => readonly Sentence[]
  readonly fleet: Fleet
  readonly refusals: Refusals
  readonly revocations: Revocations
  readonly lookbackMs: number
}

const MINUTE = 60_000
/** Longer than any poll of a log that has nothing new. */
const SILENT_MS = 15_000

export function overviewPages(app: FastifyInstance, options: OverviewOptions): void {
  const { pages, now, fleet, refusals, revocations, lookbackMs } = options
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
      sentence: () => sentenceTable(options.sentences()),
      consumers: () => consumerTable(fleet.consumers(now()), now()),
      exposure: () => exposureChart(fleet.consumers(now()), now() - lookbackMs),
      rates: () => rateChart(refusals, now() - lookbackMs),
      latest: () => latest(revocations),
    },
  })
}

function stateNow(options: OverviewOptions, identity: Told<true>): Html {
  const { now, refusals, revocations, lookbackMs } = options
  const { proven, closed, ageMs, asOf } = options.freshness()
  const silent = options.logSilentForMs()
  const lastMinute = refusals.rates(now() - 2 * MINUTE).at(-1)
  const recent = revocations.latest(2_000).filter(({ at }) => at >= now() - lookbackMs).length
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
        sentences.map(({ credential, jobClass, boundMs, p99Ms, revocations, arithmetic }) => [
          credential.replaceAll('_', ' '),
          jobClass,
          boundMs === null ? state('unbounded', 'bad') : span(boundMs),
          p99Ms === null ? 'not measured yet' : span(p99Ms),
          revocations,
          arithmetic,
        ]),
        [2, 3, 4],
      )
}`
}

const MOODS: Readonly<Record<ConsumerNow['state'], Mood>> = {
  starting: 'wait',
  ready: 'ok',
  closed: 'bad',
  goodbye: 'plain',
}

function consumerTable(consumers: readonly ConsumerNow[], now: number): Html {
  return html`<h2>Consumers</h2>
${
  consumers.length === 0
    ? html`<p>No consumer has told of itself yet.</p>`
    : table(
        'Who follows the log, and how fast revocations reached each',
        ['Consumer', 'State', 'View as of', 'Position', 'Last told', 'p50', 'p99', 'Longest', 'Revocations'],
        consumers.map((one) => {
          const ms = one.exposures.map((exposure) => exposure.ms).sort((a, b) => a - b)
          return [
            html`${one.consumer} <span class="handle">${one.instance.slice(0, 8)}</span>`,
            stateOf(one, now),
            one.asOf > 0 ? time(one.asOf) : '–',
            one.offset,
            time(one.toldAt),
            ...[0.5, 0.99, 1].map((q) => (ms.length === 0 ? '–' : span(quantile(ms, q)))),
            ms.length,
          ]
        }),
        [3, 5, 6, 7, 8],
      )
}`
}

/** Who says nothing for longer than it may work on what it knew does nothing any more, whatever it said last. */
function stateOf({ state: told, asOf, maxStalenessMs }: ConsumerNow, now: number): Shown {
  if (told === 'ready' && now - asOf > maxStalenessMs) return state('silent', 'bad')
  return state(told, MOODS[told])
}

function exposureChart(consumers: readonly ConsumerNow[], since: number): Html {
  const labels = consumers.map(({ consumer, instance }) => `${consumer} ${instance.slice(0, 8)}`)
  const each = consumers.map(({ exposures }) => exposures.filter(({ at }) => at >= since))
  const times = [...new Set(each.flatMap((list) => list.map(({ at }) => at)))].sort((a, b) => a - b)
  const lines = each.map((list) => {
    const byTime = new Map(list.map(({ at, ms }) => [at, ms]))
    return times.map((at) => byTime.get(at) ?? null)
  })
  const data = { labels, unit: 'ms', least: 10, points: [times.map((at) => at / 1000), ...lines] }
  return html`<h2>Exposure over time</h2>
${times.length === 0 && html`<p>No revocation has reached a consumer in this time.</p>`}
${chartData('exposure-data', data)}`
}

function rateChart(refusals: Refusals, since: number): Html {
  const rates = refusals.rates(since)
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

function latest(revocations: Revocations): Html {
  const list = revocations.latest(5)
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
