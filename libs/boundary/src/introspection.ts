/**
 * Opaque access tokens: identity is asked what one is worth now (RFC 7662). No answer is kept here. The position an answer
 * carries is what lets a consumer know that it has seen everything identity had when it said yes.
 */
import { type Members, object } from '@countersign/envelope/claims'
import type { Secret } from '@countersign/kernel'
import { type AskOptions, ask } from './asking.ts'
import { type Denial, denied } from './denial.ts'
import type { ResolvedIdentity } from './identity.ts'
import { ownIdentity } from './own-claims.ts'

/** Asks the issuer about an opaque token. Never throws. */
export interface TokenResolver {
  resolve(token: string): Promise<{ readonly ok: true; readonly identity: ResolvedIdentity } | Denial>
}

export interface IntrospectionOptions extends AskOptions {
  /** Address of the introspection endpoint. */
  readonly endpoint: string
  /** Exact `iss` of answers. */
  readonly issuer: string
  /** Must be among `aud` of answers: a token for others is not one for us, whoever vouches for it. */
  readonly audience: string
  /** Who asks; sent as HTTP Basic (RFC 6749 §2.3.1). */
  readonly clientId: string
  readonly clientSecret: Secret
}

/** Asks identity's `POST /introspect`, or any server that answers with identity's claims. */
export function httpIntrospection(options: IntrospectionOptions): TokenResolver {
  const { clientId, clientSecret } = options
  const endpoint = new URL(options.endpoint)
  const name = `${formEncoded(clientId)}:${formEncoded(clientSecret.reveal())}`
  const headers = {
    authorization: `Basic ${Buffer.from(name).toString('base64')}`,
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
  }
  return {
    async resolve(token) {
      const body = new URLSearchParams({ token, token_type_hint: 'access_token' }).toString()
      const answer = await ask(endpoint, { headers, body }, options)
      if (!answer.ok) return answer
      if (answer.status !== 200) return denied('sessions_unavailable', `status ${answer.status}`)
      const members = membersOf(answer.body)
      return members ? judge(members, options) : denied('sessions_unavailable', 'answer unreadable')
    },
  }
}

function judge(
  answer: Members,
  { issuer, audience, clock }: IntrospectionOptions,
): { ok: true; identity: ResolvedIdentity } | Denial {
  const { active, iss, aud, token_type: type } = answer
  if (active === false) return denied('credential_invalid', 'inactive')
  // Anything but `true` is no answer: a text "true", or a page that happens to be JSON.
  if (active !== true) return denied('sessions_unavailable', 'answer unreadable')
  if (iss !== issuer) return denied('credential_invalid', 'issuer_mismatch')
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!audiences.includes(audience)) return denied('credential_invalid', 'audience_mismatch')
  // Servers answer for refresh tokens too, and those have no type (RFC 7662 §2.2, RFC 6749 §7.1).
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') return denied('credential_invalid', 'token_type')
  const identity = ownIdentity(answer, 'opaque_token')
  if (identity === undefined) return denied('sessions_unavailable', 'answer unreadable')
  if (clock.now() >= (identity.expiresAt ?? 0)) return denied('credential_expired')
  return { ok: true, identity }
}

function membersOf(json: string): Members | undefined {
  try {
    return object(JSON.parse(json))
  } catch {
    return undefined
  }
}

function formEncoded(text: string): string {
  return new URLSearchParams({ v: text }).toString().slice(2)
}
