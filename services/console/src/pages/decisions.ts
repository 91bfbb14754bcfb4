/** What was refused lately, and any decision explained from what stands on the logs. */
import { type ExplainedDecision, type Explanation, placeName, type Question } from '@countersign/evidence'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { KnownByName } from '../system/known.ts'
import type { Refusal, Refusals } from '../system/refusals.ts'
import { type Html, html } from './html.ts'
import type { Pages } from './live.ts'
import { asOf, handle, type Mood, state, table, time } from './words.ts'

export interface DecisionsOptions {
  readonly refusals: Refusals
  /** By what was asked: `name:…`, `object:…` or `session:…`. */
  readonly explanations: KnownByName<{ readonly found: Explanation | null }>
  readonly pages: Pages
}

/** What can be asked about. */
export const QUESTIONS = {
  name: 'a decision, job, request or transaction',
  object: 'who touched this object',
  session: 'what this session did',
} as const

export type QuestionKind = keyof typeof QUESTIONS

const asked = z.object({
  kind: z.enum(['name', 'object', 'session']).default('name'),
  of: z.string().trim().min(1).max(300),
})
const SHOWN = 50
const MOST_LINES = 500

const MOODS: Readonly<Record<Refusal['outcome'], Mood>> = {
  executed: 'ok',
  denied: 'bad',
  parked: 'wait',
  dead_lettered: 'bad',
}

export function decisionPages(app: FastifyInstance, { refusals, explanations, pages }: DecisionsOptions): void {
  pages.add(app, {
    path: '/decisions',
    place: '/decisions',
    title: () => 'Decisions',
    head: () => question('name', ''),
    regions: { refused: () => refusedTable(refusals.latest(SHOWN)) },
  })

  pages.add(app, {
    path: '/decisions/explain',
    place: '/decisions',
    title: (request) => (askedIn(request) === null ? 'Explain' : 'Explained'),
    head: (request) => {
      const given = askedIn(request)
      return question(given?.kind ?? 'name', given?.of ?? '')
    },
    regions: {
      explanation: async (request) => {
        const given = askedIn(request)
        if (given === null) return html`<p class="note">Say what is to be explained.</p>`
        const told = await explanations.of(`${given.kind}:${given.of}`).tell()
        if (told.value !== null) return html`${explained(told.value.found)}${asOf(told, 'The log')}`
        return told.asking
          ? html`<p class="note" role="status">Reading the log. The answer appears here.</p>`
          : asOf(told, 'The log')
      },
    },
  })
}

/** From the name an explanation is kept under to the question it answers. */
export function questionOf(name: string): Question {
  const [kind, of] = [name.slice(0, name.indexOf(':')), name.slice(name.indexOf(':') + 1)]
  return kind === 'object' ? { object: of } : kind === 'session' ? { session: of } : { name: of }
}

function askedIn(request: FastifyRequest): { readonly kind: QuestionKind; readonly of: string } | null {
  return asked.safeParse(request.query).data ?? null
}

function question(kind: QuestionKind, of: string): Html {
  return html`<form method="get" action="/decisions/explain" class="row" role="search">
<div><label for="of">Explain</label>
<input id="of" name="of" value="${of}" required autocomplete="off" spellcheck="false" aria-describedby="of-help"></div>
<div><label for="kind">as</label>
<select id="kind" name="kind">${Object.entries(QUESTIONS).map(
    ([value, text]) => html`<option value="${value}"${value === kind && html` selected`}>${text}</option>`,
  )}</select></div>
<button type="submit">Explain</button>
</form>
<p id="of-help" class="as-of">An event id, topic/partition/offset, request, correlation, trace or transaction id; an object; a session.</p>`
}

function refusedTable(refusals: readonly Refusal[]): Html {
  if (refusals.length === 0)
    return html`<p>Nothing was refused, parked or set aside since the console began to look.</p>`
  return table(
    'What was not simply done, the latest first',
    ['Job', 'When', 'Class', 'Outcome', 'Reason', 'For', 'Object'],
    refusals.map(({ place, at, jobClass, outcome, reason, sub, object, observed }) => [
      html`<a href="/decisions/explain?of=${encodeURIComponent(place)}">${handle(place)}</a>`,
      time(at),
      jobClass,
      [state(outcome, MOODS[outcome]), observed && ' observed only'],
      reason.replaceAll('_', ' '),
      sub === null ? '–' : html`<a href="/people/${encodeURIComponent(sub)}">${handle(sub)}</a>`,
      handle(object),
    ]),
  )
}

const VERDICTS: Readonly<Record<ExplainedDecision['verdict'], readonly [string, Mood]>> = {
  reproduced: ['the same, bit for bit', 'ok'],
  differs: ['not the same', 'bad'],
  not_recomputable: ['cannot be made again', 'wait'],
}

/** @returns what happened and the decisions, of much the latest: a page is made anew every second, for each who looks. */
export function explained(found: Explanation | null): Html {
  if (found === null) return html`<p class="note" role="status">Nothing on the logs bears that name.</p>`
  const { lines, decisions } = found
  return html`<h2>What happened</h2>
${lines.length > MOST_LINES && html`<p class="note">The latest ${MOST_LINES} of ${lines.length} lines; "countersign explain" tells all.</p>`}
<ol class="steps">${lines.slice(-MOST_LINES).map((line) => html`<li>${line}</li>`)}</ol>
${decisions.length > SHOWN && html`<p class="note">The latest ${SHOWN} of ${decisions.length} decisions.</p>`}
${decisions.slice(-SHOWN).map(decision)}`
}

function decision({
  place,
  phase,
  verdict,
  recorded,
  named,
  given,
  fields,
  consumer,
  jobClass,
  at,
  view,
}: ExplainedDecision): Html {
  const [words, mood] = VERDICTS[verdict]
  const what = `${placeName(place)}, ${phase}`
  return html`<h2>Decision on ${what}</h2>
<p>${consumer} decided as ${jobClass} at ${time(at)} UTC, by a view that had read ${view.log} up to ${view.offset}:
${state(recorded.outcome, recorded.outcome === 'executed' ? 'ok' : 'bad')} ${recorded.reason.replaceAll('_', ' ')}.
Made again from what stands on the logs: ${state(words, mood)}</p>
${named.length > 0 && html`<ul>${named.map((text) => html`<li>${text}</li>`)}</ul>`}
${table(
  `Fields of the decision on ${what}`,
  ['Field', 'Recorded', 'Made again', 'Compared'],
  fields.map(({ name, recorded: was, recomputed, same }) => [
    name,
    html`<code>${was}</code>`,
    html`<code>${recomputed}</code>`,
    same ? state('same', 'ok') : state('differs', 'bad'),
  ]),
)}
${given.length > 0 && html`<p class="as-of">Taken from the record, since only the consumer could know it: ${given.join('; ')}.</p>`}`
}
