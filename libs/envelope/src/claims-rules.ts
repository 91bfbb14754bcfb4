/** What every set of claims must obey, whoever signed it; the sealer and the opener ask the same. */
import type { EnvelopeClaims } from '@countersign/schemas'

/** Depth of a chain: 0 at the boundary, at most this after deriving. */
export const MAX_DEPTH = 3

// RFC 6749 §3.3 scope-token: no space, quote, backslash or control character, so a list joins unambiguously.
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** @returns what is wrong, in words without any value, or null. */
export function claimsFault(claims: EnvelopeClaims): string | null {
  const { tctx } = claims
  if (claims.txn === '' || claims.sub === '' || claims.aud === '' || claims.req_wl === '' || tctx.tenant === '') {
    return 'txn, sub, aud, req_wl and tenant are not empty'
  }
  if (claims.event.topic === '') return 'the topic is not empty'
  if (claims.iat < 0 || claims.exp <= claims.iat) return 'exp is after iat'
  if (claims.depth < 0) return 'depth is at least 0'
  if ((claims.depth === 0) !== (claims.parent === null)) return 'a parent stands in every envelope but those of depth 0'
  if (tctx.position.offset < -1 || tctx.scope_version < 0) return 'positions and versions are not negative'
  for (const target of tctx.targets) if (target.version < 0) return 'positions and versions are not negative'
  let before = ''
  for (const scope of claims.scope) {
    if (scope <= before) return 'scopes are sorted and distinct'
    if (!SCOPE.test(scope)) return 'a scope is an RFC 6749 scope-token'
    before = scope
  }
  return null
}
