/** The few pages people see: plain HTML, no script, usable by keyboard and screen reader. */
import type { FastifyReply } from 'fastify'
import type { Answer } from '../answers.ts'
import type { Known } from '../logins.ts'

const POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

export const STYLE = `body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
label { display: block; margin: 1rem 0 .25rem }
input { font: inherit; width: 100%; padding: .5rem; box-sizing: border-box; border: 1px solid #595959 }
button { font: inherit; margin-top: 1.5rem; padding: .5rem 1.5rem; border: 1px solid #0b4f9e; background: #0b4f9e; color: #fff }
:focus-visible { outline: 3px solid #b35900; outline-offset: 2px }
.note { border-left: 4px solid #b30000; padding-left: 1rem }
dt { font-weight: 600 }
`

/** Sends a page that no other site may frame and that runs nothing. */
export function sendPage(reply: FastifyReply, status: number, html: string): FastifyReply {
  return reply
    .code(status)
    .header('content-security-policy', POLICY)
    .header('referrer-policy', 'same-origin')
    .header('x-content-type-options', 'nosniff')
    .type('text/html; charset=utf-8')
    .send(html)
}

export function loginPage(options: { note?: string; email?: string; tenant?: string } = {}): string {
  const { note, email = '', tenant = '' } = options
  return page(
    'Log in',
    `${note === undefined ? '' : `<p class="note" role="alert">${asText(note)}</p>`}
<form method="post" action="/login">
<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required value="${asText(email)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<label for="tenant">Organisation (only if you belong to several)</label>
<input id="tenant" name="tenant" autocomplete="organization" value="${asText(tenant)}">
<button type="submit">Log in</button>
</form>`,
  )
}

export function sessionPage({ session, account, roles }: Known): string {
  return page(
    'You are logged in',
    `<dl>
<dt>E-mail</dt><dd>${asText(account.email)}</dd>
<dt>Organisation</dt><dd>${asText(session.tenant)}</dd>
<dt>Roles</dt><dd>${asText(roles.join(', ') || 'none')}</dd>
<dt>Since</dt><dd>${new Date(session.createdAt).toISOString()}</dd>
</dl>
<form method="post" action="/logout"><button type="submit">Log out</button></form>`,
  )
}

const LOGGED_OUT: Readonly<Record<Answer['state'], string>> = {
  acknowledged: 'You are logged out. Work you have queued is being stopped everywhere.',
  pending: 'You are logged out here. Work you have queued is stopped as soon as the log can be reached again.',
  unknown: 'It is not known whether you are logged out. Go back and try again.',
  refused: 'You are not logged out: the session store is away. Go back and try again.',
}

export function loggedOutPage(state: Answer['state']): string {
  return page('Log out', `<p role="status">${LOGGED_OUT[state]}</p><p><a href="/login">Log in</a></p>`)
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Countersign</title><link rel="stylesheet" href="/style.css"></head>
<body><main><h1>${title}</h1>
${body}
</main></body></html>
`
}

function asText(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
