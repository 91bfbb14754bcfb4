/** Envelopes that are wrong in exactly one way, each with what a consumer must say of it. */
import { createHash } from 'node:crypto'
import { bindEvent, derive, ed25519Key, generateEd25519, Opener, type SigningKey, seal } from '@countersign/envelope'
import { sealUnchecked, testClaims, testId } from '@countersign/envelope/testing'
import type { NewRecord } from '@countersign/event-log'
import type { Scribe } from '@countersign/replica/testing'
import { ENVELOPE_HEADER, type EnvelopeClaims, frame, invoiceExportCodec, type KeyGrant } from '@countersign/schemas'

const HOUR = 3_600_000
const TOPIC = 'invoices.export'
const AUDIENCE = 'billing-export'

/** One way of being wrong. */
export interface Kind {
  readonly name: string
  /** State and reason code, as recorded. */
  readonly expected: string
  make(forger: Forger, n: number): NewRecord
}

/** What a well-behaved producer would send as job number `n`. */
interface Honest {
  readonly key: Buffer
  readonly value: Buffer
  readonly claims: EnvelopeClaims
}

/** Holds the keys of a small world, puts them into its trust bundle, and seals whatever it is asked to. */
export class Forger {
  readonly now: number = Date.now()
  readonly envelope: SigningKey
  readonly scribe: Scribe
  readonly #grants: KeyGrant[] = []
  readonly #schemaId: number
  readonly other: Readonly<Record<'tenant' | 'topic' | 'retired' | 'early' | 'derive', SigningKey>>

