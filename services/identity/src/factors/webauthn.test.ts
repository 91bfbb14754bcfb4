import { createHash, randomBytes } from 'node:crypto'
import { minutes } from '@countersign/kernel'
import type { WebAuthnCredential } from '@countersign/session-store'
import { verifyRegistrationResponse } from '@simplewebauthn/server'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { SoftwareAuthenticator, type Twist } from './authenticator-testing.ts'
import { assertionResponse, enrolmentResponse, WebAuthn } from './webauthn.ts'

vi.mock('@simplewebauthn/server', { spy: true })

const ORIGIN = 'https://id.example.com'
const PARTY = { id: 'id.example.com', name: 'Countersign', origins: [ORIGIN] }
const INVALID = { ok: false, why: 'invalid' }
const USER = createHash('sha256').update('bob').digest()

let webauthn: WebAuthn
let authenticator: SoftwareAuthenticator

beforeEach(() => {
  webauthn = new WebAuthn(PARTY)
  authenticator = new SoftwareAuthenticator({ origin: ORIGIN, rpId: PARTY.id })
})

describe('enrolment', () => {
  test('asks for no attestation, for a key known to be the person’s, and for no authenticator twice', async () => {
    const challenge = randomBytes(32)
    const existing = [{ id: 'AAAA', transports: ['usb', 'telepathy'] }]
    const options = await webauthn.enrolment({ ...asked(challenge), existing })
    expect(options).toMatchObject({
      rp: { id: PARTY.id, name: 'Countersign' },
      user: { id: USER.toString('base64url'), name: 'bob@example.com' },
      challenge: challenge.toString('base64url'),
      attestation: 'none',
      timeout: 300_000,
      excludeCredentials: [{ id: 'AAAA', transports: ['usb'] }],
      authenticatorSelection: { userVerification: 'preferred' },
    })
    expect(options.pubKeyCredParams.map(({ alg }) => alg)).toEqual([-8, -7, -257])
  })

  test('gives what later answers are judged by', async () => {
    expect(await enrol()).toEqual({
      id: authenticator.credentialId,
      publicKey: expect.any(Buffer),
      counter: 0,
      transports: ['usb'],
      verifiesUser: true,
      backupEligible: false,
    })
    expect(await enrol({ verified: false, copied: true })).toMatchObject({ verifiesUser: false, backupEligible: true })
  })

  test.each<[string, Twist]>([
    ['another challenge', { challenge: randomBytes(32).toString('base64url') }],
    ['another origin', { origin: 'https://id.example.com.evil.test' }],
    ['the origin over plain HTTP', { origin: 'http://id.example.com' }],
    ['another relying party', { rpId: 'evil.test' }],
    ['an assertion’s type', { type: 'webauthn.get' }],
    ['a frame of another site', { crossOrigin: true }],
    ['nobody present', { present: false }],
    ['a statement where there is none', { statement: new Map([['x', 1]]) }],
    ['a format never heard of', { format: 'mine' }],
  ])('refuses %s', async (_what, twist) => {
    expect(await enrol(twist)).toBeNull()
  })

  test('never looks at certificates of whoever sends them', async () => {
    vi.mocked(verifyRegistrationResponse).mockClear()
    for (const format of ['packed', 'fido-u2f', 'android-key', 'android-safetynet', 'apple', 'tpm'])
      expect(await enrol({ format, statement: new Map([['x5c', [new Uint8Array(3)]]]) })).toBeNull()
    expect(verifyRegistrationResponse).not.toHaveBeenCalled()
  })

  test('CVE-2026-8830: refuses a key of an algorithm that was not asked for, whatever the browser was made to ask', async () => {
    for (const algorithm of [-35, -36, -39, -65535, -48]) expect(await enrol({ algorithm })).toBeNull()
  })

  test('refuses an id that is not the key’s own', async () => {
    const challenge = randomBytes(32)
    const options = await webauthn.enrolment(asked(challenge))
    const response = { ...authenticator.create(options), id: 'AAAA', rawId: 'AAAA' }
    expect(await webauthn.enrolled(response, challenge)).toBeNull()
  })
})

