/** Time-based one-time passwords (RFC 6238): secrets made and sealed, codes judged. Keeps nothing. */
import type { Random } from '@countersign/kernel'
import { Secret, TOTP } from 'otpauth'
import { Sealing } from '../tokens/sealing.ts'

const PURPOSE = 'countersign.totp.v1'
// RFC 4226 §4 asks for 128 bits and recommends 160.
const SECRET_BYTES = 20
// What every authenticator app understands, whether it reads the address or not.
const SHAPE = { algorithm: 'SHA1', digits: 6, period: 30 } as const
const STEP_MS = 30_000
/** Steps to either side: clocks of phones are off, and typing takes time (RFC 6238 §5.2). */
const WINDOW = 1

export interface NewSecret {
  readonly sealed: Buffer
  /** As people type it, base32. */
  readonly text: string
}

export interface Judged {
  /** Time step the code is of. */
  readonly step: number
  /** The secret under the newest key; null when it is already. */
  readonly resealed: Buffer | null
}

export class TotpSecrets {
  readonly #sealing: Sealing
  readonly #random: Random

  /** @param secrets 32 bytes each; the first seals, all open. */
  constructor({ secrets, random }: { readonly secrets: readonly Buffer[]; readonly random: Random }) {
    this.#sealing = new Sealing({ secrets, random, purpose: PURPOSE })
    this.#random = random
  }

  make(sub: string): NewSecret {
    return this.taken(sub, this.#random.bytes(SECRET_BYTES))
  }

  /** A secret given from elsewhere. */
  taken(sub: string, secret: Buffer): NewSecret {
    return { sealed: this.#sealing.seal(secret, sub), text: secretOf(secret).base32 }
  }

  /**
   * Judges a code.
   * @param now epoch milliseconds.
   * @returns null unless it is of this secret, this person and this time. That it was not used before is the store's to say.
   */
  judge(sealed: Buffer, sub: string, code: string, now: number): Judged | null {
    const opened = this.#sealing.open(sealed, sub)
    if (opened === null) return null
    const totp = new TOTP({ ...SHAPE, secret: secretOf(opened.plain) })
    const delta = totp.validate({ token: code, timestamp: now, window: WINDOW })
    if (delta === null) return null
    const resealed = opened.isCurrent ? null : this.#sealing.seal(opened.plain, sub)
    return { step: Math.floor(now / STEP_MS) + delta, resealed }
  }
}

/** The address authenticator apps read (Key URI Format). */
export function keyUri(secretText: string, { issuer, email }: { issuer: string; email: string }): string {
  return new TOTP({ ...SHAPE, secret: Secret.fromBase32(secretText), issuer, label: email }).toString()
}

/** @returns the bytes of a secret as people type it; null for what is none, or too short. */
export function parseSecret(text: string): Buffer | null {
  if (!/^[A-Z2-7]{26,128}=*$/.test(text)) return null
  const { bytes } = Secret.fromBase32(text)
  return bytes.length < 16 ? null : Buffer.from(bytes)
}

/** Code of a secret at a time, for who holds it: tests and the like. */
export function codeOf(secretText: string, now: number): string {
  return new TOTP({ ...SHAPE, secret: Secret.fromBase32(secretText) }).generate({ timestamp: now })
}

function secretOf(bytes: Buffer): Secret {
  return new Secret({ buffer: new Uint8Array(bytes).buffer })
}
