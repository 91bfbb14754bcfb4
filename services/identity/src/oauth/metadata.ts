/** What this authorization server is and offers (RFC 8414 §2). */
import { ACRS } from '../factors/strength.ts'
import { TOKEN_EXCHANGE } from './exchange-request.ts'

const AUTHENTICATED = ['client_secret_basic', 'client_secret_post', 'private_key_jwt'] as const
const ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const

export function metadataOf(issuer: string, scopes: readonly string[]): Record<string, unknown> {
  const at = (path: string): string => `${issuer}${path}`
  return {
    issuer,
    authorization_endpoint: at('/authorize'),
    token_endpoint: at('/token'),
    jwks_uri: at('/jwks.json'),
    introspection_endpoint: at('/introspect'),
    revocation_endpoint: at('/revoke'),
    scopes_supported: scopes,
    acr_values_supported: ACRS,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials', TOKEN_EXCHANGE],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: [...AUTHENTICATED, 'none'],
    token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    introspection_endpoint_auth_methods_supported: AUTHENTICATED,
    introspection_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    revocation_endpoint_auth_methods_supported: [...AUTHENTICATED, 'none'],
    revocation_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    authorization_response_iss_parameter_supported: true,
  }
}
