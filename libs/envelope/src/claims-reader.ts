/**
 * Reads claims from their Avro bytes and refuses every spelling but the canonical one, which is what
 * `envelopeClaimsCodec` writes: minimal varints, one block per array, well-formed UTF-8, nothing left
 * over. Reading so is faster than decoding and encoding again, and counts are never trusted: each
 * element is read before the next is believed. A test holds it equal to the codec.
 */
import type {
  Actor,
  CredentialKind,
  EnvelopeClaims,
  EventBinding,
  PrincipalKind,
  RequestContext,
  Succession,
  TargetKind,
  TargetVersion,
  TransactionContext,
} from '@countersign/schemas'
import { type ClaimsVersion, NOTHING } from './claims-writer.ts'
import { SharedStrings } from './shared-strings.ts'

const PRINCIPALS: readonly PrincipalKind[] = ['user', 'service', 'webhook', 'schedule', 'system']
/** In the order of the contract. */
export const CREDENTIAL_KINDS: readonly CredentialKind[] = [
  'session_cookie',
  'jwt',
  'opaque_token',
  'webhook_signature',
  'schedule_trigger',
  'system_event',
]
const TARGETS: readonly TargetKind[] = [
  'tenant',
  'subject',
  'affiliation',
  'client',
  'device',
  'session',
  'family',
  'token',
  'transaction',
]
const shared = new SharedStrings()
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * @param bytes whose [start, end) are the claims; fixed and bytes fields of the result are views of it.
 * @param version of the schema they were written with; what it did not have is absent.
 * @throws {RangeError} when they are not the canonical spelling of any claims: that of version 2 says more than version 1 can.
 */
export function readClaims(bytes: Buffer, start: number, end: number, version: ClaimsVersion): EnvelopeClaims {
  const cursor = new Cursor(bytes, start, end)
  const claims = cursor.claims(version === 2)
  cursor.finish()
  if (version === 2 && claims.relies_on.length === 0 && claims.succession === null) {
    throw new RangeError('version 1 says the same')
  }
  return claims
}

class Cursor {
  #at: number
  readonly #bytes: Buffer
  readonly #end: number

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  finish(): void {
    if (this.#at !== this.#end) throw new RangeError('rest after the claims')
  }

  // Fields in the order of envelope-claims.avsc; an object literal evaluates in the order it is written.

  claims(more: boolean): EnvelopeClaims {
    return {
      txn: this.#string(),
      sub: this.#string(),
      aud: this.#shared(),
      scope: this.#strings(),
      req_wl: this.#shared(),
      iat: this.#long(),
      exp: this.#long(),
      tctx: this.#transaction(),
      rctx: this.#request(),
      event: this.#event(),
      depth: this.#int(),
      parent: this.#present() ? this.#sized() : null,
      relies_on: more ? this.#hashes() : NOTHING,
      succession: more && this.#present() ? this.#succession() : null,
    }
  }

  #hashes(): readonly Buffer[] {
    const out: Buffer[] = []
    for (let n = this.#count(); n > 0; n--) out.push(this.#view(32))
    return this.#closed(out)
  }

  #succession(): Succession {
    return { count: this.#int(), begun_at: this.#long(), of: this.#view(32) }
  }

  #transaction(): TransactionContext {
    return {
      tenant: this.#shared(),
      principal: this.#symbol(PRINCIPALS),
      act: this.#actors(),
      credential: this.#symbol(CREDENTIAL_KINDS),
      session: this.#optionalString(),
      client: this.#present() ? this.#shared() : null,
      device: this.#optionalString(),
      targets: this.#targets(),
      scope_version: this.#long(),
      position: { log_id: this.#shared(), offset: this.#long() },
    }
  }

  #request(): RequestContext {
    return {
      request_id: this.#optionalString(),
      auth_time: this.#present() ? this.#long() : null,
      acr: this.#present() ? this.#shared() : null,
      amr: this.#strings(),
      ip: this.#optionalString(),
      user_agent: this.#optionalString(),
      posture: this.#optionalString(),
      risk: this.#optionalString(),
    }
  }

