import { createHash } from 'node:crypto'
import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import {
  affiliationTarget,
  isSignerTarget,
  isTarget,
  signerTarget,
  TARGET_KINDS,
  target,
  targetKey,
  tenantTarget,
} from './targets.ts'

describe('targetKey', () => {
  test('is SHA-256 over the written encoding, cut to 16 bytes', () => {
    const bytes = Buffer.concat([
      Buffer.from('countersign.target.v1\0'),
      Buffer.from([0, 0, 0, 11]),
      Buffer.from('affiliation'),
      Buffer.from([0, 0, 0, 4]),
      Buffer.from('acme'),
      Buffer.from([0, 0, 0, 3]),
      Buffer.from('ann'),
    ])
    const expected = createHash('sha256').update(bytes).digest().subarray(0, 16)
    expect(targetKey(affiliationTarget('acme', 'ann'))).toEqual(expected)
  })

  test('counts bytes, not characters', () => {
    const bytes = Buffer.concat([
      Buffer.from('countersign.target.v1\0\0\0\0\x07subject\0\0\0\0', 'latin1'),
      Buffer.from([0, 0, 0, 7]),
      Buffer.from('é€zz'),
    ])
    const expected = createHash('sha256').update(bytes).digest().subarray(0, 16)
    expect(targetKey(target('subject', 'é€zz'))).toEqual(expected)
  })

  const part = fc.string({ unit: fc.constantFrom('a', 'b', '\0', 'é'), maxLength: 4 })
  const any = fc.record({ kind: fc.constantFrom(...TARGET_KINDS), tenant: part, id: part })
  test.prop([any, any])('differs for different targets', (a, b) => {
    const same = a.kind === b.kind && a.tenant === b.tenant && a.id === b.id
    expect(targetKey(a).equals(targetKey(b))).toBe(same)
  })
})

describe('targets', () => {
  test('have a tenant for tenant and affiliation only, an id for all but tenant', () => {
    for (const kind of TARGET_KINDS) {
      const tenant = kind === 'tenant' || kind === 'affiliation' ? 't' : ''
      const id = kind === 'tenant' ? '' : 'i'
      expect(isTarget({ kind, tenant, id })).toBe(true)
      expect(isTarget({ kind, tenant: tenant ? '' : 't', id })).toBe(false)
      expect(isTarget({ kind, tenant, id: id ? '' : 'i' })).toBe(false)
    }
    expect(isTarget({ kind: 'subject', tenant: '', id: '\ud800' })).toBe(false)
  })

  test('refuse missing parts by code', () => {
    const code = expect.objectContaining({ code: 'REVOCATION_TARGET_INVALID', retriable: false })
    expect(() => tenantTarget('')).toThrow(code)
    expect(() => affiliationTarget('acme', '')).toThrow(code)
    expect(() => target('session', '')).toThrow(code)
    expect(tenantTarget('acme')).toEqual({ kind: 'tenant', tenant: 'acme', id: '' })
  })
})

test('a key is a target by its bytes, and a key of tokens by its id', () => {
  const key = Buffer.alloc(32, 7)
  const signer = signerTarget(key)
  expect(signer).toEqual({ kind: 'client', tenant: '', id: 'key:S7Bvjk46dxXSAdVz0KpCN2LlXavWGiwCJ4-lbMbSlOA' })
  expect([isTarget(signer), isSignerTarget(signer)]).toEqual([true, true])
  expect(signerTarget(Buffer.alloc(32, 8)).id).not.toBe(signer.id)
  expect(signerTarget('thumbprint')).toEqual({ kind: 'client', tenant: '', id: 'key:thumbprint' })
  expect(isSignerTarget({ kind: 'client', tenant: '', id: 'web' })).toBe(false)
})
