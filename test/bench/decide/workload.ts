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

/** What the messages of one bench have in common. */
export interface About {
  /** Epoch ms. */
  readonly now: number
  /** Logical topic. */
  readonly topic: string
  readonly audience: string
  readonly value: (n: number) => Buffer
}

/** A message before it is sealed. */
export interface Draft {
  readonly key: Buffer
  readonly value: Buffer
  readonly claims: EnvelopeClaims
  /** Its session was ended. */
  readonly ended: boolean
}

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
  const about: About = { now: NOW, topic: TOPIC, audience: AUDIENCE, value: () => random.bytes(PAYLOAD_BYTES) }
  const ended: Buffer[] = []
  const messages: Message[] = []
  const claims: EnvelopeClaims[] = []
  while (messages.length < count) {
    const batch = Array.from({ length: batchSize }, (_, i) => draft(messages.length + i, random, about))
    const envelopes = seal(
      batch.map((each) => each.claims),
      key,
    )
    for (const [i, each] of batch.entries()) {
      messages.push({ key: each.key, value: each.value, headers: { [ENVELOPE_HEADER]: envelopes[i] as Buffer } })
      if (claims.length < trusted) claims.push(each.claims)
      if (each.ended) ended.push(targetKey(target('session', each.claims.tctx.session ?? '')))
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

/** The `n`-th message, with a session and a transaction of its own. */
export function draft(n: number, random: Random, { now, topic, audience, value: payload }: About): Draft {
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
  const key = Buffer.from(`invoice-${n}`)
  const value = payload(n)
  const claims: EnvelopeClaims = {
    txn,
    sub,
    aud: audience,
    scope: ['invoices:export', 'invoices:read'],
    req_wl: 'api',
    iat: now - 200,
    exp: now + HOUR,
    tctx: {
      tenant,
      principal: 'user',
      act: [],
      credential: 'session_cookie',
      session,
      client: 'web',
      device: null,
      targets: targets.map((each) => ({ kind: each.kind, key: targetKey(each), version: now - 60_000 })),
      scope_version: now - 60_000,
      position: { log_id: 'log-1', offset: 41 },
    },
    rctx: {
      request_id: `req_${random.bytes(8).toString('hex')}`,
      auth_time: now - 60_000,
      acr: 'mfa',
      amr: ['pwd', 'otp'],
      ip: '192.0.2.7',
      user_agent: null,
      posture: null,
      risk: null,
    },
    event: bindEvent({ topic, key, id: random.bytes(16), value }),
    depth: 0,
    parent: null,
    relies_on: [],
    succession: null,
  }
  return { key, value, claims, ended: n % ENDED === ENDED - 1 }
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
