/**
 * A Txn-Token as what a decision needs: the same as an envelope, but for the event it is bound to. Those that boundaries
 * seal open by the trust bundle of this process's own view; those that identity issues by its keys.
 */
import {
  type KeyRing,
  type OpenedEnvelope,
  openTxnToken,
  TXN_TOKEN_TOPIC,
  TXN_TOKEN_TYPE,
  type TxnTokenFault,
} from '@countersign/envelope'
import { type Members, member, orNull, readTransactionClaims, text } from '@countersign/envelope/claims'
import type { Clock } from '@countersign/kernel'
import { SIGNER_VERSION, signerTarget, targetKey } from '@countersign/revocation'
import type { TargetVersion } from '@countersign/schemas'
import { createVerifier, type TokenFault, type Verifier, type VerifierOptions } from '@countersign/tokens'
import { miswired } from '../errors.ts'

/** Identity, where it issues Txn-Tokens too: `typ` is `txntoken+jwt`, the trust domain its audience. */
export type TxnTokenIssuer = Omit<VerifierOptions, 'clock'>

export interface TxnTokenRules {
  /** `aud` of every Txn-Token. */
  readonly trustDomain: string
  /** Those whose keys are not in the trust bundle. @defaultValue none */
  readonly issuers?: readonly TxnTokenIssuer[]
}

/** Why a token is not taken. */
export type TokenReason =
  | TxnTokenFault
  | TokenFault
  | 'txn_token_missing'
  | 'txn_token_repeated'
  | 'txn_token_claims_malformed'

/** What a Txn-Token opens to. */
export interface OpenedToken {
  readonly envelope: OpenedEnvelope
  /** Handle of the token itself. */
  readonly token: string | null
  readonly correlationId: string | null
  /** What is asked for (`tctx`); empty when it does not say. */
  readonly details: Members
}

export type TokenResult =
  | { readonly ok: true; readonly opened: OpenedToken }
  | { readonly ok: false; readonly code: TokenReason }

export class TxnTokens {
  readonly #trustDomain: string
  readonly #epsilonMs: number
  readonly #clock: Clock
  readonly #verifiers: ReadonlyMap<string, Verifier>

  /** @throws {ENFORCER_TOKENS_INVALID} for no trust domain, or an issuer of something else. */
  constructor({ trustDomain, issuers = [] }: TxnTokenRules, clock: Clock, epsilonMs: number) {
    const fits = (one: TxnTokenIssuer): boolean => one.typ === TXN_TOKEN_TYPE && one.audience === trustDomain
    if (!trustDomain || !issuers.every(fits)) {
      throw miswired('ENFORCER_TOKENS_INVALID', `a trust domain, and issuers of ${TXN_TOKEN_TYPE} for it, are needed`)
    }
    this.#trustDomain = trustDomain
    this.#epsilonMs = epsilonMs
    this.#clock = clock
    this.#verifiers = new Map(issuers.map((one) => [one.issuer, createVerifier({ ...one, clock })]))
  }

  /** Opens one by the keys of one log. Nothing is kept: a key that has ended since opens nothing from then on. */
  openBy(ring: KeyRing, token: string): TokenResult {
    const now = this.#clock.now()
    const found = openTxnToken(token, { ring, now, epsilonMs: this.#epsilonMs, trustDomain: this.#trustDomain })
    if (!found.ok) return found
    const opened = this.#read(found.claims, found.keyId, [found.key.target])
    // Whoever takes it may be behind the view it was judged by.
    return opened?.positioned ? { ok: true, opened } : MALFORMED
  }

  /** Opens one by the keys of its issuer. */
  async openByIssuer(token: string): Promise<TokenResult> {
    const issuer = unverifiedIssuer(token)
    const result = await this.#verifiers.get(issuer)?.verify(token)
    if (result === undefined) return { ok: false, code: 'txn_token_key_unknown' }
    if (!result.ok) return result
    // Issuers name their key in each. Whoever took one could leave the name out, and with it what ends its tokens.
    if (result.keyId === null) return { ok: false, code: 'token_key_unknown' }
    const opened = this.#read(result.claims.all, issuer, [signedBy(result.keyId)])
    return opened ? { ok: true, opened } : MALFORMED
  }

  /** @param signers on which it depends beside what its claims name. */
  #read(claims: Members, keyId: string, signers: readonly TargetVersion[] = []): ReturnType<typeof read> {
    return read(claims, keyId, this.#trustDomain, signers)
  }
}

function signedBy(keyId: string): TargetVersion {
  const signer = signerTarget(keyId)
  return { kind: signer.kind, key: targetKey(signer), version: SIGNER_VERSION }
}

const MALFORMED = { ok: false, code: 'txn_token_claims_malformed' } as const

/** Before the first record of any log: reached by every view. */
const NOWHERE = { log_id: '', offset: -1 }
const NO_EVENT = { id: Buffer.alloc(16), key: null, payload_sha256: null }

function read(
  all: Members,
  keyId: string,
  aud: string,
  signers: readonly TargetVersion[],
): (OpenedToken & { readonly positioned: boolean }) | null {
  try {
    const transaction = readTransactionClaims(all)
    const { identity: who, txn, workload, issuedAt, requestId, correlationId, details, context } = transaction
    const scope = [...new Set(who.scopes)].sort()
    const targets = who.targets.map((target) => ({
      kind: target.kind,
      key: targetKey(target),
      version: target.version,
    }))
    const said = (name: string): string | null => orNull(text, member(context, name))
    const claims: OpenedEnvelope['claims'] = {
      txn,
      sub: who.sub,
      aud,
      scope,
      req_wl: workload,
      // A whole second: it was sealed no later than at its end, and counts as later where that is stricter.
      iat: Math.min(issuedAt + 999, who.expiresAt),
      exp: who.expiresAt,
      tctx: {
        tenant: who.tenant,
        principal: who.principal,
        act: who.act,
        credential: who.credential,
        session: who.session,
        client: who.client,
        device: who.device,
        targets,
        scope_version: who.scopeVersion,
        position: who.position ?? NOWHERE,
      },
      rctx: {
        request_id: requestId,
        auth_time: who.authTime,
        acr: who.acr,
        amr: who.amr,
        ip: said('req_ip'),
        user_agent: said('user_agent'),
        posture: said('posture'),
        risk: said('risk'),
      },
      event: { ...NO_EVENT, topic: TXN_TOKEN_TOPIC },
      depth: 0,
      parent: null,
      relies_on: [],
      succession: null,
    }
    const envelope = { claims, chain: [claims], keyId, targets: [...targets, ...signers], scopes: scope, relied: [] }
    const token = who.targets.filter(({ kind }) => kind === 'token').at(-1)?.id ?? null
    return { envelope, token, correlationId, details, positioned: who.position !== null }
  } catch {
    return null
  }
}

/** Which issuer to ask is read from the unverified token; that issuer's verifier then pins it. */
function unverifiedIssuer(token: string): string {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.slice(0, 8192).split('.')[1] ?? '', 'base64url').toString())
    return typeof payload === 'object' && payload !== null && 'iss' in payload ? String(payload.iss) : ''
  } catch {
    return ''
  }
}
