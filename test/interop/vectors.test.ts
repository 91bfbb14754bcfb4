import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  headerOf,
  KeyRing,
  Opener,
  type OpenResult,
  type SignedRecordName,
  signBundle,
  verifyBundle,
  verifyRecord,
} from '@countersign/envelope'
import { sealBodies } from '@countersign/envelope/testing'
import { targetKey } from '@countersign/revocation'
import {
  envelopeClaimsCodec,
  envelopeClaimsV1Codec,
  type KeyUse,
  type TargetKind,
  trustBundleCodec,
} from '@countersign/schemas'
import { describe, expect, test } from 'vitest'
import { bundle, keys, root } from './authority.ts'
import { claimsJson } from './envelope-vectors.ts'
import { vectorFiles } from './vectors.ts'

const folder = join(import.meta.dirname, '../../schemas/vectors')
const load = <T>(name: string): T => JSON.parse(readFileSync(join(folder, name), 'utf8')) as T
const hex = (raw: Uint8Array): string => Buffer.from(raw).toString('hex')
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
const maybe = (hex: string | null): Buffer | null => (hex === null ? null : bytes(hex))

interface Signed {
  body: string
  signature: string
}
interface EnvelopeCase {
  name: string
  bundle: string
  now: number
  epsilon_ms: number
  topic: string
  audience: string
  key: string | null
  value: string | null
  headers: [string, string][]
  expect: { ok: boolean; chain?: unknown; relied?: unknown }
}
interface RecordCase {
  name: string
  record: SignedRecordName
  body: string
  signature: string | null
  use: KeyUse | 'root'
  at: number
  expect: { ok: boolean; key_id?: string; code?: string }
}
interface BundleCase extends Signed {
  name: string
  now: number
  epsilon_ms: number
  min_version: number
  current: { version: number; hash: string } | null
  expect: { ok: boolean; version?: number; hash?: string; code?: string }
}

test('the vectors are what their generator writes', () => {
  for (const [name, text] of vectorFiles()) expect(readFileSync(join(folder, name), 'utf8') === text, name).toBe(true)
})

describe('envelopes.json', () => {
  const file = load<{ bundles: Record<string, Signed>; cases: EnvelopeCase[] }>('envelopes.json')
  const rings = Object.fromEntries(
    Object.entries(file.bundles).map(([name, { body }]) => [name, new KeyRing(trustBundleCodec.decode(bytes(body)))]),
  )
  const shared = new Opener()

  function answer(opener: Opener, c: EnvelopeCase): OpenResult | { ok: false; code: string } {
    const found = headerOf(c.headers.map(([name, value]) => [name, bytes(value)] as const))
    if (!found.ok) return found
    const event = { topic: c.topic, key: maybe(c.key), value: maybe(c.value) }
    return opener.open(found.bytes, {
      ...event,
      ring: rings[c.bundle]!,
      now: c.now,
      epsilonMs: c.epsilon_ms,
      audience: c.audience,
      headers: c.headers.map(([name, value]) => [name, bytes(value)] as const),
    })
  }
  const judged = (opener: Opener, c: EnvelopeCase): unknown => {
    const result = answer(opener, c)
    if (!('envelope' in result)) return result
    const { chain, relied } = result.envelope
    return {
      ok: true,
      ...(c.expect.chain !== undefined && { chain: chain.map(claimsJson) }),
      ...(c.expect.relied !== undefined && { relied: relied.map(({ claims }) => claimsJson(claims)) }),
    }
  }

  for (const c of file.cases) {
    test(c.name, () => {
      expect(judged(new Opener(), c)).toEqual(c.expect)
      expect(judged(shared, c)).toEqual(c.expect)
      expect(judged(shared, c)).toEqual(c.expect)
    })
  }
})

describe('records.json', () => {
  const file = load<{ roots: string[]; bundle: Signed; cases: RecordCase[] }>('records.json')
  const ring = new KeyRing(trustBundleCodec.decode(bytes(file.bundle.body)))
  for (const c of file.cases) {
    test(c.name, () => {
      const by = c.use === 'root' ? file.roots.map(bytes) : ring
      const result = verifyRecord(c.record, bytes(c.body), maybe(c.signature) ?? undefined, by, c.use, c.at)
      expect(result.ok ? { ok: true, key_id: result.keyId } : result).toEqual(c.expect)
    })
  }
})

describe('bundles.json', () => {
  const file = load<{ roots: string[]; cases: BundleCase[] }>('bundles.json')
  for (const c of file.cases) {
    test(c.name, () => {
      const current = c.current && new KeyRing({ ...bundle, version: c.current.version })
      const result = verifyBundle(bytes(c.body), bytes(c.signature), file.roots.map(bytes), {
        now: c.now,
        epsilonMs: c.epsilon_ms,
        minVersion: c.min_version,
        current,
      })
      expect(
        result.ok ? { ok: true, version: result.bundle.version, hash: result.ring.hash.toString('hex') } : result,
      ).toMatchObject(c.expect)
    })
  }
  test('signing makes the same bytes', () => {
    const first = file.cases[0] as BundleCase
    const { body, header } = signBundle(bundle, root)
    expect([body.toString('hex'), header.toString('hex')]).toEqual([first.body, first.signature])
  })
})

test('seal.json: every tree is made again byte for byte', () => {
  const file = load<{ cases: { bodies: string[]; envelopes: string[]; fingerprint: string }[] }>('seal.json')
  for (const { bodies, envelopes, fingerprint } of file.cases) {
    const version = fingerprint === hex(envelopeClaimsV1Codec.fingerprint) ? 1 : 2
    expect(sealBodies(bodies.map(bytes), keys.envelope, version).map(hex)).toEqual(envelopes)
    expect(hex((version === 1 ? envelopeClaimsV1Codec : envelopeClaimsCodec).fingerprint)).toBe(fingerprint)
  }
})

test('targets.json', () => {
  const file = load<{ cases: { kind: TargetKind; tenant: string; id: string; key: string }[] }>('targets.json')
  for (const { key, ...target } of file.cases) expect(targetKey(target).toString('hex')).toBe(key)
})
