/** JWT verification with everything pinned, and rotating key sets. Owns the only use of jose. */
export { ALGORITHMS, type Algorithm } from './algorithms.ts'
export type { TokenClaims } from './claims.ts'
export { type TokenFault, TokensError } from './errors.ts'
export type { KeySource } from './key-set.ts'
export { type RemoteKeysOptions, remoteKeys } from './remote-keys.ts'
export { createVerifier, type Verifier, type VerifierOptions, type VerifyResult } from './verifier.ts'
