import { systemRandom } from '@countersign/kernel'
import { SeededRandom } from '@countersign/kernel/testing'
import type { RefreshState } from '@countersign/session-store'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RefreshTokens } from './refresh-tokens.ts'

const SEED = 20_261_121
const random = new SeededRandom(SEED)
const secret = random.bytes(32)
const tokens = new RefreshTokens({ secrets: [secret], random })
const HANDLE = `fam_${'A'.repeat(22)}`
const family = (handle = HANDLE, state: Partial<RefreshState> = {}) => ({
  handle,
  refresh: { ...tokens.begin(), generation: 1, rotations: [], ...state },
})
const text = (of: ReturnType<typeof family>, generation: number): string =>
  tokens.format(of.handle, of.refresh, generation) as string
const genuine = (given: string, of: ReturnType<typeof family> | null): boolean => {
  const presented = tokens.parse(given)
  return presented !== null && tokens.isGenuine(presented, of)
}

const base64url = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('base64url'))
const handles = fc.tuple(fc.constantFrom('fam', 'dev', 'ses'), base64url(16)).map(([kind, id]) => `${kind}_${id}`)
const generations = fc.integer({ min: 1, max: 2 ** 31 })

describe('a refresh token', () => {
  it('is told again from family and generation, read back, and known as ours', () => {
    fc.assert(
      fc.property(handles, generations, (handle, generation) => {
        const of = family(handle)
        const given = text(of, generation)
        expect(given).toBe(text(of, generation))
        expect(tokens.parse(given)).toMatchObject({ handle, generation })
        expect(genuine(given, of)).toBe(true)
      }),
      { seed: SEED, numRuns: 300 },
    )
  })

  it('is no token of another family, generation, nonce or key', () => {
    fc.assert(
      fc.property(handles, handles, generations, generations, (handle, otherHandle, generation, otherGeneration) => {
        fc.pre(handle !== otherHandle && generation !== otherGeneration)
        const of = family(handle)
        const given = text(of, generation)
        expect(genuine(given, family(handle))).toBe(false)
        expect(genuine(given, family(otherHandle, of.refresh))).toBe(false)
        expect(genuine(given, { ...of, refresh: { ...of.refresh, keyId: 'unknown' } })).toBe(false)
        expect(genuine(given.replace(`.${generation}.`, `.${otherGeneration}.`), of)).toBe(false)
        expect(genuine(given.replace(handle, otherHandle), family(otherHandle, of.refresh))).toBe(false)
        const stranger = new RefreshTokens({ secrets: [random.bytes(32)], random })
        // Under the same name, so that it is the key that differs.
        const theirs = stranger.format(handle, { ...of.refresh, keyId: stranger.begin().keyId }, generation) as string
        expect(genuine(theirs, of)).toBe(false)
      }),
      { seed: SEED, numRuns: 200 },
    )
  })

  it('CVE-2026-27840: cut or changed at any byte is refused', () => {
    const of = family()
    const given = text(of, 12_345)
    for (let i = 0; i < given.length; i++) {
      for (const other of ['A', 'B', '.', '0', '\0', '='])
        if (other !== given[i]) expect(genuine(`${given.slice(0, i)}${other}${given.slice(i + 1)}`, of)).toBe(false)
      expect(genuine(given.slice(0, i), of)).toBe(false)
      expect(genuine(`${given.slice(0, i)}${given.slice(i + 1)}`, of)).toBe(false)
    }
  })

  it('has one spelling', () => {
    const of = family()
    const given = text(of, 7)
    const last = given.at(-1) as string
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    // 32 bytes leave two bits of the last character unused.
    const respelled = given.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1]
    for (const other of [
      respelled,
      ` ${given}`,
      `${given}\n`,
      `${given}=`,
      given.replace('.7.', '.07.'),
      given.replace('.7.', '.+7.'),
      given.toUpperCase(),
    ])
      expect(tokens.parse(other)).toBe(null)
  })

  it.each([
    '',
    'rt_',
    `rt_${HANDLE}`,
    `rt_${HANDLE}.1`,
    `rt_${HANDLE}.0.${'A'.repeat(43)}`,
    `rt_${HANDLE}.-1.${'A'.repeat(43)}`,
    `rt_${HANDLE}.2147483649.${'A'.repeat(43)}`,
    `rt_${HANDLE}.99999999999999999999.${'A'.repeat(43)}`,
    `rt_fam.1.${'A'.repeat(43)}`,
    `rt___proto__.1.${'A'.repeat(43)}`,
    `at_${'A'.repeat(43)}`,
    'eyJhbGciOiJub25lIn0.e30.',
    `rt_${'A'.repeat(100_000)}`,
    '\0'.repeat(64),
  ])('is not %j', (given) => {
    expect(tokens.parse(given)).toBe(null)
  })

  it('never throws on any text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string().map((s) => `rt_${HANDLE}.1.${s}`),
        ),
        (given) => {
          expect(genuine(given, family())).toBe(false)
        },
      ),
      { seed: SEED, numRuns: 500 },
    )
  })

  it('of a family that is not there takes the same work as a wrong one, and is refused even if its MAC were right', () => {
    const nobody = { keyId: tokens.begin().keyId, nonce: Buffer.alloc(16) }
    const given = tokens.format(HANDLE, nobody, 1) as string
    expect(genuine(given, null)).toBe(false)
    expect(genuine(given, { handle: HANDLE, refresh: null } as never)).toBe(false)
    // The same token with the family there: it was refused for the family alone.
    expect(genuine(given, family(HANDLE, nobody))).toBe(true)
  })

  it('is told by no part of what the store keeps', () => {
    const of = family()
    const stored = JSON.stringify({ ...of, refresh: { ...of.refresh, nonce: of.refresh.nonce.toString('base64url') } })
    const mac = text(of, 1).split('.')[2] as string
    expect(stored).not.toContain(mac)
    expect(stored).not.toContain(secret.toString('base64'))
    expect(of.refresh.keyId).toMatch(/^[\w-]{11}$/)
  })
})

describe('the key behind them', () => {
  it('is replaced without ending a family, and ends those that named it once it is gone', () => {
    const of = family()
    const given = text(of, 3)
    const next = systemRandom.bytes(32)
    const both = new RefreshTokens({ secrets: [next, secret], random })
    const presented = tokens.parse(given) as NonNullable<ReturnType<typeof tokens.parse>>
    expect(both.isGenuine(presented, of)).toBe(true)
    expect(both.format(of.handle, of.refresh, 4)).toBe(text(of, 4))
    expect(both.begin().keyId).not.toBe(of.refresh.keyId)
    const after = new RefreshTokens({ secrets: [next], random })
    expect(after.isGenuine(presented, of)).toBe(false)
    expect(after.format(of.handle, of.refresh, 4)).toBe(null)
  })

  it('is needed', () => {
    expect(() => new RefreshTokens({ secrets: [], random })).toThrow(RangeError)
  })
})
