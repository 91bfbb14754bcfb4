/** What a Txn-Token says: who it is for, and of the transaction it carries on. The same from both its makers. */
import type { CredentialKind, PrincipalKind } from '@countersign/schemas'
import { CREDENTIAL_KINDS } from './claims-reader.ts'
import { type IdentityClaims, readIdentityClaims, seconds } from './identity-claims.ts'
import { type Members, member, object, oneOf, orNull, text } from './members.ts'

/** Claims of a Txn-Token, in form; times epoch milliseconds, whole seconds. */
export interface TransactionClaims {
  /** `expiresAt` is the token's own end. */
  readonly identity: IdentityClaims
  readonly txn: string
  /** Workload that asked for it. */
  readonly workload: string
  readonly issuedAt: number
  /** When what the transaction began with ends; null when nothing but lives does. */
  readonly credentialEnd: number | null
  readonly requestId: string | null
  readonly correlationId: string | null
  readonly details: Members
  readonly context: Members
}

const ORIGINS: readonly PrincipalKind[] = ['user', 'service', 'webhook', 'schedule', 'system']

/** @throws {TypeError} when a claim is missing, malformed, or belies another. */
export function readTransactionClaims(all: Members): TransactionClaims {
  const claim = (name: string): unknown => member(all, name)
  const credential = orNull((value) => oneOf(CREDENTIAL_KINDS, value) as CredentialKind, claim('credential')) ?? 'jwt'
  const identity = readIdentityClaims(all, credential, ORIGINS)
  const txn = text(claim('txn'))
  // Whoever ends the transaction ends this.
  if (!identity.targets.some(({ kind, id }) => kind === 'transaction' && id === txn)) throw new TypeError()
  const end = claim('credential_exp')
  return {
    identity,
    txn,
    workload: text(claim('req_wl')),
    issuedAt: seconds(claim('iat')),
    credentialEnd: end === undefined ? identity.expiresAt : orNull(seconds, end),
    requestId: orNull(text, claim('request_id')),
    correlationId: orNull(text, claim('correlation_id')),
    details: object(claim('tctx') ?? {}),
    context: object(claim('rctx') ?? {}),
  }
}
