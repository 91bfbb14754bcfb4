/** A person's sessions, and ending them. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Gate } from '../operators/gate.ts'
import type { ActIds } from '../system/act-ids.ts'
import type { Audit } from '../system/audit.ts'
import type { IdentityAdmin, LiveSession, Person, RevocationAnswer } from '../system/identity-admin.ts'
import type { KnownByName } from '../system/known.ts'
import { type Html, html, type Shown } from './html.ts'
import type { Page, Pages } from './live.ts'
import { asOf, handle, state, table, time } from './words.ts'

export interface PeopleOptions {
  readonly identity: IdentityAdmin
  readonly gate: Gate
  readonly audit: Audit
  readonly pages: Pages
  readonly actIds: ActIds
  /** By subject. */
  readonly people: KnownByName<PersonNow>
}

/** A person and where they are logged in. */
export interface PersonNow {
  readonly person: Person | null
  readonly sessions: readonly LiveSession[]
}

type Of = { Params: { sub: string } }

const actId = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
const endBody = z.object({ id: actId, session: z.string().min(1).max(200) })
const endAllBody = z.object({ id: actId })
const findQuery = z.object({ sub: z.string().trim().min(1).max(200) })

export function peoplePages(app: FastifyInstance, options: PeopleOptions): void {
  const { identity, gate, audit, pages, actIds, people } = options

  const find: Page = {
    path: '/people',
    place: '/people',
    title: () => 'People',
    head: (request) => finder((request.query as { unknown?: string }).unknown ?? null),
    regions: {},
  }
  pages.add(app, find)
  app.get('/people/find', (request, reply) => {
    const found = findQuery.safeParse(request.query)
    return reply.redirect(found.success ? `/people/${encodeURIComponent(found.data.sub)}` : '/people', 303)
  })

  const one: Page = {
    path: '/people/:sub',
    place: '/people',
    title: (request) => `Sessions of ${subOf(request)}`,
    head: (request) => said(request),
    regions: {
      sessions: async (request) => {
        const sub = subOf(request)
        const told = await people.of(sub).tell()
        if (told.value === null) return asOf(told, 'Identity')
        const { person, sessions } = told.value
        if (person === null)
          return html`<p class="note">Identity knows nobody of that name.</p>${asOf(told, 'Identity')}`
        return html`${about(person)}${asOf(told, 'Identity')}${sessionTable(sub, sessions, actIds)}${sessions.length > 0 && endAllForm(sub, sessions, actIds)}`
      },
    },
  }
  pages.add(app, one)

  app.post<Of>('/people/:sub/end', async (request, reply) => {
    const { sub } = request.params
    const body = endBody.safeParse(request.body)
    if (!body.success) return reply.redirect(pathOf(sub), 303)
    if (!(await gate.recent(request, reply, pathOf(sub)))) return reply
    const { id, session } = body.data
    const answer = await identity.endSession(sub, session, id, request.id)
    audit.note(request, { sub, session, cause: 'console_session_end', revocation: id, outcome: outcomeOf(answer) })
    return answered(reply, sub, answer)
  })

  app.post<Of>('/people/:sub/end-all', async (request, reply) => {
    const { sub } = request.params
    const body = endAllBody.safeParse(request.body)
    if (!body.success) return reply.redirect(pathOf(sub), 303)
    if (!(await gate.recent(request, reply, pathOf(sub)))) return reply
    const { id } = body.data
    const answer = await identity.endAll(sub, id, request.id)
    audit.note(request, { sub, cause: 'console_sessions_end_all', revocation: id, outcome: outcomeOf(answer) })
    return answered(reply, sub, answer)
  })

  /** To the receipt where there will be one; back with the reason where there is none. */
  function answered(reply: FastifyReply, sub: string, answer: RevocationAnswer): FastifyReply {
    people.of(sub).forget()
    if (answer.state === 'acknowledged' || answer.state === 'pending')
      return reply.redirect(`/revocations/${answer.id}`, 303)
    const outcome = encodeURIComponent(outcomeOf(answer))
    return reply.redirect(`${pathOf(sub)}?outcome=${outcome}&id=${answer.id}`, 303)
  }
}

function finder(unknown: string | null): Html {
  return html`${unknown !== null && html`<p class="note" role="status">Nobody is called ${unknown}.</p>`}
<form method="get" action="/people/find" class="row" role="search">
<div><label for="sub">Subject</label>
<input id="sub" name="sub" required autocomplete="off" spellcheck="false" aria-describedby="sub-help"></div>
<button type="submit">Show sessions</button>
</form>
<p id="sub-help" class="as-of">The opaque id of a person, as decisions, receipts and the journey name them.</p>`
}

/** What came of an act that left no receipt. */
function said(request: FastifyRequest): Shown {
  const { outcome, id } = request.query as { outcome?: unknown; id?: unknown }
  if (typeof outcome !== 'string' || typeof id !== 'string' || !actId.safeParse(id).success) return null
  return outcome === 'unknown'
    ? html`<p class="alarm" role="alert">Identity did not answer in time. Whether it was done is not known: <a href="/revocations/${id}">look again</a>.</p>`
    : html`<p class="alarm" role="alert">Nothing was changed: ${outcome.slice(0, 64).replaceAll('_', ' ')}.</p>`
}

function about({ principal, state: how, affiliations }: Person): Html {
  return html`<p>${state(how, how === 'active' ? 'ok' : 'bad')} ${principal} in ${
    affiliations.map(({ tenant, roles }) => `${tenant} (${roles.join(', ') || 'no roles'})`).join('; ') || 'no tenant'
  }</p>`
}

function sessionTable(sub: string, sessions: readonly LiveSession[], actIds: ActIds): Html {
  if (sessions.length === 0) return html`<p>No live session.</p>`
  return table(
    'Live sessions, newest first',
    ['Session', 'Kind', 'Tenant', 'Since', 'Last used', 'Until', 'Act'],
    sessions.map((one) => [
      handle(one.session),
      [one.kind, one.client !== null && ` of ${one.client}`, one.act.length > 0 && `, used by ${one.act[0]?.sub}`],
      one.tenant,
      time(one.createdAt),
      time(one.lastSeenAt),
      time(one.expiresAt),
      html`<form method="post" action="${pathOf(sub)}/end">
<input type="hidden" name="session" value="${one.session}"><input type="hidden" name="id" value="${actIds.of('end', sub, one.session)}">
<button type="submit" class="grave" id="end-${one.session}" aria-label="End session ${one.session}">End</button></form>`,
    ]),
  )
}

function endAllForm(sub: string, sessions: readonly LiveSession[], actIds: ActIds): Html {
  const id = actIds.of('end-all', sub, ...sessions.map(({ session }) => session))
  return html`<h2>All of them</h2>
<p>Whatever was begun in this name ends, in every tenant; the person has to log in again.</p>
<form method="post" action="${pathOf(sub)}/end-all"><input type="hidden" name="id" value="${id}">
<button type="submit" class="grave" id="end-all">End all sessions</button></form>`
}

function outcomeOf({ state, code }: RevocationAnswer): string {
  return state === 'refused' ? (code ?? state) : state
}

function pathOf(sub: string): string {
  return `/people/${encodeURIComponent(sub)}`
}

function subOf(request: FastifyRequest): string {
  return (request.params as { sub: string }).sub
}
