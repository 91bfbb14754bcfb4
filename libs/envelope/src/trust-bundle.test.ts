import type { TrustBundle } from '@countersign/schemas'
import { describe, expect, test } from 'vitest'
import {
  ed25519Key,
  generateEd25519,
  KeyRing,
  publicKeyObject,
  rawPublicKey,
  signBundle,
  signRecord,
  verifyBundle,
  verifyRecord,
} from './index.ts'
import { NOW, testAuthority } from './testing.ts'

const { keys, bundle, ring, rootPublicKey } = testAuthority()
const roots = [testAuthority(9).rootPublicKey, rootPublicKey]

describe('records', () => {
  const body = Buffer.from('a body')
  const header = signRecord('Signal', body, keys.signal)
  const check = (h: Uint8Array | undefined, b = body, at = NOW): unknown => {
    const result = verifyRecord('Signal', b, h, ring, 'signal', at)
    return result.ok ? result.keyId : result.code
  }

  test('each fault has its own code', () => {
    expect(check(header)).toBe('sig-1')
    expect(check(undefined)).toBe('record_unsigned')
    for (const bad of [
      Buffer.alloc(0),
      Buffer.of(1),
      header.subarray(1),
      header.subarray(0, -1),
      Buffer.concat([header, Buffer.of(0)]),
    ]) {
      expect(check(bad)).toBe('record_signature_malformed')
    }
    expect(check(signRecord('Signal', body, { ...keys.signal, keyId: 'sig-2' }))).toBe('record_key_unknown')
    expect(check(signRecord('Signal', body, keys.checkpoint))).toBe('record_key_use')
    expect(check(signRecord('Checkpoint', body, keys.signal))).toBe('record_signature_invalid')
    expect(check(signRecord('Signal', body, testAuthority(2).keys.signal))).toBe('record_signature_invalid')
    expect(check(header, Buffer.from('b body'))).toBe('record_signature_invalid')
    expect(check(header, body, bundle.keys[2]!.not_before - 1)).toBe('record_key_not_yet_valid')
    expect(check(header, body, bundle.keys[2]!.not_after)).toBe('record_key_retired')
    expect(check(header, body, bundle.keys[2]!.not_after - 1)).toBe('sig-1')
  })

  test('any flipped bit of header or body fails', () => {
    for (let bit = 0; bit < header.length * 8; bit++) {
      const flipped = Buffer.from(header)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(check(flipped)).not.toBe('sig-1')
    }
    for (let bit = 0; bit < body.length * 8; bit++) {
      const flipped = Buffer.from(body)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(check(header, flipped)).toBe('record_signature_invalid')
    }
  })

  test('pinned roots vouch for bundles alone', () => {
    const signed = signRecord('TrustBundle', body, keys.root)
    expect(verifyRecord('TrustBundle', body, signed, roots, 'root', NOW).ok).toBe(true)
    expect(verifyRecord('TrustBundle', body, signed, [roots[0]!], 'root', NOW)).toEqual({
      ok: false,
      code: 'record_signature_invalid',
    })
    expect(verifyRecord('TrustBundle', body, signed, [], 'root', NOW).ok).toBe(false)
    expect(verifyRecord('Signal', body, header, roots, 'signal', NOW)).toEqual({ ok: false, code: 'record_key_use' })
  })
})

