/** The few pages people see: plain HTML that works without script, by keyboard and by screen reader. */
import type { FastifyReply } from 'fastify'
import type { Answer } from '../answers.ts'
import type { Known } from '../sessions/sessions.ts'
import type { deviceView, SessionView } from './views.ts'

export const STYLE = `body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
label { display: block; margin: 1rem 0 .25rem }
input { font: inherit; width: 100%; padding: .5rem; box-sizing: border-box; border: 1px solid #595959 }
button { font: inherit; margin-top: 1.5rem; padding: .5rem 1.5rem; border: 1px solid #0b4f9e; background: #0b4f9e; color: #fff }
:focus-visible { outline: 3px solid #b35900; outline-offset: 2px }
.note { border-left: 4px solid #b30000; padding-left: 1rem }
dt { font-weight: 600 }
code { font-size: 1.1rem; overflow-wrap: anywhere }
.picture svg { display: block; width: 15rem; max-width: 100% }
[hidden] { display: none }
`

/**
 * Sends a page that no other site may frame and that runs nothing, or at most our own files.
 * @param formActions where its forms may end besides here.
 */
export function sendPage(
  reply: FastifyReply,
  status: number,
  html: string,
  formActions: readonly string[] = [],
  runs: 'nothing' | 'own files' = 'nothing',
): FastifyReply {
  const actions = ["'self'", ...formActions].join(' ')
  const scripts = runs === 'nothing' ? '' : " script-src 'self'; connect-src 'self';"
  return reply
    .code(status)
    .header(
      'content-security-policy',
      `default-src 'none'; style-src 'self';${scripts} form-action ${actions}; base-uri 'none'; frame-ancestors 'none'`,
    )
    .header('referrer-policy', 'same-origin')
    .header('x-content-type-options', 'nosniff')
    .type('text/html; charset=utf-8')
    .send(html)
}

export interface LoginFields {
  readonly note?: string
  readonly email?: string
  readonly tenant?: string
  /** Page of ours to go on to. */
  readonly onward?: string | null
}

export function loginPage({ note, email = '', tenant = '', onward = null }: LoginFields = {}): string {
  // Whoever comes back with a mistake starts at the field they most likely mistyped.
  const [first, then] = email === '' ? [' autofocus', ''] : ['', ' autofocus']
  return page(
    'Log in',
    `${noteOf(note)}
<form method="post" action="/login">${onwardField(onward)}
<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required${first} value="${asText(email)}"${describedBy(note)}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${then}${describedBy(note)}>
<label for="tenant">Organisation (only if you belong to several)</label>
<input id="tenant" name="tenant" autocomplete="organization" value="${asText(tenant)}">
<button type="submit">Log in</button>
</form>`,
  )
}

export function reauthenticationPage(o: { email: string; note?: string; onward: string | null }): string {
  const { email, note, onward } = o
  return page(
    'Show that it is you',
    `${noteOf(note)}
<p>You are logged in as ${asText(email)}. Enter your password to go on.</p>
<form method="post" action="/reauthenticate">${onwardField(onward)}
<input type="hidden" name="username" autocomplete="username" value="${asText(email)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus${describedBy(note)}>
<button type="submit">Go on</button>
</form>`,
  )
}

