/** Work that was set aside, and redriving it: shown as a plan first, done when that is confirmed, watched while it goes on. */
import type { ParkedList, ParkedSelection, ParkedWork, RedrivePlan } from '@countersign/evidence'
import { placeName } from '@countersign/evidence'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Gate } from '../operators/gate.ts'
import type { Audit } from '../system/audit.ts'
import type { Known, KnownByName } from '../system/known.ts'
import type { Redrives, Run } from '../system/redrives.ts'
import { type Html, html, type Shown } from './html.ts'
import type { Pages } from './live.ts'
import { asOf, handle, type Mood, state, table, time } from './words.ts'

export interface ParkedOptions {
  readonly parked: Known<ParkedList>
  /** By selection, as `selectionName` writes it. */
  readonly plans: KnownByName<RedrivePlan>
  readonly redrives: Redrives
  readonly gate: Gate
  readonly audit: Audit
  readonly pages: Pages
}

/** What a button stands for: one copy, or all that were set aside alike. */
const chosen = z.union([
  z.strictObject({ place: z.string().regex(/^[\w.-]{1,249}\/\d{1,9}\/\d{1,15}$/) }),
  z.strictObject({
    logical: z.string().min(1).max(200),
    jobClass: z.string().max(200),
    kind: z.enum(['parked', 'dead_lettered']),
    reason: z.string().min(1).max(200),
  }),
])

type Chosen = z.output<typeof chosen>

const SHOWN = 100

export function parkedPages(app: FastifyInstance, options: ParkedOptions): void {
  const { parked, plans, redrives, gate, audit, pages } = options
  const place = '/parked'

  pages.add(app, {
    ...{ path: '/parked', place },
    title: () => 'Parked work',
    regions: {
      parked: async () => {
        const told = await parked.tell()
        if (told.value === null) return asOf(told, 'The log')
        return html`${groupsOf(told.value)}${workTable(told.value)}${asOf(told, 'The log')}`
      },
    },
  })

  pages.add(app, {
    ...{ path: '/parked/plan', place },
    title: () => 'Redrive: the plan',
    regions: {
      plan: async (request) => {
        const given = chosen.safeParse(request.query).data
        if (given === undefined)
          return html`<p class="note">Choose what to redrive <a href="/parked">among what is parked</a>.</p>`
        const told = await plans.of(selectionName(given)).tell()
        return told.value === null ? asOf(told, 'The log') : html`${planOf(told.value, given)}${asOf(told, 'The log')}`
      },
    },
  })

  pages.add(app, {
    ...{ path: '/parked/runs/:id', place },
    title: () => 'Redrive',
    regions: { run: (request) => runOf(redrives.find((request.params as { id: string }).id)) },
  })

  app.post('/parked/redrive', async (request, reply) => {
    const given = chosen.safeParse(request.body)
    if (!given.success) return reply.redirect('/parked', 303)
    if (!(await gate.recent(request, reply, planPath(given.data)))) return reply
    const id = redrives.start(selectionOf(given.data), request.operator?.sub ?? 'unknown', (run) => {
      parked.forget()
      note(request, run)
    })
    audit.note(request, {
      cause: 'console_redrive',
      revocation: null,
      outcome: 'started',
      rule: selectionName(given.data),
    })
    return reply.redirect(`/parked/runs/${id}`, 303)
  })

  function note(request: FastifyRequest, { result }: Run): void {
    const outcome =
      result === null || result === 'failed'
        ? 'failed'
        : `redriven_${result.counts.redriven + result.counts.renewed}_left_${result.left}`
    audit.note(request, { cause: 'console_redrive', outcome })
  }
}

/** The name a plan is kept under: what was chosen, to be read again by `selectionNamed`. */
function selectionName(given: Chosen): string {
  return new URLSearchParams(given).toString()
}

/** @returns what a name of a plan selects. */
export function selectionNamed(name: string): ParkedSelection {
  return selectionOf(chosen.parse(Object.fromEntries(new URLSearchParams(name))))
}

function selectionOf(given: Chosen): ParkedSelection {
  if ('place' in given) return { places: [given.place] }
  const { logical, jobClass, kind, reason } = given
  return { topics: [logical], kinds: [kind], reasons: [reason], ...(jobClass !== '' && { classes: [jobClass] }) }
}

function planPath(given: Chosen): string {
  return `/parked/plan?${new URLSearchParams(given)}`
}

function groupsOf({ work }: ParkedList): Html {
  const waiting = work.filter(({ state: how }) => how === 'waiting')
  const groups = Map.groupBy(waiting, ({ logical, jobClass, kind, reason }) =>
    JSON.stringify({ logical, jobClass: jobClass ?? '', kind, reason }),
  )
  if (groups.size === 0) return html`<p class="good">Nothing waits to be redriven.</p>`
  return table(
    `What waits, by what it has in common${groups.size > SHOWN ? `, ${SHOWN} of ${groups.size}` : ''}`,
    ['Topic', 'Class', 'Kind', 'Reason', 'Jobs', 'Act'],
    [...groups].slice(0, SHOWN).map(([name, of]) => {
      const group = JSON.parse(name) as Extract<Chosen, { logical: string }>
      const { logical, jobClass, kind, reason } = group
      return [
        handle(logical),
        jobClass || 'any',
        kind.replaceAll('_', ' '),
        reason.replaceAll('_', ' '),
        of.length,
        html`<a href="${planPath(group)}" aria-label="Redrive all of ${logical} set aside for ${reason}">Redrive all…</a>`,
      ]
    }),
    [4],
  )
}

