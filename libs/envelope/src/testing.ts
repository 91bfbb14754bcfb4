/** A small authority for tests: seeded keys, a bundle with one key of each use, and plausible claims. */
import { SeededRandom } from '@countersign/kernel/testing'
import { targetKey } from '@countersign/revocation'
import type { EnvelopeClaims, EventBinding, KeyGrant, TargetVersion, TrustBundle } from '@countersign/schemas'
import { type ClaimsVersion, completed, type NewClaims, writeClaims } from './claims-writer.ts'
import { type BoundEvent, bindEvent } from './event-binding.ts'
import { KeyRing } from './key-ring.ts'
import { ed25519Key, generateEd25519, type SigningKey } from './keys.ts'
import type { OpenContext } from './open.ts'
import { sealWritten } from './seal.ts'

/** The moment of every fixture, epoch ms; where `FakeClock` stands at first. */
export const NOW = 1_800_000_000_000
const HOUR = 3_600_000
const TXN = 'txn_Zm9vYmFyYmF6cXV4MTIzNA'
const SUB = 'usr_9f86d081884c7d65'
const SESSION = 'ses_2c26b46b68ffc68f'
const TARGETS: readonly TargetVersion[] = [
  { kind: 'tenant' as const, tenant: 'acme', id: '' },
  { kind: 'subject' as const, tenant: '', id: SUB },
  { kind: 'affiliation' as const, tenant: 'acme', id: SUB },
  { kind: 'client' as const, tenant: '', id: 'web' },
  { kind: 'session' as const, tenant: '', id: SESSION },
  { kind: 'transaction' as const, tenant: '', id: TXN },
].map((target, i) => ({ kind: target.kind, key: targetKey(target), version: NOW - 1000 * i }))

/** Keys that are the same in every run. Never for anything but tests. */
export interface TestAuthority {
  readonly keys: Readonly<Record<'root' | 'envelope' | 'derive' | 'signal' | 'checkpoint', SigningKey>>
  readonly rootPublicKey: Buffer
  readonly bundle: TrustBundle
  readonly ring: KeyRing
}

/** @param seed another seed, other keys. @param change applied to each grant of the bundle. */
export function testAuthority(seed = 1, change: (grant: KeyGrant) => KeyGrant = (grant) => grant): TestAuthority {
  const random = new SeededRandom(seed)
  const pair = (keyId: string): { key: SigningKey; publicKey: Buffer } => {
    const { privateKeyPem, publicKey } = generateEd25519(random)
    return { key: ed25519Key(keyId, privateKeyPem), publicKey }
  }
  const root = pair('root-1')
  const uses = { envelope: pair('env-1'), derive: pair('der-1'), signal: pair('sig-1'), checkpoint: pair('chk-1') }
  const grants = (Object.keys(uses) as (keyof typeof uses)[]).map((use) =>
    change({
      key_id: uses[use].key.keyId,
      public_key: uses[use].publicKey,
      use,
      tenants: ['*'],
      topics: ['*'],
      not_before: NOW - 24 * HOUR,
      not_after: NOW + 24 * HOUR,
    }),
  )
  const bundle: TrustBundle = {
    version: 1,
    log_id: 'log-1',
    predecessor: null,
    issued_at: NOW - 24 * HOUR,
    expires_at: NOW + 24 * HOUR,
    window_ms: 12 * HOUR,
    max_staleness_ms: 10_000,
    checkpoint_interval_ms: 1000,
    keys: grants,
  }
  return {
    keys: {
      root: root.key,
      envelope: uses.envelope.key,
      derive: uses.derive.key,
      signal: uses.signal.key,
      checkpoint: uses.checkpoint.key,
    },
    rootPublicKey: root.publicKey,
    bundle,
    ring: new KeyRing(bundle),
  }
}

/** The event that `testClaims` are bound to, for index 0. */
export function testEvent(index = 0, value: Uint8Array | null = Buffer.from(`payload ${index}`)): EventBinding {
  return bindEvent({ topic: 'invoices.export', key: Buffer.from(`inv-${index}`), id: testId(index), value })
}

/** @returns 16 bytes, distinct by index. */
export function testId(index: number): Buffer {
  const id = Buffer.alloc(16)
  id.writeUInt32BE(index, 12)
  return id
}

/** Claims of a person's job, about 400 bytes; `over` replaces whole fields. */
export function testClaims(over: Partial<EnvelopeClaims> = {}): EnvelopeClaims {
  return {
    txn: TXN,
    sub: SUB,
    aud: 'billing-export',
    scope: ['invoices:export', 'invoices:read'],
    req_wl: 'api',
    iat: NOW,
    exp: NOW + HOUR,
    tctx: {
      tenant: 'acme',
      principal: 'user',
      act: [],
      credential: 'session_cookie',
      session: SESSION,
      client: 'web',
      device: null,
      targets: TARGETS,
      scope_version: NOW - 5000,
      position: { log_id: 'log-1', offset: 41 },
    },
    rctx: {
      request_id: 'req_5e884898da280471',
      auth_time: NOW - 60_000,
      acr: 'mfa',
      amr: ['pwd', 'otp'],
      ip: '192.0.2.7',
      user_agent: null,
      posture: null,
      risk: null,
    },
    event: testEvent(),
    depth: 0,
    parent: null,
    relies_on: [],
    succession: null,
    ...over,
  }
}

/** Context in which `testClaims(…)` of the same index open. */
export function testContext(
  ring: KeyRing,
  over: Partial<OpenContext & BoundEvent> = {},
  index = 0,
): OpenContext & BoundEvent {
  return {
    ring,
    now: NOW + 1000,
    epsilonMs: 250,
    topic: 'invoices.export',
    audience: 'billing-export',
    key: Buffer.from(`inv-${index}`),
    value: Buffer.from(`payload ${index}`),
    ...over,
  }
}

/** Seals bytes as claims, whatever they are. @param version of the schema they are said to be written with. */
export function sealBodies(bodies: readonly Buffer[], key: SigningKey, version: ClaimsVersion = 1): Buffer[] {
  return sealWritten(
    bodies.map((bytes) => ({ version, bytes })),
    key,
  )
}

/** Seals claims that `seal` would refuse. */
export function sealUnchecked(claims: NewClaims, key: SigningKey): Buffer {
  return sealWritten([writeClaims(completed(claims))], key)[0] as Buffer
}

/** The bytes that are sealed of some claims. */
export function claimsBody(claims: NewClaims): Buffer {
  return writeClaims(completed(claims)).bytes
}
