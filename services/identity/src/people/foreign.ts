/** People, sessions, clients and tokens of other identity providers, as targets. Nothing of them is stored here. */
import type { Secret } from '@countersign/kernel'
import { type ForeignName, foreignTarget, type Target } from '@countersign/revocation'

export interface ForeignIdsOptions {
  /** Exactly as in their tokens. A name of any other issuer would be a revocation that hits nobody. */
  readonly issuers: readonly string[]
  /** What boundaries hash their ids with: the key in use, then the one it is replacing or being replaced by. */
  readonly keys: readonly Secret[]
}

export class ForeignIds {
  readonly #issuers: ReadonlySet<string>
  readonly #keys: readonly Secret[]

  constructor({ issuers, keys }: ForeignIdsOptions) {
    this.#issuers = new Set(issuers)
    this.#keys = keys
  }

  /**
   * One target for each key, so that boundaries that have changed keys and those that have not are both hit.
   * @returns null for an issuer that is not configured.
   */
  targetsOf(name: ForeignName): readonly [Target, ...Target[]] | null {
    const [first, ...others] = this.#issuers.has(name.issuer) ? this.#keys : []
    if (first === undefined) return null
    return [foreignTarget(first, name), ...others.map((key) => foreignTarget(key, name))]
  }
}
