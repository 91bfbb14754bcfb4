/** What the ways of signing a delivery have in common. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Millis, Secret } from '@countersign/kernel'
import { BoundaryError, type Denial } from '../denial.ts'

/** A delivery that was signed by who it says. */
export interface Genuine {
  readonly ok: true
  /** Covered by the signature, unless the owner of the endpoint chose otherwise. */
  readonly id: string
  /** When it was signed, epoch milliseconds; when it came, where the sender signs no time. */
  readonly at: number
}

/** What is signed is the body as received: nothing is decoded before its signature was checked. */
export interface Signed {
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface Terms {
  readonly now: number
  readonly toleranceMs: Millis
}

/** Judges a delivery under any of the secrets it was made with. Never throws. */
export type VerifyDelivery = (delivery: Signed, terms: Terms) => Genuine | Denial

/** Made once per endpoint. @throws {BOUNDARY_OPTIONS_INVALID} for a secret that is none of its kind. */
export type Scheme = (secrets: readonly Secret[], options: SchemeOptions) => VerifyDelivery

export interface SchemeOptions {
  readonly unsignedId: 'ignored' | 'trusted'
}

/** Signatures of one delivery that are looked at: a sender that replaces its secret sends two or three. */
export const MAX_SIGNATURES = 8

/** An id that goes into logs and event ids. */
export const DELIVERY_ID: RegExp = /^[A-Za-z0-9_:~|+/=-]{1,128}$/

const TIMESTAMP = /^[1-9]\d{0,11}$/
const HEX_SHA256 = /^[0-9a-f]{64}$/

/** @returns epoch milliseconds of a Unix time in seconds, null for any other text. */
export function signedAt(seconds: string): number | null {
  return TIMESTAMP.test(seconds) ? Number(seconds) * 1000 : null
}

/**
 * True when one of the given signatures is the HMAC-SHA256 of the parts under one of the keys. Compared in constant
 * time; what is no signature by its form is never compared.
 */
export function isSignedBy(keys: readonly Buffer[], parts: readonly (string | Buffer)[], given: string[]): boolean {
  const candidates = given.filter((one) => HEX_SHA256.test(one)).map((one) => Buffer.from(one, 'hex'))
  return keys.some((key) => {
    const mac = createHmac('sha256', key)
    for (const part of parts) mac.update(part)
    const expected = mac.digest()
    return candidates.some((one) => timingSafeEqual(one, expected))
  })
}

export function invalidOptions(publicMessage: string): BoundaryError {
  return new BoundaryError({ code: 'BOUNDARY_OPTIONS_INVALID', retriable: false, publicMessage })
}
