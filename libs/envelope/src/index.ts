/** Seal, open and derive identity envelopes; sign and verify records; the trust bundle. Pure and synchronous. */
export { type ActClaim, actClaim } from './act-claim.ts'
export { CREDENTIAL_KINDS } from './claims-reader.ts'
export { MAX_DEPTH, MAX_RELIED, MAX_SUCCESSIONS } from './claims-rules.ts'
export type { NewClaims } from './claims-writer.ts'
export { type ChildClaims, derive } from './derive.ts'
export { EnvelopeError, type EnvelopeErrorCode } from './errors.ts'
export { type BoundEvent, bindEvent, type SummedEvent } from './event-binding.ts'
export { envelopeHash, evidenceOf, joinEvidence, packEvidence, unpackEvidence } from './evidence.ts'
export { type HeaderPairs, type HeaderRecord, type HeaderResult, headerOf } from './header-of.ts'
export { KeyRing, type KnownKey } from './key-ring.ts'
export { ed25519Key, generateEd25519, publicKeyObject, rawPublicKey, type SigningKey } from './keys.ts'
export {
  type EnvelopeFault,
  type OpenContext,
  type OpenedEnvelope,
  Opener,
  type OpenResult,
  type ProofContext,
} from './open.ts'
export { peekEnvelope } from './peek.ts'
export { seal } from './seal.ts'
export {
  type RecordFault,
  type RecordResult,
  type SignedRecordName,
  signRecord,
  verifyRecord,
} from './signed-record.ts'
export { begunAt, type SuccessorClaims, succeed, successionsOf, windowEnd } from './succession.ts'
export { type BundleFault, type BundleResult, signBundle, verifyBundle } from './trust-bundle.ts'
export {
  MAX_TXN_TOKEN_CHARACTERS,
  MAX_TXN_TOKEN_LIFE_MS,
  openTxnToken,
  sealTxnToken,
  sealTxnTokenBeside,
  TXN_TOKEN_TOPIC,
  TXN_TOKEN_TYPE,
  type TxnTokenClaims,
  type TxnTokenContext,
  type TxnTokenFault,
  type TxnTokenResult,
} from './txn-token.ts'
export { MAX_ENVELOPE_BYTES } from './wire.ts'
