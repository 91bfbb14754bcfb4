/** A set of public keys, as an issuer publishes it. Keys are chosen by id, type and algorithm together. */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { fits, strongEnough } from './algorithms.ts'
import type { TokenHeader } from './header.ts'

/** Where verification keys come from. */
export interface KeySource {
  /** @returns the one key that fits, `unknown` when none or several do, `unavailable` when the set cannot be had. */
  find(header: TokenHeader): Promise<KeyObject | 'unknown' | 'unavailable'>
}

/** A JSON Web Key Set (RFC 7517 §5). */
export interface JwkSet {
  readonly keys: readonly object[]
}

const MAX_KEYS = 100
const PRIVATE = ['d', 'p', 'q', 'k'] as const

type Jwk = Readonly<Record<string, unknown>>

export class KeySet {
  readonly #keys: readonly Jwk[]
  readonly #imported = new Map<Jwk, KeyObject | undefined>()

  private constructor(keys: readonly Jwk[]) {
    this.#keys = keys
  }

  /** @returns the set, or undefined for anything that is no JSON Web Key Set or has more than 100 keys. Private and secret keys are left out. */
  static from(value: unknown): KeySet | undefined {
    const keys = typeof value === 'object' && value !== null && 'keys' in value ? value.keys : undefined
    if (!Array.isArray(keys) || keys.length > MAX_KEYS) return undefined
    const usable = keys.filter(
      (k) => typeof k === 'object' && k !== null && !PRIVATE.some((member) => Object.hasOwn(k, member)),
    )
    return new KeySet(usable)
  }

  /** @returns the one key of this set that fits, or undefined. Cost: a few comparisons once the key was used. */
  find({ alg, kid }: TokenHeader): KeyObject | undefined {
    const candidates = this.#keys.filter((k) => (kid === undefined || k.kid === kid) && fits(k, alg))
    const [only] = candidates
    return only && candidates.length === 1 ? this.#import(only) : undefined
  }

  #import(jwk: Jwk): KeyObject | undefined {
    if (!this.#imported.has(jwk)) this.#imported.set(jwk, load(jwk))
    return this.#imported.get(jwk)
  }
}

function load(jwk: Jwk): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
    return strongEnough(key) ? key : undefined
  } catch {
    return undefined
  }
}
