/** Opaque tokens, kept by hash, and the keys that sign the others. */
import type { ResolvedToken, Token, TokenKey } from '../records.ts'
import { TARGET, TOKEN, TOKEN_KEY } from './kinds.ts'
import { keyOf } from './layout.ts'
import { shown } from './shown.ts'
import { grantsOf, stands } from './targets.ts'
import type { Step, Tx } from './tx.ts'

// Hash and handle are random, so that neither record can be there, and nothing need be read.
// biome-ignore lint/correctness/useYield: a step that asks nothing
export function* putToken(tx: Tx, hash: Buffer, token: Token): Step<void> {
  tx.add(TOKEN, { ...shown.token(token), hash })
  // That this token was revoked stands nowhere else, so its target stays for as long as the token.
  for (const { kind, tenant, id, version } of token.targets) {
    // Those it was exchanged for have one already, and may have been ended meanwhile.
    if (kind !== 'token' || id !== token.handle) continue
    tx.add(TARGET, { kind, tenant, id, version, endedBelow: 0, neededUntil: token.expiresAt })
  }
}

export function* resolveToken(tx: Tx, hash: Buffer, now: number): Step<ResolvedToken | null> {
  yield* tx.follow(keyOf(TOKEN, hash))
  const found = yield* tx.get(TOKEN, hash)
  if (found === null || found.expiresAt <= now || !(yield* stands(tx, found.targets, now))) return null
  const grants = yield* grantsOf(tx, found.tenant, found.sub)
  return grants && { token: shown.token(found), ...grants }
}

export function* tokenKeys(tx: Tx): Step<TokenKey[]> {
  const all = yield* tx.all(TOKEN_KEY, yield* tx.range('token-keys'))
  return all.map((key) => shown.tokenKey(key))
}

export function* addTokenKey(tx: Tx, key: TokenKey, after: string | null): Step<TokenKey[]> {
  const keys = yield* tokenKeys(tx)
  const newest = keys.at(-1)
  if ((newest?.kid ?? null) !== after || (yield* tx.get(TOKEN_KEY, key.kid)) !== null) return keys
  // Keys stay in the order they were added, whatever the clock did.
  tx.put(TOKEN_KEY, { ...shown.tokenKey(key), createdAt: Math.max(key.createdAt, (newest?.createdAt ?? 0) + 1) })
  return yield* tokenKeys(tx)
}

export function* dropTokenKeys(tx: Tx, kids: readonly string[]): Step<void> {
  yield* tx.load(...kids.map((kid) => keyOf(TOKEN_KEY, kid)))
  for (const kid of kids) tx.drop(TOKEN_KEY, kid)
}
