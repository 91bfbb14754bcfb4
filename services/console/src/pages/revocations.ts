/** Revocations, the latest first; each with its receipt, which fills in while one looks. */

import type { Receipt, ReceiptConsumer, StandingSignal } from '@countersign/evidence'
import { rfc3339 } from '@countersign/kernel'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RevocationAnswer } from '../system/identity-admin.ts'
import type { KnownByName, Told } from '../system/known.ts'
import type { Revocation, Standing } from '../system/standing.ts'
import { type Html, html, type Shown } from './html.ts'
import type { Pages } from './live.ts'
import { asOf, handle, type Mood, span, state, table, time } from './words.ts'

export interface RevocationsOptions {
  readonly standing: Standing
  /** How identity says a revocation stands. */
  readonly answers: KnownByName<RevocationAnswer | null>
  readonly pages: Pages
}

const SHOWN = 50
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function revocationPages(app: FastifyInstance, options: RevocationsOptions): void {
  const { standing, answers, pages } = options
  pages.add(app, {
    path: '/revocations',
    place: '/revocations',
    title: () => 'Revocations',
    regions: { list: () => listOf(standing) },
  })
  pages.add(app, {
    path: '/revocations/:id',
    place: '/revocations',
    title: () => 'Revocation',
    regions: {
      what: (request) => whatOf(idOf(request), standing.revocation(idOf(request))),
      receipt: async (request) => {
        const id = idOf(request)
        const receipt = ID.test(id) ? standing.receipt(id) : null
        return receipt === null ? answerOf(await answers.of(id).tell()) : receiptTable(receipt)
      },
    },
  })
}

function idOf(request: FastifyRequest): string {
  return (request.params as { id: string }).id
}

function listOf(standing: Standing): Html {
  const list = standing.revocations().slice(0, SHOWN)
  if (list.length === 0) return html`<p>There is none on the log.</p>`
  return table(
    'The latest first',
    ['Revocation', 'When', 'Cause', 'What it takes', 'By', 'Receipt'],
    list.map(({ id, at, cause, signals, initiator }) => [
      html`<a href="/revocations/${id}">${handle(id)}</a>`,
      time(at),
      cause.replaceAll('_', ' '),
      html`<ul class="plain">${signals.map(signalLine)}</ul>`,
      handle(initiator),
      standing.isClosed(id) ? state('closed', 'ok') : state('open', 'wait'),
    ]),
  )
}

function signalLine({ log, offset, signal }: StandingSignal): Html {
  const { effect, target } = signal
  const { kind, tenant, id } = target
  return html`<li>${effect.replaceAll(/[:_]/g, ' ')} of ${kind} ${handle([tenant, id].filter(Boolean).join(' / '))} at ${log}/${offset}</li>`
}

function whatOf(id: string, revocation: Revocation | null): Html {
  return html`<p>${handle(id)}</p>
${
  revocation !== null &&
  html`<p>${revocation.cause.replaceAll('_', ' ')} by ${handle(revocation.initiator)}, on the log since ${time(revocation.at)} UTC.</p>
<ul>${revocation.signals.map(signalLine)}</ul>`
}`
}

/** Of one that is not on the log: identity knows whether it will be. */
function answerOf(told: Told<RevocationAnswer | null>): Html {
  if (told.asOf === null) return asOf(told, 'Identity')
  if (told.value === null)
    return html`<p class="note" role="status">Neither the log nor identity knows a revocation of that id.</p>`
  const { state: how, code } = told.value
  const says = {
    acknowledged: 'It is on the log; the console has not read it yet.',
    pending:
      'Identity has it and delivers it as soon as the log can be reached. Until then consumers do not know of it.',
    unknown: 'Identity could not say.',
    refused: `It was refused (${code ?? 'no reason given'}); nothing was changed.`,
  }[how]
  return html`<p class="${how === 'refused' ? 'alarm' : 'note'}" role="status">${says}</p>${asOf(told, 'Identity')}`
}

const MOODS: Readonly<Record<ReceiptConsumer['state'], Mood>> = {
  applied: 'ok',
  pending: 'wait',
  silent: 'bad',
  stopped: 'plain',
}

function receiptTable({ consumers, appendedAt, closedAt, line }: Receipt): Html {
  const open = consumers.filter((one) => one.state === 'pending').length
  return html`<h2>Receipt</h2>
<p role="status" class="${closedAt === null ? 'note' : 'good'}">${
    closedAt === null
      ? `Open: ${open} of ${consumers.length} consumers ${open === 1 ? 'has' : 'have'} not said that it is applied.`
      : html`<strong>Closed.</strong> ${line}`
  }</p>
${
  consumers.length > 0 &&
  table(
    'Every consumer that was registered then; times UTC',
    ['Consumer', 'State', 'Applied', 'After', 'Could act until', 'Last decision without it', 'Last effect without it'],
    consumers.map((one) => [
      html`${one.consumer} <span class="handle">${one.instance.slice(0, 8)}</span>`,
      [state(one.state, MOODS[one.state]), one.contradicted && state('contradicted by its decisions', 'bad')],
      moment(one.appliedAt),
      one.appliedAt === null ? '–' : `${one.exact ? '' : 'at most '}${span(one.appliedAt - appendedAt)}`,
      moment(one.couldActUntil),
      moment(one.lastDecisionAt),
      moment(one.lastEffectAt),
    ]),
  )
}`
}

function moment(ms: number | null): Shown {
  if (ms === null) return '–'
  const text = rfc3339(ms)
  return /T(.*)Z/.exec(text)?.[1] ?? text
}