/** The sessions and devices of a person, each with a button that ends it. */
export function sessionsPage(o: {
  sessions: readonly SessionView[]
  devices: readonly ReturnType<typeof deviceView>[]
}): string {
  const names = new Map(o.devices.map(({ device, name }) => [device, name]))
  const rows = o.sessions.map((one) => {
    const where = names.get(one.device ?? '') ?? one.client ?? KINDS[one.kind]
    const actor = one.act.length > 0 ? ', an administrator acting as you' : ''
    return `<li><p><strong>${asText(where)}</strong> (${KINDS[one.kind]}${actor})${one.current ? ', this one' : ''}<br>
${asText(one.tenant)}, since ${time(one.createdAt)}, last used ${time(one.lastSeenAt)}</p>
${button('/sessions/end', 'End', `${where}, since ${time(one.createdAt)}`, one.session)}</li>`
  })
  const devices = o.devices
    .filter(({ state }) => state === 'active')
    .map(
      (one) => `<li><p><strong>${asText(one.name)}</strong>${one.current ? ', this one' : ''}<br>
last seen ${time(one.lastSeenAt)}</p>${button('/devices/lost', 'Lost', one.name, one.device)}</li>`,
    )
  return page(
    'Your sessions',
    `<ul>
${rows.join('\n')}
</ul>
<form method="post" action="/sessions/end-others"><button type="submit">End all others</button></form>
<form method="post" action="/sessions/end-all"><button type="submit">End all</button></form>
<h2>Your devices</h2>
<ul>
${devices.join('\n')}
</ul>
<p><a href="/session">Back</a></p>`,
  )
}

export function messagePage(title: string, message: string): string {
  return page(title, `<p role="alert">${asText(message)}</p><p><a href="/sessions">Back</a></p>`)
}

const KINDS: Readonly<Record<SessionView['kind'], string>> = {
  browser: 'browser',
  admin: 'administration',
  api: 'program',
  family: 'app',
  device: 'device',
}

export function sessionPage({ session, account, roles }: Known): string {
  const acting = session.act.length > 0 ? '<p class="note" role="status">You act as this person.</p>\n' : ''
  return page(
    'You are logged in',
    `${acting}<dl>
<dt>E-mail</dt><dd>${asText(account.email)}</dd>
<dt>Organisation</dt><dd>${asText(session.tenant)}</dd>
<dt>Roles</dt><dd>${asText(roles.join(', ') || 'none')}</dd>
<dt>Since</dt><dd>${new Date(session.createdAt).toISOString()}</dd>
</dl>
<p><a href="/sessions">Your sessions and devices</a></p>
<p><a href="/security">How you show that it is you</a></p>
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

const NOT_SENT_ON = {
  client: 'The application that sent you here is not known, or is not allowed to log people in.',
  redirect_uri: 'The application that sent you here asked for an answer at an address that is not its own.',
  request: 'The application that sent you here asked for something that cannot be read.',
} as const

/** For when there is nobody to tell but the person: an answer to an unknown address could go to anybody. */
export function authorizationRefusedPage(why: keyof typeof NOT_SENT_ON): string {
  return page('You cannot be sent on', `<p role="alert">${NOT_SENT_ON[why]}</p><p>Go back and tell its makers.</p>`)
}

export function noteOf(note: string | undefined): string {
  return note === undefined ? '' : `<p class="note" role="alert" id="note">${asText(note)}</p>`
}

export function describedBy(note: string | undefined): string {
  return note === undefined ? '' : ' aria-describedby="note" aria-invalid="true"'
}

export function onwardField(onward: string | null): string {
  return onward === null ? '' : `\n<input type="hidden" name="continue" value="${asText(onward)}">`
}

// Several buttons of one word: what each is about is told to those who do not see where it stands.
export function button(action: string, word: string, about: string, handle: string): string {
  return `<form method="post" action="${action}"><input type="hidden" name="handle" value="${asText(handle)}">
<button type="submit" aria-label="${asText(`${word}: ${about}`)}">${word}</button></form>`
}

export function time(at: number): string {
  const text = new Date(at).toISOString()
  return `<time datetime="${text}">${text.slice(0, 16).replace('T', ' ')} UTC</time>`
}

/** @param scripts paths of our own files to run when the page is there. */
export function page(title: string, body: string, scripts: readonly string[] = []): string {
  const running = scripts.map((path) => `<script src="${path}" defer></script>`).join('')
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Countersign</title><link rel="stylesheet" href="/style.css">${running}</head>
<body><main><h1>${title}</h1>
${body}
</main></body></html>
`
}

export function asText(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
