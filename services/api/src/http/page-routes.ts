/** Two small pages without login: how to queue a slow job, and what became of one. Plain HTML, no script. */
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { JobState, Outcomes } from '../outcomes.ts'
import { problem } from '../problems.ts'

const POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const STYLE = `body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
label { display: block; margin: 1rem 0 .25rem }
input { font: inherit; width: 100%; padding: .5rem; box-sizing: border-box; border: 1px solid #595959 }
button { font: inherit; margin-top: 1.5rem; padding: .5rem 1.5rem; border: 1px solid #0b4f9e; background: #0b4f9e; color: #fff }
:focus-visible { outline: 3px solid #b35900; outline-offset: 2px }
.state { border-left: 4px solid #0b4f9e; padding-left: 1rem }
`

const WORDS: Readonly<Record<JobState['state'], string>> = {
  queued: 'It is waiting for a worker.',
  admitted: 'A worker has admitted it and is working on it.',
  executed: 'It was done.',
  denied: 'It was stopped.',
  parked: 'It was parked: it could not be judged in time, and nothing is lost.',
  dead_lettered: 'It failed for good and was set aside.',
}

export async function pageRoutes(
  app: FastifyInstance,
  { outcomes, identityUrl }: { outcomes: Outcomes; identityUrl: string },
): Promise<void> {
  app.get('/api.css', async (_request, reply) => reply.type('text/css; charset=utf-8').send(STYLE))
  app.get('/', async (_request, reply) => sendPage(reply, startPage(identityUrl)))
  app.get<{ Params: { eventId: string } }>('/jobs/:eventId', async (request, reply) => {
    const found = await outcomes.find(request.params.eventId)
    if (!found) return problem(reply, 'job_unknown')
    const wantsPage = request.headers.accept?.includes('text/html') ?? false
    return wantsPage ? sendPage(reply, jobPage(found, identityUrl)) : found
  })
}

function startPage(identityUrl: string): string {
  return page(
    'Queue a slow job',
    `<ol>
<li><a href="${asText(identityUrl)}/login">Log in</a> as a member, such as one of those the terminal names.</li>
<li>Pay an invoice of your organisation, slowly. Its name is the organisation's, a dash, and 1001 to 3000.</li>
<li>While it runs, <a href="${asText(identityUrl)}/session">log out</a>, and come back to see it stopped.</li>
</ol>
<form method="post" action="/payments">
<label for="invoice">Invoice</label>
<input id="invoice" name="invoice_id" required placeholder="acme-1001">
<label for="amount">Amount in cents</label>
<input id="amount" name="amount_cents" type="number" min="1" required value="1000">
<label for="work">How long it takes, milliseconds</label>
<input id="work" name="work_ms" type="number" min="0" max="60000" required value="30000">
<button type="submit">Queue the payment</button>
</form>
<p>A program does the same with its session cookie: <code>POST /payments</code> with
<code>{"invoice_id":"acme-1001","amount_cents":1000,"work_ms":30000}</code>.</p>`,
  )
}

function jobPage({ state, reason, detail }: JobState, identityUrl: string): string {
  const open = state === 'queued' || state === 'admitted'
  const why =
    reason === null ? '' : `<p>Reason: <code>${asText(reason)}</code>${detail ? `. ${asText(detail)}.` : ''}</p>`
  return page(
    'Your job',
    `<p class="state" role="status">${WORDS[state]}</p>${why}
${open ? `<p>This page looks again every second. <a href="${asText(identityUrl)}/session">Log out</a> to stop it.</p>` : ''}
<p><a href="/">Queue another</a></p>`,
    open ? '<meta http-equiv="refresh" content="1">' : '',
  )
}

function page(title: string, body: string, head = ''): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">${head}
<title>${title} · Countersign</title><link rel="stylesheet" href="/api.css"></head>
<body><main><h1>${title}</h1>
${body}
</main></body></html>
`
}

function sendPage(reply: FastifyReply, html: string): FastifyReply {
  return reply
    .header('content-security-policy', POLICY)
    .header('referrer-policy', 'no-referrer')
    .header('x-content-type-options', 'nosniff')
    .type('text/html; charset=utf-8')
    .send(html)
}

function asText(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
