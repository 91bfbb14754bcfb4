/**
 * oidc-provider with its in-memory adapter, in a process of its own. Set up to do what identity does: refresh tokens
 * that rotate at each use, access tokens for one resource (RFC 8707) as ES256 JWT or opaque, no ID token, clients that
 * authenticate by secret. Families are made through its models when the parent process asks.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider from 'oidc-provider'
import type { RivalReady, RivalRequest } from './rival-process.ts'
import { type Family, FORMATS, type Format, RESOURCE, SCOPE } from './subject.ts'

const server = createServer().listen(0, '127.0.0.1')
await once(server, 'listening')
const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const secret = randomBytes(32).toString('base64url')
const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })

// Two, as the format belongs to the resource server here and the client asks for nothing.
const providers = Object.fromEntries(FORMATS.map((format) => [format, provider(format)])) as Record<Format, Provider>

function provider(accessTokenFormat: Format): Provider {
  return new Provider(`${issuer}/${accessTokenFormat}`, {
    clients: [
      client('app', { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] }),
      client('resource', { grant_types: [], response_types: [], redirect_uris: [] }),
    ],
    jwks: { keys: [{ ...signing, use: 'sig', alg: 'ES256' }] },
    cookies: { keys: [secret] },
    scopes: ['openid', 'offline_access', SCOPE],
    rotateRefreshToken: true,
    issueRefreshToken: () => true,
    findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: SCOPE,
          audience: RESOURCE,
          accessTokenFormat,
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    ttl: { AccessToken: 600, Grant: 86_400, RefreshToken: 86_400 },
  })
}

function client(client_id: string, more: object): object {
  return {
    client_id,
    client_secret: secret,
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: 'ES256',
    redirect_uris: ['https://app.example/callback'],
    ...more,
  }
}

const handlers = Object.fromEntries(FORMATS.map((format) => [format, providers[format].callback()]))
server.on('request', (request, response) => {
  const [, format = '', path = ''] = /^\/(jwt|opaque)(\/.*)$/.exec(request.url ?? '') ?? []
  request.url = path
  handlers[format]?.(request, response)
})

async function family(format: Format, sub: string): Promise<Family> {
  const { Client, Grant, RefreshToken } = providers[format]
  const app = await Client.find('app')
  const grant = new Grant({ accountId: sub, clientId: 'app' })
  grant.addResourceScope(RESOURCE, SCOPE)
  const grantId = await grant.save()
  const authTime = Math.floor(Date.now() / 1000)
  const of = { accountId: sub, client: app, grantId, gty: 'authorization_code', authTime }
  const token = new RefreshToken({ ...of, scope: SCOPE, resource: RESOURCE })
  return { sub, refreshToken: await token.save() }
}

process.on('message', async ({ format, count }: RivalRequest) => {
  const subs = Array.from({ length: count }, () => `sub_${randomBytes(12).toString('base64url')}`)
  process.send?.(await Promise.all(subs.map((sub) => family(format, sub))))
})
process.on('disconnect', () => process.exit(0))
process.send?.({ issuer, secret } satisfies RivalReady)
