/** An OAuth client as others wrote it, unmodified, against identity on each store; and its tokens read by jose. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBoundary, httpIntrospection } from '@countersign/boundary'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { type Identity, readRootPublicKey, readSigningKey } from '@countersign/identity'
import { Secret, systemClock, systemRandom } from '@countersign/kernel'
import { Replica } from '@countersign/replica'
import { exampleCatalogue } from '@countersign/schemas'
import { createLogger, createMetrics } from '@countersign/telemetry'
import { createRemoteJWKSet, decodeProtectedHeader, exportJWK, generateKeyPair, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasRedis, RedisServer } from '../../redis-server.ts'
import { CALLBACK, findIdentity, plain } from '../found-identity.ts'
import { TOKEN_EXCHANGE } from '../seed.ts'
import { PASSWORD, until } from '../site.ts'

const SECRET = 'client+secret/with:signs%and&more=0123456789'
const DOMAIN = 'services.example'
const TYPES = 'urn:ietf:params:oauth:token-type:'

describe.each(['sqlite', 'redis'] as const)('on %s', (store) => {
  describe.skipIf(store === 'redis' && !hasRedis())('a foreign client', () => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-interop-'))
    const signing = generateKeyPair('ES256', { extractable: true })
    let redis: RedisServer | null = null
    let identity: Identity
    let issuer: URL
    let server: oauth.AuthorizationServer

    beforeAll(async () => {
      if (store === 'redis') redis = await RedisServer.start()
      const jwk = { ...(await exportJWK((await signing).publicKey)), kid: 'k1', alg: 'ES256' }
      const seed = JSON.stringify(seedOf(JSON.stringify({ keys: [jwk] })))
      ;({ identity, issuer, server } = await findIdentity(folder, redis, 'ledger', {
        TRUST_DOMAIN: DOMAIN,
        SEED: seed,
      }))
    }, 60_000)
    afterAll(async () => {
      await identity?.close()
      await redis?.stop()
      rmSync(folder, { recursive: true, force: true })
    })

    /** Logs in on the page that authorization shows. @returns where the client is called back. */
    async function throughLogin(client: oauth.Client, verifier: string, state: string): Promise<URL> {
      const asked = new URL(server.authorization_endpoint as string)
      const challenge = await oauth.calculatePKCECodeChallenge(verifier)
      asked.search = new URLSearchParams({
        response_type: 'code',
        client_id: client.client_id,
        redirect_uri: CALLBACK,
        scope: 'invoices:read invoices:export',
        code_challenge: challenge,
        code_challenge_method: 'S256',
        state,
      }).toString()
      const page = await (await fetch(asked)).text()
      const [, onward = ''] = /name="continue" value="([^"]*)"/.exec(page) ?? []
      const form = { email: 'bob@example.com', password: PASSWORD, continue: onward.replaceAll('&#38;', '&') }
      const login = { method: 'POST', body: new URLSearchParams(form), redirect: 'manual' } as const
      const welcomed = await fetch(new URL('/login', issuer), login)
      const cookie = welcomed.headers
        .getSetCookie()
        .map((line) => line.split(';')[0])
        .join('; ')
      const next = new URL(welcomed.headers.get('location') ?? '', issuer)
      const answered = await fetch(next, { headers: { cookie }, redirect: 'manual' })
      return new URL(answered.headers.get('location') ?? '')
    }

    async function tokens(client: oauth.Client, auth: oauth.ClientAuth): Promise<oauth.TokenEndpointResponse> {
      const verifier = oauth.generateRandomCodeVerifier()
      const state = oauth.generateRandomState()
      const called = oauth.validateAuthResponse(server, client, await throughLogin(client, verifier, state), state)
      const answer = await oauth.authorizationCodeGrantRequest(server, client, auth, called, CALLBACK, verifier, plain)
      return oauth.processAuthorizationCodeResponse(server, client, answer)
    }

    async function introspected(token: string): Promise<oauth.IntrospectionResponse> {
      const client = { client_id: 'reports' }
      const auth = oauth.ClientSecretBasic(SECRET)
      const answer = await oauth.introspectionRequest(server, client, auth, token, plain)
      return oauth.processIntrospectionResponse(server, client, answer)
    }

    test('logs a person in, refreshes, is introspected and revokes, confidential or public', async () => {
      for (const [client, auth] of [
        [{ client_id: 'web' }, oauth.ClientSecretBasic(SECRET)],
        [{ client_id: 'spa' }, oauth.None()],
      ] as const) {
        const first = await tokens(client, auth)
        const answer = await oauth.refreshTokenGrantRequest(server, client, auth, first.refresh_token as string, plain)
        const second = await oauth.processRefreshTokenResponse(server, client, answer)
        expect(second.refresh_token).not.toBe(first.refresh_token)
        expect(await introspected(second.access_token)).toMatchObject({
          active: true,
          client_id: client.client_id,
          sub: 'sub_bob',
          aud: 'reports',
          scope: 'invoices:export invoices:read',
        })
        const refresh = second.refresh_token as string
        await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, refresh, plain))
        expect(await introspected(second.access_token)).toEqual({ active: false })
        const again = await oauth.refreshTokenGrantRequest(server, client, auth, refresh, plain)
        const refused = oauth.processRefreshTokenResponse(server, client, again)
        await expect(refused).rejects.toMatchObject({ error: 'invalid_grant', status: 400 })
      }
    })

    test('acts as itself, by secret and by assertion', async () => {
      const key = { key: (await signing).privateKey, kid: 'k1' }
      for (const [client_id, auth] of [
        ['robot-secret', oauth.ClientSecretPost(SECRET)],
        ['robot-key', oauth.PrivateKeyJwt(key)],
      ] as const) {
        const answer = await oauth.clientCredentialsGrantRequest(server, { client_id }, auth, {}, plain)
        const { access_token } = await oauth.processClientCredentialsResponse(server, { client_id }, answer)
        expect(await introspected(access_token)).toMatchObject({ active: true, client_id, sub: 'svc_robot' })
      }
      const wrong = oauth.ClientSecretPost(`${SECRET}x`)
      const client = { client_id: 'robot-secret' }
      const answer = await oauth.clientCredentialsGrantRequest(server, client, wrong, {}, plain)
      const refused = oauth.processClientCredentialsResponse(server, client, answer)
      await expect(refused).rejects.toThrow()
    })

    async function exchange(client_id: string, subject_token: string, more: Record<string, string>) {
      const asked = { subject_token, subject_token_type: `${TYPES}access_token`, ...more }
      const auth = oauth.ClientSecretBasic(SECRET)
      const answer = await oauth.genericTokenEndpointRequest(server, { client_id }, auth, TOKEN_EXCHANGE, asked, plain)
      const recognizedTokenTypes = { n_a: () => {} }
      return oauth.processGenericTokenEndpointResponse(server, { client_id }, answer, { recognizedTokenTypes })
    }

    test('exchanges a token from service to service, and for a Txn-Token that jose reads', async () => {
      const { access_token } = await tokens({ client_id: 'web' }, oauth.ClientSecretBasic(SECRET))
      const next = await exchange('reports-api', access_token, { audience: 'ledger', scope: 'invoices:read' })
      expect(next).toMatchObject({
        token_type: 'bearer',
        issued_token_type: `${TYPES}access_token`,
        scope: 'invoices:read',
      })
      expect(next.refresh_token).toBeUndefined()
      const wanted = { requested_token_type: `${TYPES}txn_token`, audience: DOMAIN, scope: 'invoices:read' }
      const details = { request_details: '{"invoice":"inv-1"}', request_context: '{"req_ip":"192.0.2.1"}' }
      const txn = await exchange('ledger', next.access_token, { ...wanted, ...details })
      expect(txn).toMatchObject({ token_type: 'n_a', issued_token_type: `${TYPES}txn_token` })
      const keys = createRemoteJWKSet(new URL(server.jwks_uri as string))
      const requiredClaims = ['iat', 'aud', 'exp', 'txn', 'sub', 'scope', 'req_wl']
      const pinned = {
        audience: DOMAIN,
        typ: 'txntoken+jwt',
        algorithms: ['ES256'],
        issuer: issuer.origin,
        requiredClaims,
      }
      const { payload } = await jwtVerify(txn.access_token, keys, pinned)
      expect(payload).toMatchObject({
        sub: 'sub_bob',
        req_wl: 'ledger',
        scope: 'invoices:read',
        tctx: { invoice: 'inv-1' },
        rctx: { req_ip: '192.0.2.1' },
        act: { sub: 'svc_ledger', act: { sub: 'svc_reports' } },
      })
      await expect(jwtVerify(next.access_token, keys, pinned)).rejects.toThrow()
      for (const [client, more, error] of [
        ['ledger', { audience: 'reports' }, 'invalid_request'],
        ['reports-api', { audience: 'elsewhere' }, 'invalid_target'],
        ['reports-api', { scope: 'payments:run' }, 'invalid_scope'],
      ] as const)
        await expect(exchange(client, access_token, more)).rejects.toMatchObject({ error, status: 400 })
    })

    test('whatever ends the token at its origin ends what came of it at a boundary', async () => {
      const client = { client_id: 'web' }
      const auth = oauth.ClientSecretBasic(SECRET)
      const { access_token } = await tokens(client, auth)
      const own = await exchange('reports-api', access_token, { audience: 'ledger' })
      const opaque = await exchange('reports-opaque', access_token, { audience: 'ledger' })
      const log = await openSqliteLog({ path: join(folder, 'log.db'), catalogue: exampleCatalogue, create: false })
      const keys = join(folder, 'keys')
      const silent = createLogger({ name: 'ledger', level: 'silent' })
      const replica = new Replica({
        log,
        rootKeys: [readRootPublicKey(keys)],
        clock: systemClock,
        logger: silent,
        metrics: createMetrics(),
        consumer: 'ledger',
        epsilonMs: 250,
      })
      const asked = { clientId: 'ledger', clientSecret: new Secret(SECRET), clock: systemClock }
      const boundary = createBoundary({
        replica,
        log,
        catalogue: exampleCatalogue,
        key: readSigningKey(keys, 'ledger'),
        workload: 'ledger',
        clock: systemClock,
        random: systemRandom,
        issuers: [
          {
            identifiers: 'own',
            issuer: issuer.origin,
            audience: 'ledger',
            keys: server.jwks_uri as string,
            algorithms: ['ES256'],
            typ: 'at+jwt',
            maxAgeS: 300,
          },
        ],
        introspection: httpIntrospection({
          endpoint: server.introspection_endpoint as string,
          issuer: issuer.origin,
          audience: 'ledger',
          ...asked,
        }),
      })
      const admit = (token: string) => {
        const authorization = `Bearer ${token}`
        const headers = { authorization }
        return boundary.admit({ method: 'GET', headers, rawHeaders: ['authorization', authorization] })
      }
      await replica.start()
      try {
        await until('the boundary can judge', () => boundary.notReady().length === 0)
        for (const { access_token: token } of [own, opaque])
          expect(await admit(token)).toMatchObject({
            ok: true,
            identity: { sub: 'sub_bob', act: [{ sub: 'svc_reports', principal: 'service' }] },
          })
        // For another audience.
        expect(await admit(access_token)).toMatchObject({ ok: false, code: 'credential_invalid' })
        await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, access_token, plain))
        await until('the self-contained one is refused', async () => !(await admit(own.access_token)).ok)
        expect(await admit(own.access_token)).toMatchObject({ ok: false, code: 'credential_revoked' })
        expect(await admit(opaque.access_token)).toMatchObject({ ok: false })
      } finally {
        await replica.stop()
        await log.close()
      }
    })

    test('finds its tokens to be what RFC 9068 says, as jose does', async () => {
      const { access_token } = await tokens({ client_id: 'web' }, oauth.ClientSecretBasic(SECRET))
      const keys = createRemoteJWKSet(new URL(server.jwks_uri as string))
      const pinned = { issuer: issuer.origin, audience: 'reports', typ: 'at+jwt', algorithms: ['ES256'] }
      const { payload } = await jwtVerify(access_token, keys, pinned)
      expect(payload).toMatchObject({ sub: 'sub_bob', client_id: 'web', tenant: 'acme', amr: ['pwd'] })
      expect(decodeProtectedHeader(access_token)).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
      await expect(jwtVerify(access_token, keys, { ...pinned, audience: 'mail' })).rejects.toThrow()
      const request = new Request('http://127.0.0.1:9/', { headers: { authorization: `Bearer ${access_token}` } })
      const claims = await oauth.validateJwtAccessToken(server, request, 'reports', plain)
      expect(claims.jti).toBe(payload.jti)
    })
  })
})

