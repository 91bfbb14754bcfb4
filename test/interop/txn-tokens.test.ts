/**
 * Txn-Tokens of both makers, read by a JWT library that shares no code with this repository, by the rules of
 * draft-ietf-oauth-transaction-tokens-10 alone; and had by an OAuth client that knows nothing of boundaries.
 */
import { createPublicKey } from 'node:crypto'
import { createVerifier, type VerifierOptions } from 'fast-jwt'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ChainSite, DOMAIN } from '../e2e/16-exchange-chain/chain-site.ts'
import { CLIENT_SECRET, ISSUER, TOKEN_EXCHANGE } from '../e2e/seed.ts'
import { login } from '../identity/people.ts'

const TYPES = 'urn:ietf:params:oauth:token-type:'
/** Required claims, type and audience by the draft; `iss` is optional there, and a boundary has none. */
const DRAFT: Partial<VerifierOptions> = {
  requiredClaims: ['iat', 'aud', 'exp', 'txn', 'sub', 'scope', 'req_wl'],
  allowedAud: DOMAIN,
  checkTyp: 'txntoken+jwt',
  maxAge: 300_000,
  cache: false,
}

/** Who made it, and how that one's are verified. */
type Maker = 'a boundary' | 'identity'

let site: ChainSite
const made = new Map<Maker, string>()
const verifiers = new Map<Maker, (more?: Partial<VerifierOptions>) => (token: string) => Record<string, unknown>>()

beforeAll(async () => {
  site = await ChainSite.start(null)
  const cookie = await login(site.identity.address ?? '', 'bob@example.com')
  await fetch(`${site.hop('gateway').address}/work`, { headers: { cookie } })
  const sealed = site.hop('gateway').sent[0]?.text ?? ''
  made.set('a boundary', sealed)
  made.set('identity', (await exchanged(sealed)).access_token)

  const spki = Buffer.concat([
    Buffer.from('302a300506032b6570032100', 'hex'),
    site.publicKeys.get('gateway') ?? Buffer.alloc(0),
  ])
  const ofBoundary = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  const jwks = (await (await fetch(`${site.identity.address}/jwks.json`)).json()) as { keys: { kid: string }[] }
  const kid = headerOf(made.get('identity')).kid
  const ofIdentity = createPublicKey({ key: jwks.keys.find((one) => one.kid === kid) as never, format: 'jwk' })
  const pem = (key: ReturnType<typeof createPublicKey>): string =>
    key.export({ format: 'pem', type: 'spki' }).toString()
  verifiers.set('a boundary', (more) =>
    createVerifier({ ...DRAFT, key: pem(ofBoundary), algorithms: ['EdDSA'], ...more }),
  )
  verifiers.set('identity', (more) =>
    createVerifier({ ...DRAFT, key: pem(ofIdentity), algorithms: ['ES256'], allowedIss: ISSUER, ...more }),
  )
}, 60_000)
afterAll(() => site?.close())

/** By oauth4webapi: what a boundary sealed for one of identity, as api. */
async function exchanged(subject_token: string): Promise<oauth.TokenEndpointResponse> {
  const server = { issuer: ISSUER, token_endpoint: `${site.identity.address}/token` }
  const client = { client_id: 'api' }
  const asked = {
    subject_token,
    subject_token_type: `${TYPES}txn_token`,
    requested_token_type: `${TYPES}txn_token`,
    audience: DOMAIN,
    scope: 'payments:run',
    request_details: '{"invoice":"inv-1"}',
  }
  const plain = { [oauth.allowInsecureRequests]: true }
  const auth = oauth.ClientSecretBasic(CLIENT_SECRET)
  const answer = await oauth.genericTokenEndpointRequest(server, client, auth, TOKEN_EXCHANGE, asked, plain)
  return oauth.processGenericTokenEndpointResponse(server, client, answer, { recognizedTokenTypes: { n_a: () => {} } })
}

function headerOf(token = ''): { kid: string } & Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())
}

describe.each(['a boundary', 'identity'] as const)('made by %s', (maker) => {
  const verify = (token: string, more: Partial<VerifierOptions> = {}): Record<string, unknown> =>
    verifiers.get(maker)?.(more)(token) ?? {}
  const token = (): string => made.get(maker) ?? ''

  test('is a Txn-Token by the rules of the draft', () => {
    expect(headerOf(token())).toMatchObject({ typ: 'txntoken+jwt', alg: maker === 'identity' ? 'ES256' : 'EdDSA' })
    const claims = verify(token())
    expect(claims).toMatchObject({ aud: DOMAIN, sub: 'sub_bob', req_wl: maker === 'identity' ? 'api' : 'gateway' })
    expect(typeof claims.txn).toBe('string')
    // Draft names, of the drafts before none.
    for (const old of ['purp', 'azd', 'req_ctx', 'sub_id']) expect(claims).not.toHaveProperty(old)
    expect(Number(claims.exp) - Number(claims.iat)).toBeLessThanOrEqual(300)
  })

  test.each<[string, () => [string, Partial<VerifierOptions>?], string]>([
    ['for another domain', () => [token(), { allowedAud: 'other.example' }], 'FAST_JWT_INVALID_CLAIM_VALUE'],
    ['as another kind of token', () => [token(), { checkTyp: 'at+jwt' }], 'FAST_JWT_INVALID_TYPE'],
    ['after its end', () => [token(), { clockTimestamp: Date.now() + 400_000 }], 'FAST_JWT_EXPIRED'],
    ['with claims of its own', () => [forged(token(), { scope: 'invoices:export' })], 'FAST_JWT_INVALID_SIGNATURE'],
    ['without signature', () => [token().replace(/[^.]+$/, '')], 'FAST_JWT_MISSING_SIGNATURE'],
  ])('is refused %s', (_, shown, code) => {
    let thrown: unknown
    try {
      verify(...shown())
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ code })
  })
})

test('one is no good under the key and algorithm of the other maker', () => {
  for (const [maker, other] of [['a boundary', 'identity'] as const, ['identity', 'a boundary'] as const])
    expect(() => verifiers.get(maker)?.()(made.get(other) ?? '')).toThrow(
      expect.objectContaining({ code: 'FAST_JWT_INVALID_ALGORITHM' }),
    )
})

test('what replaces one keeps txn, sub and aud, narrows, and says what was added', () => {
  const [before, after] = [
    verifiers.get('a boundary')?.()(made.get('a boundary') ?? ''),
    verifiers.get('identity')?.()(made.get('identity') ?? ''),
  ]
  const { txn, sub, aud } = before ?? {}
  expect(after).toMatchObject({ txn, sub, aud, scope: 'payments:run', tctx: { invoice: 'inv-1' } })
  expect(String(before?.scope).split(' ')).toContain('payments:run')
  expect(Number(after?.exp)).toBeLessThanOrEqual(Number(before?.exp))
})

function forged(token: string, claims: object): string {
  const [header, payload = '', signature] = token.split('.')
  const all = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), ...claims }
  return `${header}.${Buffer.from(JSON.stringify(all)).toString('base64url')}.${signature}`
}