  constructor(scribe: Scribe, schemaId: number) {
    this.scribe = scribe
    this.#schemaId = schemaId
    this.envelope = this.#key('env', {})
    this.other = {
      tenant: this.#key('env-globex', { tenants: ['globex'] }),
      topic: this.#key('env-mail', { topics: ['emails.send'] }),
      retired: this.#key('env-retired', { not_after: this.now - HOUR }),
      early: this.#key('env-early', { not_before: this.now + HOUR }),
      derive: this.#key('derive', { use: 'derive' }),
    }
    scribe.bundle({ keys: [...scribe.keys.grants, ...this.#grants] })
    scribe.begin()
  }

  #key(id: string, change: Partial<KeyGrant>): SigningKey {
    const { publicKey, privateKeyPem } = generateEd25519()
    const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: this.now + 24 * HOUR }
    this.#grants.push({ key_id: id, public_key: publicKey, use: 'envelope', ...always, ...change })
    return ed25519Key(id, privateKeyPem)
  }

  /** A key of that id which nobody granted anything. */
  stranger(keyId: string): SigningKey {
    return ed25519Key(keyId, generateEd25519().privateKeyPem)
  }

  honest(n: number, over: Partial<EnvelopeClaims> = {}): Honest {
    const key = Buffer.from('one key for all, so one partition and one order')
    const payload = { invoice_id: `inv-${n}`, format: 'csv' as const, work_ms: 0 }
    const value = frame(this.#schemaId, invoiceExportCodec.encode(payload))
    const { tctx, rctx } = testClaims()
    const version = this.now - HOUR
    const claims = testClaims({
      event: bindEvent({ topic: TOPIC, key, id: testId(n), value }),
      iat: this.now - 5_000,
      exp: this.now + HOUR,
      tctx: {
        ...tctx,
        targets: tctx.targets.map((target) => ({ ...target, version })),
        scope_version: version,
        position: { log_id: this.scribe.logId, offset: 0 },
      },
      rctx: { ...rctx, auth_time: version },
      ...over,
    })
    return { key, value, claims }
  }

  /** Sealed with this key, and otherwise honest but for what `over` changes. */
  sealed(n: number, over: Partial<EnvelopeClaims> = {}, key: SigningKey = this.envelope): NewRecord {
    const { claims, ...event } = this.honest(n, over)
    return record(event, seal([claims], key))
  }

  /** Sealed over claims that `seal` would not take. */
  unchecked(n: number, change: (claims: EnvelopeClaims) => EnvelopeClaims, key: SigningKey = this.envelope): NewRecord {
    const { claims, ...event } = this.honest(n)
    return record(event, [sealUnchecked(change(claims), key)])
  }

  /** The header of an honest envelope, as somebody on the way changed it. */
  damaged(n: number, damage: (header: Buffer) => readonly Buffer[]): NewRecord {
    const { claims, ...event } = this.honest(n)
    const [header = Buffer.alloc(0)] = seal([claims], this.envelope)
    return record(event, damage(Buffer.from(header)))
  }

  /** A child of an honest parent, as `derive` makes it, then changed. */
  derived(n: number, change: (claims: EnvelopeClaims, parent: Buffer) => EnvelopeClaims): NewRecord {
    const { claims, ...event } = this.honest(n)
    const [header = Buffer.alloc(0)] = seal([claims], this.envelope)
    const { ring } = this.scribe
    if (ring === null) throw new Error('no bundle yet')
    const context = { ring, now: this.now, epsilonMs: 250, topic: TOPIC, audience: AUDIENCE, ...event }
    const opened = new Opener().open(header, context)
    if (!opened.ok) throw new Error(opened.code)
    const { iat, exp, scope, aud } = claims
    const child = derive(
      { header, envelope: opened.envelope },
      { aud, scope, exp, iat, reqWl: 'w', actor: null, event: claims.event },
    )
    return record(event, [sealUnchecked(change(child, header), this.other.derive)])
  }

  /** Signed anew after the leaf was changed, as a producer of another version would. */
  resigned(n: number, change: (leaf: Buffer) => void): NewRecord {
    return this.damaged(n, (header) => {
      change(header)
      const leafEnd = 24 + header.readUInt16BE(20)
      const keyId = header.subarray(leafEnd, leafEnd + header.readUInt8(23))
      const numbers = [keyId.length, 1].map((value) => Buffer.from([0, 0, 0, value]))
      const root = createHash('sha256').update(header.subarray(0, leafEnd)).digest()
      const signed = [Buffer.from('countersign.Envelope.v1\0'), numbers[0], keyId, numbers[1], root] as Buffer[]
      return [Buffer.concat([header.subarray(0, leafEnd + keyId.length), this.envelope.sign(Buffer.concat(signed))])]
    })
  }
}

function record({ key, value }: { key: Buffer; value: Buffer }, envelopes: readonly Buffer[]): NewRecord {
  return { key, value, headers: envelopes.map((header) => [ENVELOPE_HEADER, header]), partition: 2 }
}

const flipped =
  (at: (header: Buffer) => number): ((header: Buffer) => readonly Buffer[]) =>
  (header) => {
    header.writeUInt8(header.readUInt8(at(header)) ^ 1, at(header))
    return [header]
  }

const dead = (reason: string): string => `dead_lettered envelope_${reason}`
const denied = (reason: string): string => `denied envelope_${reason}`

/** Every kind there is, in no order that matters. */
export const KINDS: readonly Kind[] = [
  { name: 'that is missing', expected: dead('missing'), make: (f, n) => f.damaged(n, () => []) },
  { name: 'that is repeated', expected: dead('repeated'), make: (f, n) => f.damaged(n, (header) => [header, header]) },
  {
    name: 'of one byte over 16 KiB',
    expected: dead('oversize'),
    make: (f, n) => f.damaged(n, (header) => [Buffer.concat([header, Buffer.alloc(16_385 - header.length)])]),
  },
  { name: 'that is empty', expected: dead('truncated'), make: (f, n) => f.damaged(n, () => [Buffer.alloc(0)]) },
  { name: 'that is truncated', expected: dead('truncated'), make: (f, n) => f.damaged(n, (h) => [h.subarray(0, -1)]) },
  { name: 'with a byte behind it', expected: dead('malformed'), make: (f, n) => f.damaged(n, (h) => [longer(h)]) },
  {
    name: 'with a bit flipped in its magic',
    expected: dead('malformed'),
    make: (f, n) =>
      f.damaged(
        n,
        flipped(() => 0),
      ),
  },
  {
    name: 'with a bit flipped in its format version',
    expected: dead('version_unknown'),
    make: (f, n) =>
      f.damaged(
        n,
        flipped(() => 3),
      ),
  },
  {
    name: 'with a bit flipped in its claims',
    expected: dead('signature_invalid'),
    make: (f, n) =>
      f.damaged(
        n,
        flipped(() => 60),
      ),
  },
  {
    name: 'with a bit flipped in its signature',
    expected: dead('signature_invalid'),
    make: (f, n) =>
      f.damaged(
        n,
        flipped((header) => header.length - 1),
      ),
  },
  {
    name: 'of an unknown schema',
    expected: dead('schema_unknown'),
    make: (f, n) => f.resigned(n, (leaf) => leaf.writeUInt8(leaf.readUInt8(4) ^ 1, 4)),
  },
  {
    name: 'of an unknown key',
    expected: dead('key_unknown'),
    make: (f, n) => f.sealed(n, {}, f.stranger('nobody')),
  },
  {
    name: 'of another key under a known name',
    expected: dead('signature_invalid'),
    make: (f, n) => f.sealed(n, {}, f.stranger('env')),
  },
  {
    name: 'of a key for other tenants',
    expected: denied('key_tenant'),
    make: (f, n) => f.sealed(n, {}, f.other.tenant),
  },
  { name: 'of a key for other topics', expected: denied('key_topic'), make: (f, n) => f.sealed(n, {}, f.other.topic) },
  { name: 'of a retired key', expected: denied('key_retired'), make: (f, n) => f.sealed(n, {}, f.other.retired) },
  {
    name: 'of a key not yet in force',
    expected: denied('key_not_yet_valid'),
    make: (f, n) => f.sealed(n, {}, f.other.early),
  },
  {
    name: 'of a key that may only derive',
    expected: denied('key_use'),
    make: (f, n) => f.sealed(n, {}, f.other.derive),
  },
  {
    name: 'of a key for signals',
    expected: denied('key_use'),
    make: (f, n) => f.sealed(n, {}, f.scribe.keys.signal),
  },
  {
    name: 'for another topic',
    expected: dead('topic_mismatch'),
    make: (f, n) => f.sealed(n, { event: { ...f.honest(n).claims.event, topic: 'payments.run' } }),
  },
  {
    name: 'for another key',
    expected: dead('key_mismatch'),
    make: (f, n) => f.sealed(n, { event: { ...f.honest(n).claims.event, key: Buffer.from('another') } }),
  },
  {
    name: 'for another payload',
    expected: dead('payload_mismatch'),
    make: (f, n) => ({ ...f.sealed(n), value: f.honest(n + 1_000).value }),
  },
  {
    name: 'for another audience',
    expected: denied('audience_mismatch'),
    make: (f, n) => f.sealed(n, { aud: 'mail' }),
  },
  { name: 'that has expired', expected: denied('expired'), make: (f, n) => f.sealed(n, { exp: f.now - 1_000 }) },
  {
    name: 'from the future',
    expected: denied('from_future'),
    make: (f, n) => f.sealed(n, { iat: f.now + HOUR / 2 }),
  },
  {
    name: 'widened by derive',
    expected: denied('widened'),
    make: (f, n) => f.derived(n, (child) => ({ ...child, scope: ['invoices:export', 'payments:run'] })),
  },
  {
    name: 'derived too often',
    expected: denied('too_deep'),
    make: (f, n) => f.derived(n, (child) => ({ ...child, depth: 4 })),
  },
  {
    name: 'of a parent nobody signed',
    expected: dead('parent_invalid'),
    make: (f, n) =>
      f.derived(n, (child, parent) => ({
        ...child,
        parent: flipped((h) => h.length - 1)(Buffer.from(parent))[0] ?? null,
      })),
  },
  {
    name: 'with claims that contradict themselves',
    expected: dead('malformed'),
    make: (f, n) => f.unchecked(n, (claims) => ({ ...claims, exp: claims.iat })),
  },
  {
    name: 'of a position beyond the end of the log',
    expected: 'denied position_beyond_log',
    make: (f, n) =>
      f.sealed(n, {
        tctx: { ...f.honest(n).claims.tctx, position: { log_id: f.scribe.logId, offset: 1_000_000 } },
      }),
  },
]

function longer(header: Buffer): Buffer {
  return Buffer.concat([header, Buffer.of(0)])
}
