import { describe, expect, it } from 'vitest'
import { type ClientTerms, contradictions, isRedirectUri } from './clients.ts'
import { TOKEN_EXCHANGE } from './exchange-request.ts'

describe('redirect addresses', () => {
  it.each([
    'https://app.example.test/cb',
    'https://app.example.test/cb?a=1',
    'http://127.0.0.1:4711/cb',
    'http://[::1]/cb',
    'http://localhost:3000/',
    'com.example.app:/cb',
  ])('takes %s', (uri) => expect(isRedirectUri(uri)).toBe(true))

  it.each([
    '',
    '/cb',
    'http://app.example.test/cb',
    'https://app.example.test/cb#',
    'https://app.example.test/cb#x',
    'https://user@app.example.test/cb',
    'https://:pw@app.example.test/cb',
    'javascript:alert(1)',
    'data:text/html,x',
    'myapp:/cb',
    'https://app.example.test/ä',
    ' https://app.example.test/cb',
    `https://app.example.test/${'x'.repeat(512)}`,
  ])('refuses %s', (uri) => expect(isRedirectUri(uri)).toBe(false))
})

const EXCHANGES: Partial<ClientTerms> = {
  grants: [TOKEN_EXCHANGE],
  redirectUris: [],
  service: { sub: 'svc', tenant: 'acme' },
  introspects: ['api'],
}

describe('clients', () => {
  const web: ClientTerms = {
    id: 'web',
    name: 'Web',
    authMethod: 'client_secret_basic',
    jwks: null,
    redirectUris: ['https://app.example.test/cb'],
    grants: ['authorization_code', 'refresh_token'],
    scopes: [],
    audiences: ['billing'],
    tokenFormat: 'jwt',
    sessionKind: 'family',
    service: null,
    introspects: [],
  }

  it.each<[Partial<ClientTerms>, readonly string[]]>([
    [{}, []],
    [{ authMethod: 'none' }, []],
    [{ authMethod: 'private_key_jwt' }, ['jwks']],
    [{ jwks: '{"keys":[]}' }, ['jwks']],
    [{ redirectUris: [] }, ['redirectUris']],
    [{ redirectUris: ['javascript:alert(1)'] }, ['redirectUris']],
    [{ grants: ['refresh_token'], redirectUris: [] }, ['grants']],
    [{ grants: ['client_credentials'], redirectUris: [] }, ['service']],
    [{ service: { sub: 'svc', tenant: 'acme' } }, ['service']],
    [{ audiences: [] }, ['audiences']],
    [{ grants: [TOKEN_EXCHANGE], redirectUris: [] }, ['service', 'introspects']],
    [{ ...EXCHANGES }, []],
    [{ ...EXCHANGES, introspects: [] }, ['introspects']],
    [{ ...EXCHANGES, audiences: [] }, ['audiences']],
    [{ ...EXCHANGES, authMethod: 'none' }, ['authMethod']],
    [{ authMethod: 'none', introspects: ['billing'] }, ['authMethod']],
  ])('%o', (change, wrong) => expect(contradictions({ ...web, ...change })).toEqual(wrong))
})