describe('bundles', () => {
  const verdict = (b: TrustBundle, over: object = {}, key = keys.root): string => {
    const { body, header } = signBundle(b, key)
    const result = verifyBundle(body, header, roots, { now: NOW, ...over })
    return result.ok ? 'ok' : result.code
  }

  test('each fault has its own code', () => {
    expect(verdict(bundle)).toBe('ok')
    expect(verdict(bundle, {}, keys.signal)).toBe('bundle_signature_invalid')
    expect(verdict(bundle, { minVersion: 2 })).toBe('bundle_version_back')
    expect(verdict(bundle, { current: new KeyRing({ ...bundle, version: 2 }) })).toBe('bundle_version_back')
    expect(verdict({ ...bundle, window_ms: 1 }, { current: ring })).toBe('bundle_version_reused')
    expect(verdict(bundle, { current: ring })).toBe('ok')
    expect(verdict({ ...bundle, version: 2 }, { current: ring })).toBe('ok')
    expect(verdict(bundle, { now: bundle.expires_at })).toBe('bundle_expired')
    expect(verdict(bundle, { now: bundle.issued_at - 251 })).toBe('bundle_from_future')
    const junk = Buffer.from('junk')
    expect(verifyBundle(junk, signRecord('TrustBundle', junk, keys.root), roots, { now: NOW })).toEqual({
      ok: false,
      code: 'bundle_malformed',
    })
    expect(verifyBundle(junk, undefined, roots, { now: NOW })).toEqual({ ok: false, code: 'bundle_signature_invalid' })
  })

  test('an unchanged bundle keeps the ring in force', () => {
    const { body, header } = signBundle(bundle, keys.root)
    const again = verifyBundle(body, header, roots, { now: NOW, current: ring })
    expect(again.ok && again.ring).toBe(ring)
  })

  const [first, second] = bundle.keys as [TrustBundle['keys'][0], TrustBundle['keys'][0]]
  const contradictions: [string, Partial<TrustBundle>][] = [
    ['version 0', { version: 0 }],
    ['expires before it is issued', { expires_at: bundle.issued_at }],
    ['no window', { window_ms: 0 }],
    ['no staleness', { max_staleness_ms: 0 }],
    ['no interval', { checkpoint_interval_ms: 0 }],
    ['one id twice', { keys: [first, { ...second, key_id: first.key_id }] }],
    ['one key in two roles', { keys: [first, { ...second, public_key: first.public_key }] }],
    ['an empty id', { keys: [{ ...first, key_id: '' }] }],
    ['an id of 65 bytes', { keys: [{ ...first, key_id: 'é'.repeat(33) }] }],
    ['a key that ends before it begins', { keys: [{ ...first, not_after: first.not_before }] }],
    ['a star among tenants', { keys: [{ ...first, tenants: ['*', 'acme'] }] }],
    ['a star among topics', { keys: [{ ...first, topics: ['a', '*'] }] }],
  ]
  for (const [name, change] of contradictions) {
    test(`is refused: ${name}`, () => {
      const invalid = expect.objectContaining({ code: 'ENVELOPE_BUNDLE_INVALID' })
      expect(() => signBundle({ ...bundle, ...change }, keys.root)).toThrow(invalid)
      expect(() => new KeyRing({ ...bundle, ...change })).toThrow(invalid)
    })
  }

  test('a grant holds for its use and between its begin and end', () => {
    const grant = bundle.keys[0]!
    expect(ring.grantFor('env-1', 'envelope', grant.not_before)).toEqual(grant)
    expect(ring.grantFor('env-1', 'envelope', grant.not_before - 1)).toBeUndefined()
    expect(ring.grantFor('env-1', 'envelope', grant.not_after)).toBeUndefined()
    expect(ring.grantFor('env-1', 'derive', NOW)).toBeUndefined()
    expect(ring.grantFor('env-2', 'envelope', NOW)).toBeUndefined()
  })
})

describe('keys', () => {
  test('raw and object forms agree', () => {
    const { publicKey, privateKeyPem } = generateEd25519()
    expect(publicKey).toHaveLength(32)
    expect(rawPublicKey(publicKeyObject(publicKey))).toEqual(publicKey)
    expect(ed25519Key('k', privateKeyPem).sign(Buffer.of(1))).toHaveLength(64)
  })

  test('what is no key is refused without quoting it', () => {
    for (const bad of [
      '',
      'secret-canary',
      '-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWNhbmFyeQ==\n-----END PRIVATE KEY-----\n',
    ]) {
      try {
        ed25519Key('k', bad)
        expect.unreachable()
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENVELOPE_KEY_INVALID' })
        expect(`${error} ${(error as Error).stack} ${JSON.stringify(error)}`).not.toMatch(/canary|c2Vjcm/)
      }
    }
    const { privateKeyPem } = generateEd25519()
    for (const id of ['', 'x'.repeat(65), '\ud800']) {
      expect(() => ed25519Key(id, privateKeyPem)).toThrow(expect.objectContaining({ code: 'ENVELOPE_KEY_INVALID' }))
    }
    expect(() => publicKeyObject(Buffer.alloc(31))).toThrow(expect.objectContaining({ code: 'ENVELOPE_KEY_INVALID' }))
  })
})
