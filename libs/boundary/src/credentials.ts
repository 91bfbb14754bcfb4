/** Finds out what a credential stands for: remembered, verified here, or asked about. Whoever calls judges it. */
import type { Clock } from '@countersign/kernel'
import type { Authority, Presented } from './authority.ts'
import { type Denial, denied } from './denial.ts'
import type { Credential, CredentialForm } from './http.ts'
import { settled } from './identities.ts'
import type { TokenResolver } from './introspection.ts'
import type { Issuers } from './issuers.ts'
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
}

type Found = { readonly ok: true; readonly presented: Presented } | Denial
/** `until`: may be remembered so long, epoch milliseconds; absent: not at all. */
type Answer = { readonly ok: true; readonly presented: Presented; readonly until?: number } | Denial
type Asked = (value: string) => ReturnType<TokenResolver['resolve']> | undefined

export class Credentials {
  readonly #authority: Authority
  readonly #clock: Clock
  readonly #remembered: Remembered | null
  readonly #sources: Readonly<Record<CredentialForm, ((value: string) => Promise<Answer>) | undefined>>
  readonly #asking = new Map<string, Promise<Found>>()

  constructor({ authority, clock, issuers, sessions, introspection, txnTokens, ...options }: CredentialsOptions) {
    const { remember, introspectJwts } = options
    this.#authority = authority
    this.#clock = clock
    this.#remembered = remember === false ? null : new Remembered(clock, remember ?? {})
    const asking = (ask: Asked | undefined) => ask && ((value: string) => this.#ask(ask, value, remember !== undefined))
    const introspect = asking(introspection && ((value) => introspection.resolve(value)))
    this.#sources = {
      cookie: asking(sessions && ((value) => sessions.resolve(value))),
      api_session: asking(sessions?.resolveBearer && ((value) => sessions.resolveBearer?.(value))),
      opaque: introspect,
      jwt: introspectJwts ? introspect : (value) => verified(issuers, value),
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
    const memory = this.#remembered
    // One answer of theirs is not worth keeping: a transaction's token is shown once or twice.
    if (memory === null || kind === 'txn_token') return found(await source(value))
    const key = memory.keyOf(kind, value)
    const recalled = this.#recall(memory, key)
    if (recalled) return recalled
    const pending = this.#asking.get(key)
    if (pending) {
      // It was asked before this request came, so its answer counts here only as a remembered one does.
      await pending
      const answered = this.#recall(memory, key)
      if (answered) return answered
    }
    const asking = source(value).then((answer) => {
      const now = found(answer)
      if (answer.ok && answer.until !== undefined && now.ok) memory.keep(key, now.presented, answer.until)
      return now
    })
    this.#asking.set(key, asking)
    try {
      return await asking
    } finally {
      if (this.#asking.get(key) === asking) this.#asking.delete(key)
    }
  }

  #recall(memory: Remembered, key: string): Found | undefined {
    const kept = memory.find(key)
    if (kept === undefined || !this.#authority.vouchesFor(kept)) return undefined
    const presented = { ...kept, remembered: true }
    const judged = this.#authority.judge(presented)
    // Whatever it has lost since, its source may know better: it is asked again, as is one that is refused.
    if (judged.ok && judged.scopes.length === kept.identity.scopes.length) return { ok: true, presented }
    memory.forget(key)
    return undefined
  }

  async #ask(ask: Asked, value: string, keep: boolean): Promise<Answer> {
    // Before it is asked about: what ends after that was not seen by whoever answers.
    const at = this.#clock.now()
    const answer = await ask(value)
    if (!answer) return denied('credential_invalid')
    if (!answer.ok) return answer
    const { identity } = answer
    const presented = { identity, at }
    return { ok: true, presented, ...(keep && { until: identity.expiresAt ?? Number.POSITIVE_INFINITY }) }
  }
}

async function verified(verifier: Issuers | TxnTokenReader, token: string): Promise<Answer> {
  const answer = await verifier.accept(token)
  if (!answer.ok) return answer
  const { ok, ...rest } = answer
  if (!('until' in rest)) return { ok, presented: rest }
  const { until, ...presented } = rest as Presented & { until: number }
  return { ok, presented, until }
}

function found(answer: Answer): Found {
  return answer.ok ? { ok: true, presented: settled(answer.presented) } : answer
}