  #event(): EventBinding {
    return {
      topic: this.#shared(),
      key: this.#present() ? this.#sized() : null,
      id: this.#view(16),
      payload_sha256: this.#present() ? this.#view(32) : null,
    }
  }

  #actors(): Actor[] {
    const out: Actor[] = []
    for (let n = this.#count(); n > 0; n--) out.push({ sub: this.#string(), principal: this.#symbol(PRINCIPALS) })
    return this.#closed(out)
  }

  #targets(): TargetVersion[] {
    const out: TargetVersion[] = []
    for (let n = this.#count(); n > 0; n--) {
      out.push({ kind: this.#symbol(TARGETS), key: this.#view(16), version: this.#long() })
    }
    return this.#closed(out)
  }

  #strings(): string[] {
    const out: string[] = []
    for (let n = this.#count(); n > 0; n--) out.push(this.#shared())
    return this.#closed(out)
  }

  /** Items of the only block; blocks with a byte size (negative counts) are another spelling. */
  #count(): number {
    const count = this.#long()
    if (count < 0) throw new RangeError('array block with a size')
    return count
  }

  /** Every array ends with an empty block; for an empty array that was its count. */
  #closed<T>(items: T[]): T[] {
    if (items.length > 0 && this.#long() !== 0) throw new RangeError('array in several blocks')
    return items
  }

  #symbol<T>(symbols: readonly T[]): T {
    const symbol = symbols[this.#long()]
    if (symbol === undefined) throw new RangeError('no such symbol')
    return symbol
  }

  #present(): boolean {
    const branch = this.#long()
    if (branch !== 0 && branch !== 1) throw new RangeError('no such branch')
    return branch === 1
  }

  #optionalString(): string | null {
    return this.#present() ? this.#string() : null
  }

  #sized(): Buffer {
    return this.#view(this.#long())
  }

  #view(length: number): Buffer {
    const from = this.#advance(length)
    return this.#bytes.subarray(from, from + length)
  }

  /** A string that other envelopes are likely to have too. */
  #shared(): string {
    const length = this.#long()
    const from = this.#advance(length)
    const known = shared.find(this.#bytes, from, length)
    if (known !== null) return known
    const text = this.#text(from, length)
    if (text.length === length) shared.keep(text, this.#bytes, from, length)
    return text
  }

  #string(): string {
    const length = this.#long()
    return this.#text(this.#advance(length), length)
  }

  #text(from: number, length: number): string {
    const bytes = this.#bytes
    let high = 0
    for (let i = from; i < from + length; i++) high |= bytes[i] as number
    if (high < 0x80) return bytes.toString('latin1', from, from + length)
    // Throws a TypeError on bytes that are not UTF-8; replaced characters would be a second spelling.
    try {
      return utf8.decode(bytes.subarray(from, from + length))
    } catch {
      throw new RangeError('not UTF-8')
    }
  }

  #advance(length: number): number {
    const from = this.#at
    if (length < 0 || length > this.#end - from) throw new RangeError('truncated')
    this.#at = from + length
    return from
  }

  #int(): number {
    const value = this.#long()
    if (value !== (value | 0)) throw new RangeError('int out of range')
    return value
  }

  /** Zigzag varint, minimal, below 2⁵² either way. Low 28 bits apart: all 53 do not fit bit operators. */
  #long(): number {
    const first = this.#byte()
    if (first < 0x80) return (first >>> 1) ^ -(first & 1)
    let low = first & 0x7f
    let high = 0
    let byte = first
    for (let group = 1; byte >= 0x80; group++) {
      byte = this.#byte()
      if (group < 4) low |= (byte & 0x7f) << (7 * group)
      else if (group < 7 || (group === 7 && byte < 16)) high |= (byte & 0x7f) << (7 * group - 28)
      else throw new RangeError('long beyond 52 bits')
    }
    if (byte === 0) throw new RangeError('varint not minimal')
    const half = high * 2 ** 27 + (low >>> 1)
    return low & 1 ? -half - 1 : half
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new RangeError('truncated')
    return this.#bytes[this.#at++] as number
  }
}
