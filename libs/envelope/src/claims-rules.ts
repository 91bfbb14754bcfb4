/** What every set of claims must obey, whoever signed it; the sealer and the opener ask the same. */
import type { EnvelopeClaims } from '@countersign/schemas'

/** Depth of a chain: 0 at the boundary, at most this after deriving. */
export const MAX_DEPTH = 3
/** Earlier envelopes that one relies on. */
export const MAX_RELIED = 8
/** Envelopes that go on one for another; identity may allow fewer. */
export const MAX_SUCCESSIONS = 32

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
  // For a successor identity itself answers, in place of whatever stood above the one it goes on for.
  if ((claims.depth === 0 || claims.succession !== null) !== (claims.parent === null)) {
    return 'a parent stands in every envelope but those of depth 0 and successors'
  }
  if (tctx.position.offset < -1 || tctx.scope_version < 0) return 'positions and versions are not negative'
  for (const target of tctx.targets) if (target.version < 0) return 'positions and versions are not negative'
  const more = relianceFault(claims) ?? successionFault(claims)
  if (more !== null) return more
  let before = ''
  for (const scope of claims.scope) {
    if (scope <= before) return 'scopes are sorted and distinct'
    if (!SCOPE.test(scope)) return 'a scope is an RFC 6749 scope-token'
    before = scope
  }
  return null
}

function relianceFault({ relies_on: hashes }: EnvelopeClaims): string | null {
  if (hashes.length === 0) return null
  if (hashes.length > MAX_RELIED) return `an envelope relies on ${MAX_RELIED} others at most`
  const distinct = new Set(hashes.map((hash) => Buffer.from(hash).toString('latin1')))
  return distinct.size === hashes.length ? null : 'an envelope is relied on once'
}

function successionFault({ succession, iat }: EnvelopeClaims): string | null {
  if (succession === null) return null
  if (succession.count < 1 || succession.count > MAX_SUCCESSIONS) return `a successor is one of 1 to ${MAX_SUCCESSIONS}`
  return succession.begun_at < 0 || succession.begun_at > iat ? 'a successor is sealed after its work began' : null
}
