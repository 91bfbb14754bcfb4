/** What identity itself says of an access token, in a JWT (RFC 9068) or in an answer to introspection (RFC 7662). */
import { type Members, readIdentityClaims } from '@countersign/envelope/claims'
import type { CredentialKind } from '@countersign/schemas'
import type { ResolvedIdentity } from './identity.ts'

/**
 * @param all claims, or members of the answer.
 * @returns the identity; undefined when a claim is missing, malformed, or belies another.
 */
export function ownIdentity(
  all: Members,
  credential: Extract<CredentialKind, 'jwt' | 'opaque_token'>,
): ResolvedIdentity | undefined {
  try {
    const identity = readIdentityClaims(all, credential, ['user', 'service'])
    // RFC 9068 §2.2: an access token has a client.
    return identity.client === null ? undefined : identity
  } catch {
    return undefined
  }
}
