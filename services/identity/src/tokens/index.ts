/** Tokens identity gives out and takes back: self-contained and opaque access tokens, refresh tokens, and the keys behind them. */
export { type AccessToken, claimsOf, type Grant, MAX_ACTORS, sessionGrant } from './access-claims.ts'
export {
  AccessTokens,
  type AccessTokensOptions,
  type IssuedToken,
  type LiveAccess,
  opaqueHash,
  type PresentedAccess,
} from './access-tokens.ts'
export type { BoundaryKeys } from './boundary-tokens.ts'
export { type PresentedRefresh, RefreshTokens } from './refresh-tokens.ts'
export { KEY_SET_MAX_AGE_S, TokenKeys, type TokenKeysOptions, type TokenKeyTimes } from './token-keys.ts'
export {
  carriedFrom,
  type JsonObject,
  type LiveTransaction,
  type Transaction,
  TransactionTokens,
} from './transaction-tokens.ts'
