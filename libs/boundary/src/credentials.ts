/** Finds out what a credential stands for: remembered, verified here, or asked about. Whoever calls judges it. */
import type { Clock } from '@countersign/kernel'
import type { Metrics } from '@countersign/telemetry'
import type { Authority } from './authority.ts'
import { type Denial, denied } from './denial.ts'
import type { Credential, CredentialForm } from './http.ts'
import { fresh, settled } from './identities.ts'
import type { TokenResolver } from './introspection.ts'
import type { Issuers } from './issuers.ts'
import type { Presented } from './presented.ts'
import { Remembered, type RememberOptions } from './remembered.ts'
import type { SessionResolver } from './sessions.ts'
import type { TxnTokenReader } from './txn-tokens.ts'

export interface CredentialsOptions {
  readonly authority: Authority
  readonly clock: Clock
  readonly issuers: Issuers
  readonly sessions: SessionResolver | undefined
  readonly introspection: TokenResolver | undefined
  readonly introspectJwts: boolean
  readonly txnTokens: TxnTokenReader | null
  readonly remember: RememberOptions | false | undefined
  readonly metrics: Metrics | undefined
}

type Found = { readonly ok: true; readonly presented: Presented } | Denial
/** `until`: not good any more from then on, epoch milliseconds. */
type Answer = { readonly ok: true; readonly presented: Presented; readonly until: number } | Denial
type Asked = (value: string) => ReturnType<TokenResolver['resolve']> | undefined

export class Credentials {
  readonly #authority: Authority
  readonly #clock: Clock
  readonly #metrics: Metrics | undefined
  readonly #remembered: Remembered
  readonly #keeps: (kind: CredentialForm) => boolean
  readonly #sources: Readonly<Record<CredentialForm, ((value: string) => Promise<Answer>) | undefined>>
  readonly #asking = new Map<string, Promise<Found>>()

  constructor({ authority, clock, issuers, sessions, introspection, txnTokens, ...options }: CredentialsOptions) {
    const { remember, introspectJwts } = options
    this.#authority = authority
    this.#clock = clock
    this.#metrics = options.metrics
    this.#remembered = new Remembered(clock, remember || {})
    // A transaction's token is shown once or twice: not worth keeping. What was verified here is, unless told otherwise.
    this.#keeps = (kind) =>
      remember !== false && kind !== 'txn_token' && (remember !== undefined || (kind === 'jwt' && !introspectJwts))
    const asking = (kind: CredentialForm, ask: Asked | undefined) =>
      ask && ((value: string) => this.#ask(kind, ask, value))
    const introspect: Asked | undefined = introspection && ((value) => introspection.resolve(value))
    this.#sources = {
      cookie: asking('cookie', sessions && ((value) => sessions.resolve(value))),
      api_session: asking('api_session', sessions?.resolveBearer && ((value) => sessions.resolveBearer?.(value))),
      opaque: asking('opaque', introspect),
      jwt: introspectJwts ? asking('jwt', introspect) : (value) => verified(issuers, value),
      txn_token: txnTokens ? (value) => verified(txnTokens, value) : undefined,
      // Only its issuer takes one; here it is a secret that went astray.
      refresh: undefined,
    }
  }

  async present(credential: Credential): Promise<Found> {
    if (!credential.ok) return credential
    const { kind, value } = credential
    const source = this.#sources[kind]
    if (!source) return denied('credential_invalid', `no_${kind}`)
    if (!this.#keeps(kind)) return found(await source(value))
    const key = this.#remembered.keyOf(kind, value)
    const before = this.#remembered.find(key)
    const kept = this.#recall(key)
    if (kept) return kept
    const answer = await this.#answer(key, () => source(value))
    // Whose it was is known here, though its source only says that it is good no more.
    return answer.ok || !before ? answer : { of: before.identity, ...answer }
  }

  async #answer(key: string, source: () => Promise<Answer>): Promise<Found> {
    const pending = this.#asking.get(key)
    if (pending) {
      const answer = await pending
      // It was asked before this request came, so it counts here only as a remembered answer does.
      const now = this.#recall(key)
      if (now) return now
      if (!answer.ok && answer.code === 'sessions_unavailable') return answer
    }
    const asking = source().then((answer) => this.#kept(key, answer))
    this.#asking.set(key, asking)
    try {
      return await asking
    } finally {
      if (this.#asking.get(key) === asking) this.#asking.delete(key)
    }
  }

  #kept(key: string, answer: Answer): Found {
    const now = found(answer)
    if (answer.ok && now.ok) this.#remembered.keep(key, now.presented, answer.until)
    return now
  }

  #recall(key: string): Found | undefined {
    const kept = this.#remembered.find(key)
    if (kept === undefined || !this.#authority.hasReached(kept)) return undefined
    const presented = { ...kept, remembered: true }
    const judged = this.#authority.judge(presented)
    // Whatever it has lost since, its source may know better: it is asked again, as is one that is refused.
    if (judged.ok && judged.scopes.length === kept.identity.scopes.length) return { ok: true, presented }
    this.#remembered.forget(key)
    return undefined
  }

  async #ask(credential: CredentialForm, ask: Asked, value: string): Promise<Answer> {
    // Before it is asked about: what ends after that was not seen by whoever answers.
    const at = this.#clock.now()
    const began = this.#clock.monotonic()
    const answer = await ask(value)
    const tookMs = this.#clock.monotonic() - began
    this.#metrics?.observe('countersign_boundary_lookup_seconds', { credential }, tookMs / 1000)
    if (!answer) return denied('credential_invalid')
    if (!answer.ok) return answer
    const { identity } = answer
    return { ok: true, presented: { identity, at }, until: identity.expiresAt ?? Number.POSITIVE_INFINITY }
  }
}

async function verified(verifier: Pick<Issuers, 'accept'>, token: string): Promise<Answer> {
  const answer = await verifier.accept(token)
  if (!answer.ok) return answer
  const { ok, until, ...presented } = answer
  return { ok, presented: fresh(presented), until }
}

function found(answer: Answer): Found {
  return answer.ok ? { ok: true, presented: settled(answer.presented) } : answer
}
