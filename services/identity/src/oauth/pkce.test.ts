import { expect, it } from 'vitest'
import { isChallenge, proves } from './pkce.ts'

// RFC 7636 appendix B.
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'

it('takes the verifier the challenge was made from and no other', () => {
  expect(proves(VERIFIER, CHALLENGE)).toBe(true)
  expect(proves(CHALLENGE, CHALLENGE)).toBe(false)
  expect(proves(VERIFIER.slice(1), CHALLENGE)).toBe(false)
  expect(proves(`${VERIFIER}=`, CHALLENGE)).toBe(false)
  expect(proves('', CHALLENGE)).toBe(false)
})

it('takes 32 bytes in their one spelling for a challenge', () => {
  expect(isChallenge(CHALLENGE)).toBe(true)
  // The last character has two bits that stand for nothing.
  for (const text of ['', CHALLENGE.slice(1), `${CHALLENGE.slice(0, -1)}N`, `${CHALLENGE}=`, 'plain'.repeat(9)])
    expect(isChallenge(text)).toBe(false)
})
