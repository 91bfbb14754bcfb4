import { createPrivateKey, sign } from 'node:crypto'
import { minutes } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { generateTokenKey, LocalKeys } from '@countersign/tokens'
import { expect, it } from 'vitest'
import { OwnJwts } from './own-jwts.ts'

it('refuses what is signed by our key and does not name it: nothing would end it with that key', async () => {
  const clock = new FakeClock()
  const { kid, publicJwk, privateJwk } = await generateTokenKey('ES256')
  const jwts = new OwnJwts({
    keys: { local: new LocalKeys({ keys: [publicJwk] }), learn: async () => false },
    issuer: () => 'https://id.example',
    audience: null,
    ...{ typ: 'at+jwt', lifeMs: minutes(5), requiredClaims: [], clock },
  })
  const now = Math.floor(clock.now() / 1000)
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { iss: 'https://id.example', sub: 'u_1', aud: 'api', iat: now, exp: now + 60 }
  const token = (header: object): string => {
    const input = `${part({ alg: 'ES256', typ: 'at+jwt', ...header })}.${part(claims)}`
    const key = createPrivateKey({ key: { ...privateJwk }, format: 'jwk' })
    return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  expect(await jwts.verify(token({ kid }))).toMatchObject({ ok: true, keyId: kid })
  expect(await jwts.verify(token({}))).toEqual({ ok: false, code: 'token_key_unknown' })
})
