/** The boundaries of the gateway: one for each audience, and for each way of judging what is shown for it. */
import {
  type Boundary,
  type BoundaryOptions,
  createBoundary,
  httpIntrospection,
  type IntrospectionOptions,
  type IssuerConfig,
} from '@countersign/boundary'
import type { ProtectedRoute } from './routes/route.ts'

/** An issuer, for whatever audience a route has. */
export type AnyAudience<T> = T extends { readonly audience: string } ? Omit<T, 'audience'> : never

export interface BoundariesOptions {
  /** What all boundaries have alike. */
  readonly base: Omit<BoundaryOptions, 'issuers' | 'introspection' | 'remember' | 'txnTokens' | 'introspectJwts'>
  readonly issuers: readonly AnyAudience<IssuerConfig>[]
  /** Asked about opaque tokens, and about JWTs where a route says so; null for nobody. */
  readonly introspection: Omit<IntrospectionOptions, 'audience'> | null
  readonly trustDomain: string
  /** Longest time an answer about a credential counts, milliseconds; 0 for never. */
  readonly rememberMs: number
}

export class Boundaries {
  readonly #options: BoundariesOptions
  readonly #byRule = new Map<string, Boundary>()

  constructor(options: BoundariesOptions) {
    this.#options = options
  }

  /** The one that judges what is shown on a route. @throws what `createBoundary` does. */
  of({ audience, introspect, credentials }: ProtectedRoute): Boundary {
    return this.#boundary(audience, introspect, credentials?.includes('txn_token') ?? false)
  }

  /** The one that judges tokens handed on, as the upstream will. */
  upstream({ upstreamAudience }: ProtectedRoute): Boundary {
    return this.#boundary(upstreamAudience, false, false)
  }

  /** Why none of them could seal now; the same for all. */
  notReady(): readonly string[] {
    for (const boundary of this.#byRule.values()) return boundary.notReady()
    return []
  }

  #boundary(audience: string, introspect: boolean, acceptTxnTokens: boolean): Boundary {
    const rule = JSON.stringify([audience, introspect, acceptTxnTokens])
    const known = this.#byRule.get(rule)
    if (known) return known
    const { base, issuers, introspection, trustDomain, rememberMs } = this.#options
    const made = createBoundary({
      ...base,
      issuers: issuers.map((issuer): IssuerConfig => ({ ...issuer, audience })),
      ...(introspection && { introspection: httpIntrospection({ ...introspection, audience }) }),
      introspectJwts: introspect,
      remember: introspect || rememberMs === 0 ? false : { maxAgeMs: rememberMs },
      txnTokens: { trustDomain, accept: acceptTxnTokens },
    })
    this.#byRule.set(rule, made)
    return made
  }
}
