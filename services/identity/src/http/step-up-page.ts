/** The page that asks for a factor. Codes work without script; a passkey needs one to be asked at all. */
import type { Factor } from '@countersign/session-store'
import { asText, noteOf, onwardField, page } from './pages.ts'
import { codeField, PASSKEY_SCRIPTS, passkeyButton } from './security-pages.ts'

export interface StepUpFields {
  readonly email: string
  /** Those that will do. */
  readonly factors: readonly Factor[]
  readonly onward: string | null
  readonly note?: string
}

export function stepUpPage({ email, factors, onward, note }: StepUpFields): string {
  const byCode = factors.some(({ kind }) => kind !== 'webauthn')
  const byKey = hasKey(factors)
  return page(
    'Show one of your factors too',
    `${noteOf(note)}
<p>You are logged in as ${asText(email)}. What comes next asks for more than your password.</p>
${byKey ? passkeyButton(onward) : ''}
${byCode ? codeForm(onward, note) : ''}
<p><a href="/session">Cancel</a></p>`,
    byKey ? PASSKEY_SCRIPTS : [],
  )
}

/** True when the page needs its script. */
export function hasKey(factors: readonly Factor[]): boolean {
  return factors.some(({ kind }) => kind === 'webauthn')
}

/** For who has nothing to show. */
export function stepUpUnmetPage(): string {
  return page(
    'You have nothing to show yet',
    `<p role="alert">What comes next asks for a factor of a strength that you have not set up.</p>
<p><a href="/security">Set one up</a></p>`,
  )
}

function codeForm(onward: string | null, note: string | undefined): string {
  return `<form method="post" action="/step-up">${onwardField(onward)}
${codeField('Code of your authenticator app, or a recovery code', note)}
<button type="submit">Go on</button>
</form>`
}
