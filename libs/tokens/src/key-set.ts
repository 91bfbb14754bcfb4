/** A set of public keys, as an issuer publishes it. Keys are chosen by id, type and algorithm together. */
import { type CryptoKey, importJWK, type JWK } from 'jose'
import { type Algorithm, fits } from './algorithms.ts'
import type { TokenHeader } from './header.ts'

/** Where verification keys come from. */
export interface KeySource {
  /** @returns the one key that fits, `unknown` when none or several do, `unavailable` when the set cannot be had. */
  find(header: TokenHeader): Promise<CryptoKey | 'unknown' | 'unavailable'>
}

const MAX_KEYS = 100
const MIN_RSA_BITS = 2048
const PRIVATE = ['d', 'p', 'q', 'k'] as const

export class KeySet {
  readonly #keys: readonly Readonly<Record<string, unknown>>[]
  readonly #imported = new Map<object, Map<Algorithm, Promise<CryptoKey | undefined>>>()

  private constructor(keys: readonly Readonly<Record<string, unknown>>[]) {
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

  /** @returns the one key of this set that fits, or undefined. */
  async find({ alg, kid }: TokenHeader): Promise<CryptoKey | undefined> {
    const candidates = this.#keys.filter((k) => (kid === undefined || k.kid === kid) && fits(k, alg))
    const [only] = candidates
    return only && candidates.length === 1 ? this.#import(only, alg) : undefined
  }

  #import(jwk: Readonly<Record<string, unknown>>, alg: Algorithm): Promise<CryptoKey | undefined> {
    const byAlgorithm = this.#imported.get(jwk) ?? new Map<Algorithm, Promise<CryptoKey | undefined>>()
    this.#imported.set(jwk, byAlgorithm)
    const key = byAlgorithm.get(alg) ?? load(jwk, alg)
    byAlgorithm.set(alg, key)
    return key
  }
}

async function load(jwk: Readonly<Record<string, unknown>>, alg: Algorithm): Promise<CryptoKey | undefined> {
  try {
    const key = await importJWK(jwk as JWK, alg)
    if (key instanceof Uint8Array) return undefined
    const { modulusLength } = key.algorithm as { modulusLength?: number }
    return modulusLength !== undefined && modulusLength < MIN_RSA_BITS ? undefined : key
  } catch {
    return undefined
  }
}
