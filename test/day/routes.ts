/** What a gateway in front of identity and the example api lets through. Whatever is not listed is nobody's. */

const IDENTITY: readonly (readonly [name: string, path: string, methods: readonly string[]])[] = [
  ['login', '/login', ['GET', 'POST']],
  ['logout', '/logout', ['POST']],
  ['session', '/session', ['GET']],
  ['sessions', '/sessions', ['GET']],
  ['sessions-end', '/sessions/*', ['POST']],
  ['device-lost', '/devices/lost', ['POST']],
  ['own-sessions', '/v1/sessions', ['GET']],
  ['own-session', '/v1/sessions/*', ['DELETE']],
  ['end-others', '/v1/sessions/end-others', ['POST']],
  ['end-all', '/v1/sessions/end-all', ['POST']],
  ['api-sessions', '/v1/api-sessions', ['POST']],
  ['reauthenticate', '/reauthenticate', ['GET', 'POST']],
  ['step-up', '/step-up', ['GET', 'POST']],
  ['step-up-passkey', '/step-up/*', ['POST']],
  ['security', '/security', ['GET']],
  ['security-change', '/security/*', ['POST']],
  ['password-reset', '/password-reset', ['POST']],
  ['authorize', '/authorize', ['GET', 'POST']],
  ['token', '/token', ['POST']],
  ['revoke', '/revoke', ['POST']],
  ['jwks', '/jwks.json', ['GET']],
  ['metadata', '/.well-known/*', ['GET']],
  ['factors', '/v1/factors', ['GET']],
  ['factors-change', '/v1/factors/*', ['POST', 'PATCH', 'DELETE']],
  ['identity-style', '/style.css', ['GET']],
  ['identity-passkeys', '/passkeys.js', ['GET']],
  ['identity-webauthn', '/simplewebauthn.js', ['GET']],
]

/** @param upstream origin of the api. @returns what stands in a routes file. */
export function routesTo(upstream: string): Readonly<Record<string, unknown>>[] {
  const work = (name: string, path: string, scope: string): Readonly<Record<string, unknown>> => ({
    ...{ name, path, methods: ['POST'], upstream, audience: 'api', scopes: [scope] },
    rate: { max: 6_000, window: '1m', per: 'tenant' },
  })
  const open = (name: string, path: string, method: string): Readonly<Record<string, unknown>> => ({
    ...{ name, path, methods: [method], upstream, access: 'public' },
  })
  return [
    ...IDENTITY.map(([name, path, methods]) => ({ name, path, methods, access: 'identity' })),
    work('invoices', '/invoices/*', 'invoices:export'),
    work('payments', '/payments', 'payments:run'),
    work('emails', '/emails', 'emails:send'),
    work('reports', '/reports', 'reports:build'),
    // Signed by who sends them; the api looks at the signature.
    open('webhooks', '/webhooks/*', 'POST'),
    open('page', '/', 'GET'),
    open('page-style', '/api.css', 'GET'),
    open('jobs', '/jobs/*', 'GET'),
  ]
}
