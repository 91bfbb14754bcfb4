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
  LogPosition,
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
  const claims = new Claims(cursor, version === 2)
  cursor.finish()
  if (version === 2 && claims.relies_on.length === 0 && claims.succession === null) {
    throw new RangeError('version 1 says the same')
  }
  return claims
}

/**
 * The parts of claims. Classes, and fields in the order of envelope-claims.avsc: of what literals make, V8 soon takes it
 * that it lives long, since a batch does at a start; then every envelope stays until the whole heap is collected.
 */
class Claims implements EnvelopeClaims {
  readonly txn: string
  readonly sub: string
  readonly aud: string
  readonly scope: readonly string[]
  readonly req_wl: string
  readonly iat: number
  readonly exp: number
  readonly tctx: TransactionContext
  readonly rctx: RequestContext
  readonly event: EventBinding
  readonly depth: number
  readonly parent: Buffer | null
  readonly relies_on: readonly Uint8Array[]
  readonly succession: Succession | null

  constructor(from: Cursor, more: boolean) {
    this.txn = from.string()
    this.sub = from.string()
    this.aud = from.shared()
    this.scope = from.strings()
    this.req_wl = from.shared()
    this.iat = from.long()
    this.exp = from.long()
    this.tctx = new Transaction(from)
    this.rctx = new Request(from)
    this.event = new Binding(from)
    this.depth = from.int()
    this.parent = from.present() ? from.sized() : null
    this.relies_on = more ? from.hashes() : NOTHING
    this.succession = more && from.present() ? { count: from.int(), begun_at: from.long(), of: from.view(32) } : null
  }
}

class Transaction implements TransactionContext {
  readonly tenant: string
  readonly principal: PrincipalKind
  readonly act: readonly Actor[]
  readonly credential: CredentialKind
  readonly session: string | null
  readonly client: string | null
  readonly device: string | null
  readonly targets: readonly TargetVersion[]
  readonly scope_version: number
  readonly position: LogPosition

  constructor(from: Cursor) {
    this.tenant = from.shared()
    this.principal = from.symbol(PRINCIPALS)
    this.act = from.actors()
    this.credential = from.symbol(CREDENTIAL_KINDS)
    this.session = from.optionalString()
    this.client = from.present() ? from.shared() : null
    this.device = from.optionalString()
    this.targets = from.targets()
    this.scope_version = from.long()
    this.position = new Position(from)
  }
}

class Position implements LogPosition {
  readonly log_id: string
  readonly offset: number

  constructor(from: Cursor) {
    this.log_id = from.shared()
    this.offset = from.long()
  }
}

class Target implements TargetVersion {
  readonly kind: TargetKind
  readonly key: Buffer
  readonly version: number

  constructor(from: Cursor) {
    this.kind = from.symbol(TARGETS)
    this.key = from.view(16)
    this.version = from.long()
  }
}

class Request implements RequestContext {
  readonly request_id: string | null
  readonly auth_time: number | null
  readonly acr: string | null
  readonly amr: readonly string[]
  readonly ip: string | null
  readonly user_agent: string | null
  readonly posture: string | null
  readonly risk: string | null

  constructor(from: Cursor) {
    this.request_id = from.optionalString()
    this.auth_time = from.present() ? from.long() : null
    this.acr = from.present() ? from.shared() : null
    this.amr = from.strings()
    this.ip = from.optionalString()
    this.user_agent = from.optionalString()
    this.posture = from.optionalString()
    this.risk = from.optionalString()
  }
}

class Binding implements EventBinding {
  readonly topic: string
  readonly key: Buffer | null
  readonly id: Buffer
  readonly payload_sha256: Buffer | null

  constructor(from: Cursor) {
    this.topic = from.shared()
    this.key = from.present() ? from.sized() : null
    this.id = from.view(16)
    this.payload_sha256 = from.present() ? from.view(32) : null
  }
}

const EMPTY: readonly never[] = []

/** An empty array that no literal makes, for the same reason. */
function fresh<T>(): T[] {
  return EMPTY.slice() as T[]
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

  hashes(): Buffer[] {
    const out = fresh<Buffer>()
    for (let n = this.#count(); n > 0; n--) out.push(this.view(32))
    return this.#closed(out)
  }

  actors(): Actor[] {
    const out = fresh<Actor>()
    for (let n = this.#count(); n > 0; n--) out.push({ sub: this.string(), principal: this.symbol(PRINCIPALS) })
    return this.#closed(out)
  }

  targets(): TargetVersion[] {
    const out = fresh<TargetVersion>()
    for (let n = this.#count(); n > 0; n--) out.push(new Target(this))
    return this.#closed(out)
  }

  strings(): string[] {
    const out = fresh<string>()
    for (let n = this.#count(); n > 0; n--) out.push(this.shared())
    return this.#closed(out)
  }

  /** Items of the only block; blocks with a byte size (negative counts) are another spelling. */
  #count(): number {
    const count = this.long()
    if (count < 0) throw new RangeError('array block with a size')
    return count
  }

  /** Every array ends with an empty block; for an empty array that was its count. */
  #closed<T>(items: T[]): T[] {
    if (items.length > 0 && this.long() !== 0) throw new RangeError('array in several blocks')
    return items
  }

  symbol<T>(symbols: readonly T[]): T {
    const symbol = symbols[this.long()]
    if (symbol === undefined) throw new RangeError('no such symbol')
    return symbol
  }

  present(): boolean {
    const branch = this.long()
    if (branch !== 0 && branch !== 1) throw new RangeError('no such branch')
    return branch === 1
  }

  optionalString(): string | null {
    return this.present() ? this.string() : null
  }

  sized(): Buffer {
    return this.view(this.long())
  }

  view(length: number): Buffer {
    const from = this.#advance(length)
    return this.#bytes.subarray(from, from + length)
  }

  /** A string that other envelopes are likely to have too. */
  shared(): string {
    const length = this.long()
    const from = this.#advance(length)
    const known = shared.find(this.#bytes, from, length)
    if (known !== null) return known
    const text = this.#text(from, length)
    if (text.length === length) shared.keep(text, this.#bytes, from, length)
    return text
  }

  string(): string {
    const length = this.long()
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

  int(): number {
    const value = this.long()
    if (value !== (value | 0)) throw new RangeError('int out of range')
    return value
  }

  /** Zigzag varint, minimal, below 2⁵² either way. Low 28 bits apart: all 53 do not fit bit operators. */
  long(): number {
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