const MOODS: Readonly<Partial<Record<ParkedWork['state'], Mood>>> = {
  waiting: 'wait',
  redriven: 'plain',
  executed: 'ok',
  denied: 'bad',
  parked: 'wait',
  dead_lettered: 'bad',
}

function workTable({ work }: ParkedList): Shown {
  if (work.length === 0) return null
  const latest = [...work].sort((a, b) => b.parkedAt - a.parkedAt).slice(0, SHOWN)
  return html`<h2>One by one</h2>${table(
    `The latest first${work.length > SHOWN ? `, ${SHOWN} of ${work.length}` : ''}`,
    ['Job', 'Set aside', 'Class', 'Reason', 'For', 'State', 'Act'],
    latest.map((one) => {
      const name = one.origin ?? placeName(one.place)
      return [
        html`<a href="/decisions/explain?of=${encodeURIComponent(name)}">${handle(name)}</a>`,
        time(one.parkedAt),
        one.jobClass ?? '–',
        [one.kind === 'dead_lettered' && 'dead letter: ', one.reason.replaceAll('_', ' ')],
        one.sub === null ? '–' : html`<a href="/people/${encodeURIComponent(one.sub)}">${handle(one.sub)}</a>`,
        state(one.state, MOODS[one.state] ?? 'plain'),
        one.state === 'waiting'
          ? html`<a href="${planPath({ place: placeName(one.place) })}" aria-label="Redrive ${name}">Redrive…</a>`
          : '–',
      ]
    }),
  )}`
}

function planOf({ counts, groups, steps }: RedrivePlan, given: Chosen): Html {
  const todo = steps.length
  return html`<p>${
    todo === 0
      ? 'There is nothing left to do.'
      : `${todo} ${todo === 1 ? 'job' : 'jobs'} would be put on their topics again, and decided anew there.`
  }</p>
<ul class="facts">
<li>As they stand <b>${counts.redrive}</b></li>
<li>Under a successor <b>${counts.renew}</b></li>
<li>Over, to be denied <b>${counts.expire}</b></li>
<li>Done before <b>${counts.done}</b></li>
</ul>
${
  groups.length > 0 &&
  table(
    `What would be redriven${groups.length > SHOWN ? `, ${SHOWN} of ${groups.length} groups` : ''}`,
    ['Topic', 'Class', 'Kind', 'Reason', 'Jobs'],
    groups
      .slice(0, SHOWN)
      .map(({ logical, jobClass, kind, reason, count }) => [
        handle(logical),
        jobClass ?? 'every class of the topic',
        kind.replaceAll('_', ' '),
        reason.replaceAll('_', ' '),
        count,
      ]),
    [4],
  )
}
${
  todo > 0 &&
  html`<form method="post" action="/parked/redrive">${Object.entries(given).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}
<p><button type="submit" id="redrive">Redrive ${todo} ${todo === 1 ? 'job' : 'jobs'}</button> <a href="/parked">Leave them</a></p></form>`
}`
}

function runOf(run: Run | null): Html {
  if (run === null)
    return html`<p class="note">This console has started no such redrive. What was redriven shows <a href="/parked">at each job</a>.</p>`
  const { by, startedAt, steps, done, result } = run
  const began = html`<p>Started by ${handle(by)} at ${time(startedAt)} UTC.</p>`
  const back = html`<p><a href="/parked">Parked work</a></p>`
  if (result === null)
    return html`${began}<p class="note" role="status">${steps === null ? 'To be planned, after those started before.' : `${done} of ${steps} done.`}</p>${back}`
  if (result === 'failed')
    return html`${began}<p class="alarm" role="alert">It ended before it was done: the log did not answer. What was done is done; the same again does the rest.</p>${back}`
  const { counts, left } = result
  return html`${began}<p class="good" role="status">Done: ${counts.redriven + counts.renewed} redriven.</p>
<ul>
${counts.renewed > 0 && html`<li>${counts.renewed} of these under a successor</li>`}
${counts.before > 0 && html`<li>${counts.before} had been redriven before</li>`}
${counts.refused > 0 && html`<li>${counts.refused} got no successor, and will be denied</li>`}
${counts.unsure > 0 && html`<li>${counts.unsure} left as they stand: identity did not answer</li>`}
${counts.too_large > 0 && html`<li>${counts.too_large} are too large to be put there again; they can only be sent anew</li>`}
${counts.gone > 0 && html`<li>${counts.gone} are no longer where they stood</li>`}
${left > 0 && html`<li>${left} not come to</li>`}
</ul>${back}`
}
