import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { FakeClock } from '@countersign/kernel/testing'
import { exportJWK, SignJWT } from 'jose'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { ALGORITHMS, type Algorithm } from './algorithms.ts'
import { createLocalVerifier, LocalKeys } from './local-verifier.ts'
import { createVerifier, type VerifierOptions } from './verifier.ts'

const ISSUER = 'https://issuer.example'
const clock = new FakeClock()
const now = Math.floor(clock.now() / 1000)

const pairs = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  small: generateKeyPairSync('rsa', { modulusLength: 1024 }),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ec384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ed: generateKeyPairSync('ed25519'),
}
type PairName = keyof typeof pairs
let jwks: Record<PairName, Record<string, unknown>>

beforeAll(async () => {
  const entries = await Promise.all(
    Object.entries(pairs).map(
      async ([name, pair]) => [name, { ...(await exportJWK(pair.publicKey)), kid: name }] as const,
    ),
  )
  jwks = Object.fromEntries(entries) as unknown as typeof jwks
})

const PINNED: Omit<VerifierOptions, 'keys' | 'algorithms'> = {
  issuer: ISSUER,
  audience: 'api',
  typ: 'at+jwt',
  maxAgeS: 600,
  clock,
}
// Tokens of other kinds that the same issuer may sign.
const OTHER_TYPES = [
  'JWT',
  'id_token',
  'logout+jwt',
  'secevent+jwt',
  'txntoken+jwt',
  'dpop+jwt',
  'oauth-authz-req+jwt',
  'token-introspection+jwt',
  'statuslist+jwt',
]
const CLAIMS = { iss: ISSUER, sub: 'u_1', aud: 'api', iat: now, exp: now + 300 }

type Rules = Omit<VerifierOptions, 'keys'>
interface Judge {
  verify(
    token: string,
  ): ReturnType<ReturnType<typeof createVerifier>['verify'] | ReturnType<typeof createLocalVerifier>['verify']>
}
// Whatever holds of others' tokens holds of our own.
const JUDGES: [string, (rules: Rules, ...keys: object[]) => Judge][] = [
  ['createVerifier', (rules, ...keys) => createVerifier({ ...rules, keys: { keys } })],
  ['createLocalVerifier', (rules, ...keys) => createLocalVerifier({ ...rules, keys: new LocalKeys({ keys }) })],
]

async function signed(claims: object, header: object = {}, key: KeyObject = pairs.ec.privateKey): Promise<string> {
  return new SignJWT(claims as never)
    .setProtectedHeader({ alg: 'ES256', kid: 'ec', typ: 'at+jwt', ...header } as never)
    .sign(key)
}