function seedOf(jwks: string): object {
  const person = { sub: 'sub_bob', email: 'bob@example.com', password: PASSWORD }
  const services = ['reports', 'ledger'].map((name) => ({
    ...{ sub: `svc_${name}`, principal: 'service', email: `${name}@services.example.com` },
  }))
  const exchanges = (name: string) => ({
    ...{ name, authMethod: 'client_secret_basic', secret: SECRET, grants: [TOKEN_EXCHANGE], introspects: [name] },
    ...{ service: { sub: `svc_${name}`, tenant: 'acme' }, scopes: ['invoices:export', 'invoices:read'] },
  })
  const robot = { sub: 'svc_robot', principal: 'service', email: 'robot@services.example.com' }
  const code = { grants: ['authorization_code', 'refresh_token'], redirectUris: [CALLBACK] }
  const own = { grants: ['client_credentials'], service: { sub: 'svc_robot', tenant: 'acme' } }
  const may = { scopes: ['invoices:export', 'invoices:read'], audiences: ['reports'] }
  return {
    accounts: [person, robot, ...services].map((one) => ({
      ...one,
      affiliations: [{ tenant: 'acme', roles: ['member'] }],
    })),
    clients: [
      { id: 'web', name: 'Web', authMethod: 'client_secret_basic', secret: SECRET, ...code, ...may },
      { id: 'spa', name: 'Page', authMethod: 'none', tokenFormat: 'opaque', ...code, ...may },
      { id: 'robot-secret', name: 'Robot', authMethod: 'client_secret_post', secret: SECRET, ...own, ...may },
      { id: 'robot-key', name: 'Robot', authMethod: 'private_key_jwt', jwks, tokenFormat: 'opaque', ...own, ...may },
      { id: 'reports-api', ...exchanges('reports'), audiences: ['ledger'] },
      { id: 'reports-opaque', ...exchanges('reports'), audiences: ['ledger'], tokenFormat: 'opaque' },
      { id: 'ledger', ...exchanges('ledger'), audiences: [DOMAIN] },
      { id: 'reports', name: 'Reports', authMethod: 'client_secret_basic', secret: SECRET, introspects: ['reports'] },
    ],
  }
}
