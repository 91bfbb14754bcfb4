import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { inspect } from 'node:util'
import { FakeClock } from '@countersign/kernel/testing'
import fc from 'fast-check'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { SIGNING_ALGORITHMS, type SigningAlgorithm } from './algorithms.ts'
import { createLocalVerifier, LocalKeys } from './local-verifier.ts'
import { createSigner, type Signer } from './signer.ts'
import { generateTokenKey, keySetDocument, privateKeyOf, type TokenKeyPair, tokenKeyOf } from './token-key.ts'
import { createVerifier } from './verifier.ts'

const ISSUER = 'https://issuer.example'
const clock = new FakeClock()
const now = Math.floor(clock.now() / 1000)
const CLAIMS = { iss: ISSUER, sub: 'u_1', aud: 'api', iat: now, exp: now + 300, jti: 'tok_1' }

let pairs: Record<SigningAlgorithm, TokenKeyPair>
beforeAll(async () => {
  const made = await Promise.all(SIGNING_ALGORITHMS.map(async (alg) => [alg, await generateTokenKey(alg)] as const))
  pairs = Object.fromEntries(made) as typeof pairs
})

const signer = (alg: SigningAlgorithm): Signer => createSigner({ key: pairs[alg], typ: 'at+jwt' })
const rules = (alg: SigningAlgorithm) =>
  ({ issuer: ISSUER, audience: 'api', algorithms: [alg], typ: 'at+jwt', maxAgeS: 600, clock }) as const
const headerOf = (token: string): unknown => JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())

describe.each(SIGNING_ALGORITHMS)('%s', (alg) => {
  test('what is signed is verified by jose, by both verifiers, and by nobody with another key', async () => {
    const token = signer(alg).sign(CLAIMS)
    const document = keySetDocument([pairs[alg]])
    const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(document as never), {
      issuer: ISSUER,
      audience: 'api',
      typ: 'at+jwt',
      algorithms: [alg],
      currentDate: new Date(clock.now()),
    })
    expect(payload).toEqual(CLAIMS)
    expect(protectedHeader).toEqual({ alg, kid: pairs[alg].kid, typ: 'at+jwt' })
    const local = createLocalVerifier({ ...rules(alg), keys: new LocalKeys(document) })
    expect(local.verify(token)).toMatchObject({ ok: true, claims: { sub: 'u_1' } })
    expect(await createVerifier({ ...rules(alg), keys: document }).verify(token)).toEqual(local.verify(token))
    const other = { ...(await generateTokenKey(alg)), kid: pairs[alg].kid }
    const foreign = createLocalVerifier({ ...rules(alg), keys: new LocalKeys(keySetDocument([other])) })
    expect(foreign.verify(token)).toEqual({ ok: false, code: 'token_signature_invalid' })
  })

  test('any claims come back as they were, without members that are undefined', () => {
    const make = signer(alg)
    const local = createLocalVerifier({ ...rules(alg), keys: new LocalKeys(keySetDocument([pairs[alg]])) })
    const seed = 20_261_121
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'binary', maxLength: 8 }), fc.jsonValue(), { maxKeys: 5 }),
        (more) => {
          const claims = { ...more, ...CLAIMS, nothing: undefined }
          const result = local.verify(make.sign(claims))
          expect(result.ok && result.claims.all).toEqual(JSON.parse(JSON.stringify(claims)))
        },
      ),
      { seed, numRuns: alg === 'RS256' ? 30 : 150 },
    )
  })

  test('the document holds public members alone, whatever it is made from', () => {
    const members = { ES256: ['kty', 'crv', 'x', 'y'], EdDSA: ['kty', 'crv', 'x'], RS256: ['kty', 'n', 'e'] }[alg]
    const pair = pairs[alg]
    const careless = { ...pair, publicJwk: { ...pair.privateJwk, ...pair.publicJwk, note: 'internal' } }
    for (const document of [keySetDocument([pair]), keySetDocument([careless])]) {
      expect(document.keys.map((key) => Object.keys(key).sort())).toEqual([[...members, 'kid', 'alg', 'use'].sort()])
      expect(JSON.stringify(document)).not.toContain(pair.privateJwk.d)
    }
    expect(pair.publicJwk).toMatchObject({ kid: pair.kid, alg, use: 'sig' })
  })

  test('a pair is told again from its private half, public half and id with it', async () => {
    const pair = pairs[alg]
    expect(await tokenKeyOf(alg, { ...pair.privateJwk, kid: 'mine', use: 'enc' })).toEqual(pair)
    expect((await generateTokenKey(alg)).kid).not.toBe(pair.kid)
    expect(pair.kid).toMatch(/^[\w-]{43}$/)
  })

  test('a key of another kind, a public one and none at all are refused, and not quoted', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const weak = privateKey.export({ format: 'jwk' }) as Record<string, unknown>
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ format: 'jwk' })
    const others = SIGNING_ALGORITHMS.filter((other) => other !== alg).map((other) => pairs[other].privateJwk)
    for (const bad of [...others, pairs[alg].publicJwk, weak, p384 as Record<string, unknown>, {}, { d: 'canary' }]) {
      const refused = expect.objectContaining({ code: 'TOKENS_OPTIONS_INVALID' })
      expect(() => privateKeyOf(alg, bad)).toThrow(refused)
      const error = await tokenKeyOf(alg, bad).catch((thrown: unknown) => thrown)
      expect(error).toEqual(refused)
      expect(inspect(error, { depth: 9 })).not.toContain('canary')
    }
  })
})

