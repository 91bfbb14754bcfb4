/** Messages as a consumer fetches them: 1 KB payloads, each with its envelope, sealed in batches of one size. */
import { bindEvent, ed25519Key, generateEd25519, KeyRing, type SigningKey, seal } from '@countersign/envelope'
import { type Random, systemRandom } from '@countersign/kernel'
import { affiliationTarget, type Target, target, targetKey, tenantTarget } from '@countersign/revocation'
import { ENVELOPE_HEADER, type EnvelopeClaims, type TrustBundle } from '@countersign/schemas'

export const NOW = 1_800_001_000_000
export const TOPIC = 'invoices.export'
export const AUDIENCE = 'billing-export'
const HOUR = 3_600_000
const PAYLOAD_BYTES = 1_024
/** One message in so many belongs to a session that was ended. */
const ENDED = 64

/** A message in the shape kafkajs gives it. */
export interface Message {
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Readonly<Record<string, Buffer>>
}

export interface Workload {
  readonly ring: KeyRing
  /** In the order they are consumed; a batch is `batchSize` of them in a row. */
  readonly messages: readonly Message[]
  /** The claims of the first of them, as a consumer would have them who trusted its messages. */
  readonly claims: readonly EnvelopeClaims[]
  /** Keys of the sessions that were ended. */
  readonly ended: readonly Buffer[]
}

/**
 * @param count messages; a multiple of `batchSize`.
 * @param trusted of how many to keep the claims: kept objects slow every collection down.
 */
export function workload(count: number, batchSize: number, trusted: number, random: Random = systemRandom): Workload {
  const { publicKey, privateKeyPem } = generateEd25519()
  const key = ed25519Key('envelope-1', privateKeyPem)
  const ended: Buffer[] = []
  const messages: Message[] = []
  const claims: EnvelopeClaims[] = []
  while (messages.length < count) {
    const batch = Array.from({ length: batchSize }, (_, i) => draft(messages.length + i, random, ended))
    const envelopes = seal(
      batch.map((each) => each.claims),
      key,
    )
    for (const [i, each] of batch.entries()) {
      messages.push({ key: each.key, value: each.value, headers: { [ENVELOPE_HEADER]: envelopes[i] as Buffer } })
      if (claims.length < trusted) claims.push(each.claims)
    }
  }
  return { ring: new KeyRing(bundle(key, publicKey)), messages, claims, ended }
}

/** What a fetch leaves behind: the same messages as views of one new buffer, just written. */
export function fetched(messages: readonly Message[]): readonly Message[] {
  const parts = messages.flatMap(({ key, value, headers }) => [key, value, headers[ENVELOPE_HEADER] as Buffer])
  const bytes = Buffer.concat(parts)
  let end = 0
  const next = (part: Buffer): Buffer => {
    end += part.length
    return bytes.subarray(end - part.length, end)
  }
  return messages.map(({ key, value, headers }) => ({
    key: next(key),
    value: next(value),
    headers: { [ENVELOPE_HEADER]: next(headers[ENVELOPE_HEADER] as Buffer) },
  }))
}

function draft(n: number, random: Random, ended: Buffer[]): { key: Buffer; value: Buffer; claims: EnvelopeClaims } {
  const tenant = `tenant-${n % 50}`
  const sub = `usr_${random.bytes(8).toString('hex')}`
  const session = `ses_${random.bytes(16).toString('base64url')}`
  const txn = `txn_${random.bytes(16).toString('base64url')}`
  const targets: readonly Target[] = [
    tenantTarget(tenant),
    target('subject', sub),
    affiliationTarget(tenant, sub),
    target('client', 'web'),
    target('session', session),
    target('transaction', txn),
  ]
  if (n % ENDED === ENDED - 1) ended.push(targetKey(target('session', session)))
  const key = Buffer.from(`invoice-${n}`)
  const value = random.bytes(PAYLOAD_BYTES)
  const claims: EnvelopeClaims = {
    txn,
    sub,
    aud: AUDIENCE,
    scope: ['invoices:export', 'invoices:read'],
    req_wl: 'api',
    iat: NOW - 200,
    exp: NOW + HOUR,
    tctx: {
      tenant,
      principal: 'user',
      act: [],
      credential: 'session_cookie',
      session,
      client: 'web',
      device: null,
      targets: targets.map((each) => ({ kind: each.kind, key: targetKey(each), version: NOW - 60_000 })),
      scope_version: NOW - 60_000,
      position: { log_id: 'log-1', offset: 41 },
    },
    rctx: {
      request_id: `req_${random.bytes(8).toString('hex')}`,
      auth_time: NOW - 60_000,
      acr: 'mfa',
      amr: ['pwd', 'otp'],
      ip: '192.0.2.7',
      user_agent: null,
      posture: null,
      risk: null,
    },
    event: bindEvent({ topic: TOPIC, key, id: random.bytes(16), value }),
    depth: 0,
    parent: null,
  }
  return { key, value, claims }
}

function bundle(key: SigningKey, publicKey: Buffer): TrustBundle {
  return {
    version: 1,
    log_id: 'log-1',
    predecessor: null,
    issued_at: NOW - 24 * HOUR,
    expires_at: NOW + 24 * HOUR,
    window_ms: 12 * HOUR,
    max_staleness_ms: 10_000,
    checkpoint_interval_ms: 1_000,
    keys: [
      {
        key_id: key.keyId,
        public_key: publicKey,
        use: 'envelope',
        tenants: ['*'],
        topics: ['*'],
        not_before: NOW - 24 * HOUR,
        not_after: NOW + 24 * HOUR,
      },
    ],
  }
}
