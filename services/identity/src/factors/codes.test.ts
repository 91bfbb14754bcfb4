import { createHmac } from 'node:crypto'
import { systemRandom } from '@countersign/kernel'
import type { Factor } from '@countersign/session-store'
import { describe, expect, it } from 'vitest'
import { RecoveryCodes } from './recovery-codes.ts'
import { ACRS, canReach, leastOf, reaches, strengthOf } from './strength.ts'
import { codeOf, keyUri, parseSecret, TotpSecrets } from './totp.ts'

const random = systemRandom
const [first, second] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const NOW = 1_800_000_000_000
// RFC 6238 appendix B.
const RFC_SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'

/** RFC 6238 from its text, sharing no code with the library. */
function oracle(secret: Buffer, now: number): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(now / 30_000)))
  const mac = createHmac('sha1', secret).update(counter).digest()
  const at = (mac[19] as number) & 0xf
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

describe('one-time codes', () => {
  const totp = new TotpSecrets({ secrets: [first], random })

  it('are those of RFC 6238', () => {
    for (const [seconds, code] of [
      [59, '287082'],
      [1111111109, '081804'],
      [20000000000, '353130'],
    ] as const)
      expect(codeOf(RFC_SECRET, seconds * 1000)).toBe(code)
    const { sealed, text } = totp.make('sub')
    for (let i = -5; i <= 5; i++) {
      const judged = totp.judge(sealed, 'sub', oracle(parseSecret(text) as Buffer, NOW + i * 30_000), NOW)
      expect(judged?.step ?? null).toBe(Math.abs(i) <= 1 ? NOW / 30_000 + i : null)
    }
    expect(keyUri(text, { issuer: 'id.example', email: 'ann@acme.test' })).toContain(`secret=${text}`)
  })

  it('open for their person alone, and under a secret on its way out are sealed anew', () => {
    const { sealed, text } = totp.make('sub')
    const code = codeOf(text, NOW)
    expect(sealed.includes(parseSecret(text) as Buffer)).toBe(false)
    expect(totp.judge(sealed, 'other', code, NOW)).toBeNull()
    expect(totp.judge(sealed, 'sub', code, NOW)?.resealed).toBeNull()
    const next = new TotpSecrets({ secrets: [second, first], random })
    const resealed = next.judge(sealed, 'sub', code, NOW)?.resealed as Buffer
    const alone = new TotpSecrets({ secrets: [second], random })
    expect(alone.judge(sealed, 'sub', code, NOW)).toBeNull()
    expect(alone.judge(resealed, 'sub', code, NOW)).toMatchObject({ resealed: null })
  })

  it('take no secret that is short or none', () => {
    for (const text of ['', 'GEZDGNBVGY3TQOJQ', 'gezdgnbvgy3tqojqgezdgnbvgy3tqojq', '10'.repeat(16)])
      expect(parseSecret(text)).toBeNull()
    expect(parseSecret(RFC_SECRET)?.toString()).toBe('12345678901234567890')
  })
})

describe('recovery codes', () => {
  it('are known again however typed, by their person alone, under the secret before too', () => {
    const { shown, kept } = new RecoveryCodes({ secrets: [first], random }).make('sub')
    const codes = new RecoveryCodes({ secrets: [second, first], random })
    expect(new Set(kept).size).toBe(10)
    for (const [i, code] of shown.entries()) {
      expect(code).toMatch(/^[0-9a-hj-km-np-tv-z]{4}(-[0-9a-hj-km-np-tv-z]{4}){2}$/)
      const typed = code.replaceAll('0', 'O').replaceAll('1', 'l').replaceAll('-', ' ').toUpperCase()
      for (const one of [code, typed]) expect(codes.find(kept, 'sub', one)).toBe(kept[i])
      expect(codes.find(kept, 'other', code)).toBeNull()
      expect(kept.join()).not.toContain(code.replaceAll('-', ''))
    }
    expect(new RecoveryCodes({ secrets: [second], random }).find(kept, 'sub', shown[0] ?? '')).toBeNull()
  })
})

describe('strength', () => {
  it('rises, and more than was asked for will do', () => {
    for (const [i, has] of ACRS.entries())
      for (const [j, asked] of ACRS.entries()) expect(reaches(has, asked)).toBe(i >= j)
    expect([reaches(null, 'pwd'), reaches(null, 'mfa'), reaches('gold', 'pwd')]).toEqual([true, false, false])
    expect([leastOf(['phr', 'mfa']), leastOf(['gold', 'phr']), leastOf(['gold']), leastOf([])]).toEqual([
      ...['mfa', 'phr', null, null],
    ])
  })

  it('is that of the kind, and of a key that knew its person', () => {
    expect(strengthOf('totp', true).acr).toBe('mfa')
    expect(strengthOf('recovery', false).amr).toEqual(['pwd', 'otp', 'mfa'])
    expect(strengthOf('webauthn', false)).toEqual({ acr: 'mfa', amr: ['pwd', 'pop', 'mfa'] })
    expect(strengthOf('webauthn', true)).toEqual({ acr: 'phr', amr: ['pwd', 'pop', 'user', 'mfa'] })
    const factor = (kind: Factor['kind'], more: object): Factor =>
      ({ kind, codes: null, webauthn: null, ...more }) as Factor
    expect(canReach(factor('totp', {}), 'phr')).toBe(false)
    expect(canReach(factor('recovery', { codes: [] }), 'mfa')).toBe(false)
    expect(canReach(factor('webauthn', { webauthn: { verifiesUser: false } }), 'phr')).toBe(false)
    expect(canReach(factor('webauthn', { webauthn: { verifiesUser: true } }), 'phr')).toBe(true)
  })
})
