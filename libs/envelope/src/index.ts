/** Seal, open and derive identity envelopes; sign and verify records; the trust bundle. Pure and synchronous. */
export { EnvelopeError, type EnvelopeErrorCode } from './errors.ts'
export { ed25519Key, generateEd25519, publicKeyObject, rawPublicKey, type SigningKey } from './keys.ts'
export {
  type RecordFault,
  type RecordResult,
  SIGNATURE_HEADER,
  type SignedRecordName,
  signRecord,
  verifyRecord,
} from './signed-record.ts'
export { type BundleFault, type BundleResult, type KnownKey, KeyRing, signBundle, verifyBundle } from './trust-bundle.ts'
