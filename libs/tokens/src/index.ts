/** JWTs: verified with everything pinned, signed by rotating keys. Owns the only use of jose. */
export { ALGORITHMS, type Algorithm, SIGNING_ALGORITHMS, type SigningAlgorithm } from './algorithms.ts'
export { bearerChallenge, type ChallengeParameters } from './challenge.ts'
export type { TokenClaims } from './claims.ts'
export {
  type ClientAssertionOptions,
  type ClientAssertionResult,
  ClientAssertions,
  type ClientKeyFault,
  clientKeyFault,
} from './client-assertion.ts'
export { type AssertionFault, type TokenFault, TokensError } from './errors.ts'
export type { JwkSet, KeySource } from './key-set.ts'
export { createLocalVerifier, LocalKeys, type LocalVerifier, type LocalVerifierOptions } from './local-verifier.ts'
export { type Demanded, PUBLIC_REFUSALS, type PublicRefusal, type RefusalAnswer, refusalAnswer } from './refusal.ts'
export { type RemoteKeysOptions, remoteKeys } from './remote-keys.ts'
export { createSigner, type Signer, type SignerOptions } from './signer.ts'
export { generateTokenKey, keySetDocument, type PublicJwk, type TokenKeyPair, tokenKeyOf } from './token-key.ts'
export {
  createVerifier,
  type PinnedRules,
  type Verifier,
  type VerifierOptions,
  type VerifyResult,
} from './verifier.ts'
