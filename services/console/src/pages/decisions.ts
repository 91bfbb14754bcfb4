/** What was refused lately, and any decision explained from what stands on the logs. */
import type { Explanation } from '@countersign/evidence'
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
  readonly explanations: KnownByName<Explanation>
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
    title: (request) => (questionOf(request) === null ? 'Explain' : 'Explained'),
    head: (request) => {
      const given = questionOf(request)
      return question(given?.kind ?? 'name', given?.of ?? '')
    },
    regions: {
      explanation: async (request) => {
        const given = questionOf(request)
        if (given === null) return html`<p class="note">Say what is to be explained.</p>`
        const told = await explanations.of(`${given.kind}:${given.of}`).tell()
        if (told.value !== null) return html`${explained(told.value)}${asOf(told, 'The log')}`
        return told.asking
          ? html`<p class="note" role="status">Reading the log. The answer appears here.</p>`
          : asOf(told, 'The log')
      },
    },
  })
}

function questionOf(request: FastifyRequest): { readonly kind: QuestionKind; readonly of: string } | null {
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

const VERDICTS: Readonly<Record<Explanation['decisions'][number]['verdict'], readonly [string, Mood]>> = {
  reproduced: ['reproduced bit for bit', 'ok'],
  differs: ['differs', 'bad'],
  not_recomputable: ['cannot be recomputed', 'wait'],
}

function explained({ lines, decisions }: Explanation): Html {
  return html`<h2>What happened</h2>
<ol class="steps">${lines.map((line) => html`<li>${line}</li>`)}</ol>
${decisions.map((one) => {
  const [words, mood] = VERDICTS[one.verdict]
  const name = placeOf(one)
  return html`<h2>Decision on ${name}, ${one.phase}</h2>
<p>Judged again from what stands on the logs: ${state(words, mood)}</p>
${one.named.length > 0 && html`<ul>${one.named.map((text) => html`<li>${text}</li>`)}</ul>`}
${table(
  `Fields of the decision on ${name}, ${one.phase}`,
  ['Field', 'Recorded', 'Recomputed', ''],
  one.fields.map(({ name: field, recorded, recomputed, same }) => [
    field,
    html`<code>${shown(recorded)}</code>`,
    html`<code>${shown(recomputed)}</code>`,
    same ? state('same', 'ok') : state('differs', 'bad'),
  ]),
)}
${one.given.length > 0 && html`<p class="as-of">Recomputed from: ${one.given.join('; ')}.</p>`}`
})}`
}

function placeOf({ place }: Explanation['decisions'][number]): string {
  return typeof place === 'string' ? place : JSON.stringify(place)
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '–')
}
