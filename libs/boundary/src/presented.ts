/** A credential found good, before it is judged. */
import type { TargetVersion } from '@countersign/schemas'
import type { JsonObject, ResolvedIdentity } from './identity.ts'

/** A credential and when it was made or last confirmed; epoch milliseconds. */
export interface Presented {
  readonly identity: ResolvedIdentity
  /** When it was made, for self-contained ones; when identity answered, for resolved ones. */
  readonly at: number
  /** Nobody was asked: found good earlier. */
  readonly remembered?: boolean
  /** Set for transaction tokens: what they carry on. */
  readonly transaction?: Transaction
  /** Of the identity, by key; worked out when absent. */
  readonly targets?: readonly TargetVersion[]
}

/** What a Txn-Token says of the transaction it carries on. */
export interface Transaction {
  readonly txn: string
  readonly requestId: string | null
  readonly correlationId: string | null
  readonly ip: string | null
  readonly userAgent: string | null
  readonly posture: string | null
  readonly risk: string | null
  readonly details: JsonObject
  readonly context: JsonObject
  /** When the token ends, epoch milliseconds; none made for its identity lives longer. */
  readonly until: number
}

/** Whether identity itself was asked; a transaction token says what somebody else was answered. */
export function isResolved({ identity, transaction }: Presented): boolean {
  const { credential } = identity
  return transaction === undefined && (credential === 'session_cookie' || credential === 'opaque_token')
}