test('ES256 signatures are r ‖ s, 64 bytes, also when r or s is short', () => {
  const make = signer('ES256')
  const key = createPublicKey({ key: { ...pairs.ES256.publicJwk }, format: 'jwk' })
  for (let i = 0; i < 600; i++) {
    const [head, body, tail = ''] = make.sign({ i }).split('.')
    const signature = Buffer.from(tail, 'base64url')
    expect(signature.length).toBe(64)
    expect(verify('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true)
  }
})

test('a signer has a kid and a typ, and claims cannot change its header', () => {
  for (const change of [{ kid: '' }, { typ: '' }]) {
    const options = { key: { ...pairs.ES256, ...change }, typ: 'at+jwt', ...change }
    expect(() => createSigner(options)).toThrow(expect.objectContaining({ code: 'TOKENS_OPTIONS_INVALID' }))
  }
  expect(headerOf(signer('ES256').sign({ ...CLAIMS, alg: 'none', typ: 'x', kid: 'y' }))).toEqual({
    alg: 'ES256',
    kid: pairs.ES256.kid,
    typ: 'at+jwt',
  })
})

test('keys in memory are replaced at once: new ones verify, old ones no longer', async () => {
  const keys = new LocalKeys(keySetDocument([pairs.ES256]))
  const verifier = createLocalVerifier({ ...rules('ES256'), keys })
  const next = await generateTokenKey('ES256')
  const [old, fresh] = [pairs.ES256, next].map((key) => createSigner({ key, typ: 'at+jwt' }).sign(CLAIMS)) as [
    string,
    string,
  ]
  expect(verifier.verify(fresh)).toEqual({ ok: false, code: 'token_key_unknown' })
  keys.replace(keySetDocument([pairs.ES256, next]))
  expect([verifier.verify(old).ok, verifier.verify(fresh).ok]).toEqual([true, true])
  keys.replace(keySetDocument([next]))
  expect(verifier.verify(old)).toEqual({ ok: false, code: 'token_key_unknown' })
  expect(() => keys.replace({} as never)).toThrow(expect.objectContaining({ code: 'TOKENS_OPTIONS_INVALID' }))
  expect(verifier.verify(fresh).ok).toBe(true)
})

test('an audience left to whoever asks is told, never guessed', () => {
  const keys = new LocalKeys(keySetDocument([pairs.ES256]))
  const open = createLocalVerifier({ ...rules('ES256'), audience: null, keys })
  const token = signer('ES256').sign({ ...CLAIMS, aud: ['a', 'b'] })
  expect(open.verify(token)).toMatchObject({ ok: true, claims: { aud: ['a', 'b'] } })
  expect(open.verify(signer('ES256').sign({ ...CLAIMS, aud: undefined }))).toEqual({
    ok: false,
    code: 'token_claim_missing',
  })
  expect(createLocalVerifier({ ...rules('ES256'), keys }).verify(token)).toEqual({
    ok: false,
    code: 'token_audience_mismatch',
  })
  expect(() => createLocalVerifier({ ...rules('ES256'), audience: '', keys })).toThrow(
    expect.objectContaining({ code: 'TOKENS_OPTIONS_INVALID' }),
  )
})
