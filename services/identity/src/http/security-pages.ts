/** Pages about how people show that it is them. What has to do with an authenticator app works without script. */
import type { Factor } from '@countersign/session-store'
import { encodeQR } from 'qr'
import { asText, button, describedBy, noteOf, page, time } from './pages.ts'

/** Files that pages with passkeys run: the library in its own bundle, then ours. */
export const PASSKEY_SCRIPTS: readonly string[] = ['/simplewebauthn.js', '/passkeys.js']

export interface SecurityFields {
  readonly factors: readonly Factor[]
  /** False where passkeys cannot be made: the server is known by address alone. */
  readonly passkeys: boolean
  readonly note?: string | undefined
}

export function securityPage({ factors, passkeys, note }: SecurityFields): string {
  const app = factors.find(({ kind }) => kind === 'totp')
  const recovery = factors.find(({ kind }) => kind === 'recovery')
  const keys = factors.filter(({ kind }) => kind === 'webauthn')
  return page(
    'How you show that it is you',
    `${noteOf(note)}
<p>Besides your password, some work asks for more. Have two ways, so that losing one does not lock you out.</p>
<h2>Authenticator app</h2>
${app === undefined ? ABSENT_APP : `<p>Set up ${told(app)}.</p>\n${button('/security/remove', 'Remove', 'authenticator app', app.handle)}`}
<h2>Recovery codes</h2>
${recovery === undefined ? '<p>You get them with your first other way.</p>' : codesLeft(recovery)}
<h2>Passkeys</h2>
<ul>
${keys.map(passkeyRow).join('\n')}
</ul>
<div id="passkey-codes" hidden><p role="status" tabindex="-1">These recovery codes each work once, when you have nothing else. They are not shown again: keep them where you will find them.</p>
<ol></ol><p><a href="/security">I have kept them</a></p></div>
${passkeys ? ADD_PASSKEY : '<p>Passkeys need a host name; this server is known by its address alone.</p>'}
<p><a href="/session">Back</a></p>`,
    passkeys ? PASSKEY_SCRIPTS : [],
  )
}

/** What somebody puts into their app, as a picture and as text, and the first code to prove that they did. */
export function totpPage({ uri, secret }: { uri: string; secret: string }): string {
  return page(
    'Set up an authenticator app',
    `<p>Scan this with your authenticator app, or open <a href="${asText(uri)}">this link</a> on the device that has it.</p>
<div class="picture" role="img" aria-label="QR code; the key below says the same">${encodeQR(uri, 'svg', { border: 4 })}</div>
<p>Or type this key: <code>${asText(secret.replace(/(.{4})(?=.)/g, '$1 '))}</code></p>
${confirmTotp()}`,
  )
}

/** For who gave a wrong code: the key is in their app, and is not shown again. */
export function totpAgainPage(note: string): string {
  return page('Set up an authenticator app', `${noteOf(note)}\n${confirmTotp(note)}`)
}

/** Shown this once. */
export function recoveryCodesPage(codes: readonly string[]): string {
  return page(
    'Your recovery codes',
    `<p role="status">Each of these works once, when you have nothing else. They are not shown again: keep them where you will find them.</p>
<ol>
${codes.map((code) => `<li><code>${asText(code)}</code></li>`).join('\n')}
</ol>
<p><a href="/security">I have kept them</a></p>`,
  )
}

export function codeField(label: string, note: string | undefined): string {
  return `<label for="code">${asText(label)}</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required autofocus maxlength="32"${describedBy(note)}>`
}

/** A button that shows a passkey; there only where a script can do that. @param onward page of ours to go on to. */
export function passkeyButton(onward: string | null): string {
  return `${instead('use')}
<form id="passkey" data-continue="${asText(onward ?? '')}" hidden>
<button type="submit">Use a passkey</button>
${PASSKEY_STATUS}
</form>`
}

const PASSKEY_STATUS = '<p class="status" role="status"></p>'

const ABSENT_APP = `<p>None yet.</p>
<form method="post" action="/security/totp"><button type="submit">Set up an authenticator app</button></form>`

const ADD_PASSKEY = `${instead('add')}
<form id="passkey-add" hidden>
<label for="passkey-name">Name of a new passkey</label>
<input id="passkey-name" name="name" required maxlength="64" autocomplete="off">
<button type="submit">Add a passkey</button>
${PASSKEY_STATUS}
</form>`

function confirmTotp(note?: string): string {
  return `<form method="post" action="/security/totp/confirm">
${codeField('Code that the app shows', note)}
<button type="submit">Confirm</button>
</form>
<p><a href="/security">Cancel</a></p>`
}

/** What is read where the form below cannot be shown. */
function instead(verb: 'add' | 'use'): string {
  return `<p class="instead">To ${verb} a passkey, let this page run script, in a browser that has passkeys.</p>`
}

function codesLeft(recovery: Factor): string {
  const left = recovery.codes?.length ?? 0
  return `<p>${left === 1 ? 'One is' : `${left} are`} left.</p>
<form method="post" action="/security/recovery-codes"><button type="submit">Make new ones</button></form>`
}

function passkeyRow(passkey: Factor): string {
  const { handle, name } = passkey
  const field = `name-${handle}`
  return `<li><p><strong>${asText(name)}</strong>, added ${told(passkey)}</p>
<form method="post" action="/security/rename"><input type="hidden" name="handle" value="${asText(handle)}">
<label for="${asText(field)}">New name of ${asText(name)}</label>
<input id="${asText(field)}" name="name" required maxlength="64" autocomplete="off">
<button type="submit" aria-label="${asText(`Rename: ${name}`)}">Rename</button></form>
${button('/security/remove', 'Remove', name, handle)}</li>`
}

function told({ createdAt, lastUsedAt }: Factor): string {
  return `${time(createdAt)}, ${lastUsedAt === null ? 'not used yet' : `last used ${time(lastUsedAt)}`}`
}