/** A token put together by hand, so that any header can be tried. */
function forged(header: object, signature: (input: string) => Buffer, claims: object = CLAIMS): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part({ typ: 'at+jwt', ...header })}.${part(claims)}`
  return `${input}.${signature(input).toString('base64url')}`
}

const code = async (v: Judge, token: string) => {
  const result = await v.verify(token)
  return result.ok ? 'ok' : result.code
}

describe.each(JUDGES)('%s', (_name, make) => {
  const verifier = (algorithms: readonly Algorithm[], ...keys: object[]) => make({ ...PINNED, algorithms }, ...keys)

  test('a token within the pinned rules is accepted with its claims', async () => {
    const result = await verifier(['ES256'], jwks.ec).verify(
      await signed({ ...CLAIMS, aud: ['other', 'api'], client_id: 'c' }),
    )
    expect(result).toMatchObject({
      ok: true,
      claims: {
        iss: ISSUER,
        sub: 'u_1',
        aud: ['other', 'api'],
        issuedAt: now * 1000,
        expiresAt: (now + 300) * 1000,
        all: { client_id: 'c' },
      },
    })
  })

  describe('CVE-2022-23539 CVE-2022-23540 CVE-2022-23541 CVE-2026-22817 CVE-2026-22818: only the pinned cell of algorithm and key type passes', () => {
    const signers: [string, PairName | 'none' | 'secret'][] = [
      ['RS256', 'rsa'],
      ['RS384', 'rsa'],
      ['RS512', 'rsa'],
      ['PS256', 'rsa'],
      ['PS384', 'rsa'],
      ['PS512', 'rsa'],
      ['ES256', 'ec'],
      ['ES384', 'ec384'],
      ['EdDSA', 'ed'],
      ['Ed25519', 'ed'],
      ['none', 'none'],
      ['HS256', 'secret'],
      ['HS384', 'secret'],
      ['HS512', 'secret'],
    ]
    const home: Record<Algorithm, PairName> = { RS256: 'rsa', PS256: 'rsa', ES256: 'ec', EdDSA: 'ed', Ed25519: 'ed' }

    async function tokenBy(
      alg: string,
      by: PairName | 'none' | 'secret',
      kid: string,
      material: KeyObject,
    ): Promise<string> {
      if (by === 'none') return forged({ alg: 'none', kid }, () => Buffer.from('x'))
      if (by === 'secret') {
        const secret = material.export({ type: 'spki', format: 'pem' })
        return forged({ alg, kid }, (input) =>
          createHmac(`sha${alg.slice(2)}`, secret)
            .update(input)
            .digest(),
        )
      }
      return signed(CLAIMS, { alg, kid }, pairs[by].privateKey)
    }

    test.each(ALGORITHMS)('pinned %s, with and without alg in the key', async (pinned) => {
      for (const withAlg of [true, false]) {
        for (const published of Object.keys(pairs) as PairName[]) {
          const subject = verifier([pinned], { ...jwks[published], ...(withAlg ? { alg: pinned } : {}) })
          for (const [alg, by] of signers) {
            const verdict = await code(subject, await tokenBy(alg, by, published, pairs[published].publicKey))
            const passes = alg === pinned && by === published && published === home[pinned]
            expect(`${published} ${alg} ${withAlg} ${verdict}`).toBe(
              `${published} ${alg} ${withAlg} ${passes ? 'ok' : verdict === 'ok' ? 'refused' : verdict}`,
            )
          }
        }
      }
    })

    test('a key published for another algorithm or use verifies nothing', async () => {
      const token = await signed(CLAIMS, { alg: 'RS256', kid: 'rsa' }, pairs.rsa.privateKey)
      for (const extra of [{ alg: 'PS256' }, { use: 'enc' }, { key_ops: ['encrypt'] }, { kid: 'other' }]) {
        expect(await code(verifier(['RS256', 'PS256'], { ...jwks.rsa, ...extra }), token)).toBe('token_key_unknown')
      }
      expect(await code(verifier(['RS256'], jwks.rsa), token)).toBe('ok')
    })

    test('an RSA key below 2048 bits, a private key and a secret are no keys', async () => {
      const weak = await signed(CLAIMS, { alg: 'RS256', kid: 'rsa' }, pairs.rsa.privateKey)
      expect(await code(verifier(['RS256'], { ...jwks.small, kid: 'rsa' }), weak)).toBe('token_key_unknown')
      const token = await signed(CLAIMS)
      expect(await code(verifier(['ES256'], { ...jwks.ec, d: 'AAAA' }), token)).toBe('token_key_unknown')
      expect(await code(verifier(['ES256'], { kty: 'oct', k: 'AAAA', kid: 'ec' }), token)).toBe('token_key_unknown')
    })

    test('CVE-2023-48223 CVE-2026-34950: the public key as an HMAC secret is refused, however its PEM is dressed', async () => {
      const subject = verifier(['RS256'], jwks.rsa)
      const pem = pairs.rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string
      for (const dressed of [
        pem,
        ` ${pem}`,
        `\n${pem}`,
        `\t${pem}`,
        `\uFEFF${pem}`,
        pem.replaceAll('\n', '\r\n'),
        pem.trim(),
        `${pem}\0`,
      ]) {
        for (const hash of ['256', '384', '512']) {
          const token = forged({ alg: `HS${hash}`, kid: 'rsa' }, (input) =>
            createHmac(`sha${hash}`, dressed).update(input).digest(),
          )
          expect(await code(subject, token)).toBe('token_algorithm_refused')
        }
      }
    })

    test('CVE-2022-23540: a key named none, and an empty signature, verify nothing', async () => {
      for (const alg of ['none', 'None', 'NONE', '', undefined]) {
        const token = forged({ alg, kid: 'ec' }, () => Buffer.alloc(0))
        for (const spelled of [token, `${token}AA`, token.replace(/\.$/, '')])
          expect(await code(verifier(['ES256'], jwks.ec), spelled)).toMatch(/^token_(algorithm_refused|malformed)$/)
      }
      // The signature of ECDSA that is all zero (CVE-2022-21449), and one of another length.
      for (const bytes of [Buffer.alloc(64), Buffer.alloc(63), Buffer.alloc(65), Buffer.alloc(1)])
        expect(
          await code(
            verifier(['ES256'], jwks.ec),
            forged({ alg: 'ES256', kid: 'ec' }, () => bytes),
          ),
        ).toBe('token_signature_invalid')
    })

    test('two keys that both fit are no key', async () => {
      const token = await signed(CLAIMS, { kid: undefined })
      expect(await code(verifier(['ES256'], jwks.ec), token)).toBe('ok')
      const other = await exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
      expect(await code(verifier(['ES256'], jwks.ec, other), token)).toBe('token_key_unknown')
    })
  })

  describe('GHSA-869p-cjfg-cm3x CVE-2018-0114: headers that would steer verification', () => {
    afterEach(() => vi.restoreAllMocks())

    test.each(['crit', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'b64', 'zip', 'enc', 'cty'])(
      '%s is refused, and nothing is fetched',
      async (name) => {
        const fetched = vi.spyOn(globalThis, 'fetch')
        const values: Record<string, unknown> = {
          crit: ['exp'],
          jwk: jwks.ec,
          jku: 'http://127.0.0.1:9/',
          x5u: 'http://127.0.0.1:9/',
        }
        const token = forged({ alg: 'ES256', kid: 'ec', [name]: values[name] ?? 'x' }, () => Buffer.alloc(64))
        expect(await code(verifier(['ES256'], jwks.ec), token)).toBe('token_header_refused')
        expect(fetched).not.toHaveBeenCalled()
      },
    )

    test('CVE-2026-35042: an unknown crit extension is refused even when signed', async () => {
      const key = pairs.ec.privateKey
      const token = forged({ alg: 'ES256', kid: 'ec', crit: ['x'], x: 1 }, (input) =>
        sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }),
      )
      expect(await code(verifier(['ES256'], jwks.ec), token)).toBe('token_header_refused')
      // The same token without the extension passes, so it is the extension that was refused.
      const plain = forged({ alg: 'ES256', kid: 'ec' }, (input) =>
        sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }),
      )
      expect(await code(verifier(['ES256'], jwks.ec), plain)).toBe('ok')
    })

    test.each([
      ['a path', '../../etc/passwd'],
      ['an address', 'http://169.254.169.254/'],
      ['a NUL', 'ec\0'],
      ['a newline', 'ec\nx'],
      ['nothing', ''],
      ['__proto__', '__proto__'],
      ['constructor', 'constructor'],
      ['a number', 7],
      ['null', null],
      ['a list', ['ec']],
      ['an object', { kid: 'ec' }],
      ['4 KB', 'k'.repeat(4096)],
      ['64 KB', 'k'.repeat(65_536)],
    ])('a kid that is %s finds no key', async (_name, kid) => {
      const token = forged({ alg: 'ES256', kid }, () => Buffer.alloc(64))
      expect(await code(verifier(['ES256'], jwks.ec), token)).toMatch(/^token_(key_unknown|header_refused|oversize)$/)
    })

    test('a kid that is no plain text is refused even if a key is published under it', async () => {
      for (const kid of ['ec\0', 'ec\n', '', 7, null, ['ec'], 'k'.repeat(257)]) {
        const token = await signed(CLAIMS, { kid })
        expect(await code(verifier(['ES256'], { ...jwks.ec, kid }), token)).toBe('token_header_refused')
      }
    })

    test('CVE-2022-36083 CVE-2024-28176: encrypted tokens are refused unread, whatever they would cost', async () => {
      const part = (value: object | string) =>
        Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
      const header = {
        alg: 'PBES2-HS256+A128KW',
        enc: 'A128CBC-HS256',
        p2c: 2 ** 31,
        p2s: 'AAAA',
        zip: 'DEF',
        typ: 'at+jwt',
      }
      const five = [header, 'key', 'iv', 'ciphertext', 'tag'].map(part).join('.')
      expect(await code(verifier(['ES256'], jwks.ec), five)).toBe('token_malformed')
      expect(
        await code(
          verifier(['ES256'], jwks.ec),
          forged(header, () => Buffer.alloc(64)),
        ),
      ).toBe('token_header_refused')
      const { enc: _, zip: __, ...keyed } = header
      expect(
        await code(
          verifier(['ES256'], jwks.ec),
          forged(keyed, () => Buffer.alloc(64)),
        ),
      ).toBe('token_algorithm_refused')
    })

    test('any other typ is refused', async () => {
      for (const typ of [...OTHER_TYPES, undefined, 'at+jwt ', 'xat+jwt', '', 7, null, ['at+jwt']]) {
        expect(
          await code(
            verifier(['ES256'], jwks.ec),
            forged({ alg: 'ES256', kid: 'ec', typ }, () => Buffer.alloc(64)),
          ),
        ).toBe('token_type_mismatch')
      }
      expect(await code(verifier(['ES256'], jwks.ec), await signed(CLAIMS, { typ: 'application/AT+JWT' }))).toBe('ok')
    })
  })

  describe('claims', () => {
    const names = Object.keys(CLAIMS) as (keyof typeof CLAIMS)[]

    test('GHSA-wxg7-w2v3-w38g: each is needed, singly and in pairs', async () => {
      for (const a of names) {
        for (const b of names) {
          const claims: Record<string, unknown> = { ...CLAIMS }
          delete claims[a]
          delete claims[b]
          expect(await code(verifier(['ES256'], jwks.ec), await signed(claims))).toBe('token_claim_missing')
        }
      }
    })

    test.each([
      ['iss of another type', { iss: 7 }, 'token_claim_missing'],
      ['empty sub', { sub: '' }, 'token_claim_missing'],
      ['sub of another type', { sub: ['u_1'] }, 'token_claim_missing'],
      ['exp as text', { exp: String(now + 300) }, 'token_claim_missing'],
      ['exp beyond numbers', { exp: 1e30 }, 'token_claim_missing'],
      ['iat as text', { iat: String(now) }, 'token_claim_missing'],
      ['nbf as text', { nbf: '0' }, 'token_claim_missing'],
      ['empty aud', { aud: [] }, 'token_claim_missing'],
      ['aud with a number', { aud: ['api', 7] }, 'token_claim_missing'],
      ['other issuer', { iss: `${ISSUER}/` }, 'token_issuer_mismatch'],
      ['other audience', { aud: 'apii' }, 'token_audience_mismatch'],
      ['expired', { iat: now - 100, exp: now - 6 }, 'token_expired'],
      ['future iat', { iat: now + 6 }, 'token_not_yet_valid'],
      ['iat in milliseconds', { iat: clock.now(), exp: clock.now() + 300 }, 'token_claim_missing'],
      ['future nbf', { nbf: now + 6 }, 'token_not_yet_valid'],
      ['too old by iat', { iat: now - 606 }, 'token_too_old'],
      ['within the skew', { iat: now + 5, exp: now - 4 }, 'ok'],
    ])('%s', async (_name, change, expected) => {
      expect(await code(verifier(['ES256'], jwks.ec), await signed({ ...CLAIMS, ...change }))).toBe(expected)
    })

    test('times are whole milliseconds, whatever fraction the issuer gives', async () => {
      const result = await verifier(['ES256'], jwks.ec).verify(
        await signed({ ...CLAIMS, iat: now - 0.0004, exp: now + 299.9996 }),
      )
      expect(result).toMatchObject({ claims: { issuedAt: now * 1000 - 1, expiresAt: now * 1000 + 299_999 } })
    })

    test('further claims can be required', async () => {
      const subject = make({ ...PINNED, algorithms: ['ES256'], requiredClaims: ['client_id'] }, jwks.ec)
      expect(await code(subject, await signed(CLAIMS))).toBe('token_claim_missing')
      expect(await code(subject, await signed({ ...CLAIMS, client_id: 'c' }))).toBe('ok')
    })
  })

  describe('bytes', () => {
    test('CVE-2026-27840: a token cut at any byte is refused', async () => {
      const token = await signed(CLAIMS)
      for (let i = 0; i < token.length; i++)
        expect(await code(verifier(['ES256'], jwks.ec), token.slice(0, i))).not.toBe('ok')
    })

    test('a token with any one character changed is refused', async () => {
      const subject = verifier(['ES256'], jwks.ec)
      const token = await signed(CLAIMS)
      for (let i = 0; i < token.length; i++) {
        const other = token[i] === 'A' ? 'B' : 'A'
        expect(await code(subject, `${token.slice(0, i)}${other}${token.slice(i + 1)}`)).not.toBe('ok')
      }
    })

    test('a signature spelled another way is refused', async () => {
      const token = await signed(CLAIMS)
      const last = token.at(-1) as string
      // 64 bytes leave four bits of the last character unused.
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      const respelled = token.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1]
      expect(Buffer.from(respelled.split('.')[2] as string, 'base64url')).toEqual(
        Buffer.from(token.split('.')[2] as string, 'base64url'),
      )
      expect(await code(verifier(['ES256'], jwks.ec), respelled)).toBe('token_malformed')
    })

    test.each(['', '.', '..', 'a.b', 'a.b.c.d', 'a.b.c.d.e', ' a.b.c', 'e30.e30.', '\u0000', 'W10.W10.W10'])(
      '%j is malformed',
      async (token) => {
        expect(await code(verifier(['ES256'], jwks.ec), token)).toBe('token_malformed')
      },
    )

    test('a token over 8192 characters is refused before it is read', async () => {
      expect(await code(verifier(['ES256'], jwks.ec), `${'A'.repeat(8190)}.A.A`)).toBe('token_oversize')
    })
  })
})

describe('composition', () => {
  test.each([
    ['no algorithm', { algorithms: [] }],
    ['a symmetric algorithm', { algorithms: ['HS256'] }],
    ['none', { algorithms: ['none'] }],
    ['no issuer', { issuer: '' }],
    ['no audience', { audience: '' }],
    ['no typ', { typ: '' }],
    ['no age', { maxAgeS: 0 }],
    ['age without end', { maxAgeS: Number.POSITIVE_INFINITY }],
    ['a day of skew', { skewS: 86_400 }],
    ['keys over http', { keys: 'http://issuer.example/jwks' }],
    ['a password in the address', { keys: 'https://a:b@issuer.example/' }],
    ['no key set', { keys: {} }],
  ])('%s is refused', (_name, change) => {
    const options = { ...PINNED, algorithms: ['ES256'], keys: { keys: [] }, ...change } as unknown as VerifierOptions
    expect(() => createVerifier(options)).toThrow(expect.objectContaining({ code: 'TOKENS_OPTIONS_INVALID' }))
  })
})
