/** Who a request is for, once its credential has been consumed. Holds handles and ids, never a credential. */
import type { IdentityClaims, NamedTarget } from '@countersign/envelope/claims'
import type { LogPosition } from '@countersign/schemas'
import type { TraceContext } from '@countersign/telemetry'

/** A target and the version the credential was made under. */
export type IdentityTarget = NamedTarget

/** What a credential stands for. */
export interface ResolvedIdentity extends Omit<IdentityClaims, 'position' | 'expiresAt'> {
  /** Position identity's answer carried; null for credentials identity was not asked about. */
  readonly position: LogPosition | null
  /** Epoch milliseconds; null when nothing but the envelope's life ends it. With a transaction token: of what it began with. */
  readonly expiresAt: number | null
}

/** What handlers see as `request.identity`. Frozen. Only the boundary that made it seals for it. */
export interface BoundaryIdentity extends ResolvedIdentity {
  /** Transaction id, shared by all work of this request; also a target. */
  readonly txn: string
  readonly requestId: string
  readonly correlationId: string
  /** As the context policy allows. */
  readonly ip: string | null
  readonly userAgent: string | null
  /** Of the device, and of the risk, as assessed where the request arrived; null when nobody said. */
  readonly posture: string | null
  readonly risk: string | null
  /** What the transaction token said is asked for (`tctx`); empty without one. */
  readonly details: JsonObject
  readonly trace: TraceContext
}

export type JsonObject = Readonly<Record<string, unknown>>

/** Sorted, distinct. */
export function normalScopes(scopes: readonly string[]): readonly string[] {
  return Object.freeze([...new Set(scopes)].sort())
}

/** Frozen through and through, so that no handler changes what will be sealed. */
export function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) deepFreeze(part)
  return Object.freeze(value)
}
