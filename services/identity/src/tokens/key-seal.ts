/** Private halves as the store keeps them: sealed, bound to id and algorithm. */
import type { Random } from '@countersign/kernel'
import type { TokenKey } from '@countersign/session-store'
import { SIGNING_ALGORITHMS, type SigningAlgorithm, type TokenKeyPair, tokenKeyOf } from '@countersign/tokens'
import { Sealing } from './sealing.ts'

const PURPOSE = 'countersign.token-keys.v1'

export class KeySeal {
  readonly #sealing: Sealing

  /** @param secrets 32 bytes each; the first seals, all open. */
  constructor(options: { readonly secrets: readonly Buffer[]; readonly random: Random }) {
    this.#sealing = new Sealing({ ...options, purpose: PURPOSE })
  }

  seal({ kid, alg, privateJwk }: TokenKeyPair): Buffer {
    return this.#sealing.seal(Buffer.from(JSON.stringify(privateJwk)), nameOf(kid, alg))
  }

  /** @returns the key pair, null when it was not sealed by us for this id and algorithm. */
  async open({
    kid,
    alg,
    sealedPrivate,
  }: Pick<TokenKey, 'kid' | 'alg' | 'sealedPrivate'>): Promise<TokenKeyPair | null> {
    if (!isSigning(alg)) return null
    const opened = this.#sealing.open(sealedPrivate, nameOf(kid, alg))
    return opened && tokenKeyOf(alg, JSON.parse(opened.plain.toString()))
  }
}

function nameOf(kid: string, alg: string): string {
  return `${alg}\0${kid}`
}

function isSigning(alg: string): alg is SigningAlgorithm {
  return (SIGNING_ALGORITHMS as readonly string[]).includes(alg)
}