describe('step-up', () => {
  test('asks the person’s own passkeys, and for a verified person when only that will do', async () => {
    const passkey = await enrolled()
    const challenge = randomBytes(32)
    const existing = [passkey]
    const options = await webauthn.assertion({ challenge, existing, verified: true, timeoutMs: minutes(5) })
    expect(options).toMatchObject({
      rpId: PARTY.id,
      challenge: challenge.toString('base64url'),
      allowCredentials: [{ id: passkey.id, transports: ['usb'] }],
      userVerification: 'required',
    })
    const other = await webauthn.assertion({ challenge, existing, verified: false, timeoutMs: minutes(5) })
    expect(other.userVerification).toBe('preferred')
  })

  test('tells whether the person was verified or merely there', async () => {
    const passkey = await enrolled()
    expect(await assert(passkey, { verified: true })).toEqual({ ok: true, counter: 1, userVerified: true })
    expect(await assert(passkey, { verified: false })).toEqual({ ok: true, counter: 2, userVerified: false })
  })

  test.each<[string, Twist]>([
    ['another challenge', { challenge: randomBytes(32).toString('base64url') }],
    ['another origin', { origin: 'https://evil.test' }],
    ['another relying party', { rpId: 'evil.test' }],
    ['an enrolment’s type', { type: 'webauthn.create' }],
    ['a frame of another site', { crossOrigin: true }],
    ['nobody present', { present: false }],
    ['another key', { forged: true }],
    ['another person’s handle', { userHandle: createHash('sha256').update('eve').digest('base64url') }],
    ['a key that can be copied, which it could not', { copied: true }],
  ])('refuses %s', async (_what, twist) => {
    const passkey = { ...(await enrolled()), counter: 7 }
    expect(await assert(passkey, { counter: 8, ...twist })).toEqual(INVALID)
  })

  test('tells a counter that stands, went back or began anew, but only of a genuine answer', async () => {
    const passkey = { ...(await enrolled()), counter: 7 }
    for (const counter of [7, 6, 0]) {
      expect(await assert(passkey, { counter })).toEqual({ ok: false, why: 'counter_behind' })
      expect(await assert(passkey, { counter, forged: true })).toEqual(INVALID)
    }
  })

  test('takes a counter that is always 0, and no handle where the authenticator keeps none', async () => {
    const passkey = await enrolled()
    expect(await assert(passkey, { counter: 0, userHandle: null })).toMatchObject({ counter: 0 })
  })

  test('refuses who was merely there when a verified person is needed', async () => {
    const passkey = await enrolled()
    expect(await assert(passkey, { verified: false }, true)).toEqual(INVALID)
    expect(await assert(passkey, { verified: true }, true)).toMatchObject({ ok: true })
  })

  test('refuses the answer of another passkey, whatever id it is sent under', async () => {
    const passkey = await enrolled()
    const other = new SoftwareAuthenticator({ origin: ORIGIN, rpId: PARTY.id })
    const challenge = randomBytes(32)
    const expected = { challenge, passkey, userHandle: USER, verified: false }
    const answer = other.get({ challenge: challenge.toString('base64url') }, { userHandle: null })
    expect(await webauthn.asserted(answer, expected)).toEqual(INVALID)
    const { id } = passkey
    expect(await webauthn.asserted({ ...answer, id, rawId: id }, expected)).toEqual(INVALID)
    const own = authenticator.get({ challenge: challenge.toString('base64url') })
    const renamed = { ...own, id: other.credentialId, rawId: other.credentialId }
    expect(await webauthn.asserted(renamed, expected)).toEqual(INVALID)
    expect(await webauthn.asserted(own, expected)).toMatchObject({ ok: true })
  })

  test('refuses what has any bit flipped', async () => {
    const passkey = await enrolled()
    const challenge = randomBytes(32)
    const response = authenticator.get({ challenge: challenge.toString('base64url') })
    const expected = { challenge, passkey, userHandle: USER, verified: false }
    expect(await webauthn.asserted(response, expected)).toMatchObject({ ok: true })
    for (const member of ['authenticatorData', 'clientDataJSON', 'signature'] as const) {
      const bytes = Buffer.from(response.response[member], 'base64url')
      // How long the numbers of a signature say they are is read leniently: of these, the second number alone.
      for (let i = member === 'signature' ? bytes.length - 31 : 0; i < bytes.length; i++) {
        const flipped = Buffer.from(bytes)
        flipped[i] = (flipped[i] ?? 0) ^ (1 << (i % 8))
        const twisted = { ...response, response: { ...response.response, [member]: flipped.toString('base64url') } }
        expect(await webauthn.asserted(twisted, expected), `${member} ${i}`).toEqual(INVALID)
      }
    }
  })
})

test('what is no response is refused before it is read', () => {
  const made = authenticator.create({ challenge: 'AAAA', user: { id: 'AAAA' } })
  const shown = authenticator.get({ challenge: 'AAAA' })
  expect(enrolmentResponse.parse(made)).toEqual(made)
  expect(assertionResponse.parse(shown)).toEqual(shown)
  for (const body of [null, {}, [], 'x', { ...made, id: 'not base64url!' }, { ...made, type: 'password' }])
    expect(enrolmentResponse.safeParse(body).success).toBe(false)
  const long = { ...shown, response: { ...shown.response, signature: 'A'.repeat(16_385) } }
  for (const body of [null, {}, [], made, long]) expect(assertionResponse.safeParse(body).success).toBe(false)
  const strange = { ...made, response: { ...made.response, transports: ['telepathy'] } }
  expect(enrolmentResponse.parse(strange).response.transports).toEqual([])
})

function asked(challenge: Buffer): Parameters<WebAuthn['enrolment']>[0] {
  return { userHandle: USER, email: 'bob@example.com', challenge, existing: [], timeoutMs: minutes(5) }
}

async function enrol(twist: Twist = {}): Promise<WebAuthnCredential | null> {
  const challenge = randomBytes(32)
  const options = await webauthn.enrolment(asked(challenge))
  return webauthn.enrolled(authenticator.create(options, twist), challenge)
}

async function enrolled(): Promise<WebAuthnCredential> {
  const passkey = await enrol()
  if (passkey === null) throw new Error('not enrolled')
  return passkey
}

async function assert(
  passkey: WebAuthnCredential,
  twist: Twist,
  verified = false,
): Promise<Awaited<ReturnType<WebAuthn['asserted']>>> {
  const challenge = randomBytes(32)
  const response = authenticator.get({ challenge: challenge.toString('base64url') }, twist)
  return webauthn.asserted(response, { challenge, passkey, userHandle: USER, verified })
}
