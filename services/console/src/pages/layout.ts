/** What every page has: head, navigation, and a policy under which nothing runs but our own files. */
import type { FastifyReply } from 'fastify'
import { type Html, html, type Shown } from './html.ts'

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

/**
 * Sends a page that no other site may frame, read or be told of.
 * @param formActions where its forms may end besides here: browsers hold the whole chain of redirects to it.
 */
export function sendPage(
  reply: FastifyReply,
  status: number,
  page: Html,
  formActions: readonly string[] = [],
): FastifyReply {
  const policy =
    formActions.length === 0
      ? POLICY
      : POLICY.replace("form-action 'self'", `form-action 'self' ${formActions.join(' ')}`)
  return reply
    .code(status)
    .header('content-security-policy', policy)
    .header('cross-origin-opener-policy', 'same-origin')
    .header('cross-origin-resource-policy', 'same-origin')
    .header('referrer-policy', 'same-origin')
    .header('x-content-type-options', 'nosniff')
    .header('cache-control', 'no-store')
    .type('text/html; charset=utf-8')
    .send(page.text)
}

const PLACES = [
  ['/', 'Overview'],
  ['/revocations', 'Revocations'],
  ['/people', 'People'],
  ['/parked', 'Parked work'],
  ['/decisions', 'Decisions'],
  ['/topics', 'Topics'],
] as const

export interface LayoutOptions {
  readonly title: string
  /** First segment of the path, for the navigation. */
  readonly place: string
  /** Who is signed in. */
  readonly operator: string
  /** Whether a chart is on it. */
  readonly charts?: boolean
}

export function layout({ title, place, operator, charts = false }: LayoutOptions, main: Shown): Html {
  const files = html`${
    charts &&
    html`<link rel="stylesheet" href="/files/uplot.css">
<script src="/files/uplot.js" defer></script>
`
  }<script src="/files/console.js" defer></script>`
  return documentOf(
    title,
    files,
    html`<body>
<a class="skip" href="#main">To the content</a>
<header>
<p class="name">Countersign</p>
<nav aria-label="Console"><ul>${PLACES.map(
      ([path, name]) => html`<li><a href="${path}"${path === place && html` aria-current="page"`}>${name}</a></li>`,
    )}</ul></nav>
<form method="post" action="/sign-out"><span class="who">${operator}</span> <button type="submit" class="quiet">Sign out</button></form>
</header>
${mainOf(title, main)}
<footer><p id="live-state" role="status"></p></footer>
</body>`,
  )
}

/** For who is not signed in. */
export function bareLayout(title: string, main: Shown): Html {
  return documentOf(title, null, html`<body class="bare">${mainOf(title, main)}</body>`)
}

function documentOf(title: string, files: Shown, body: Html): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Countersign</title>
<link rel="icon" href="/files/icon.svg">
<link rel="stylesheet" href="/files/console.css">
${files}
</head>
${body}
</html>`
}

function mainOf(title: string, main: Shown): Html {
  return html`<main id="main" tabindex="-1">
<h1>${title}</h1>
${main}
</main>`
}
