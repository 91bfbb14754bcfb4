/** Errors of wrong use, and the closed set of reasons a token is refused for. Refusal is a value. */
import { CountersignError } from '@countersign/kernel'

/** Thrown while composing a verifier or a signer, never while verifying. */
export class TokensError extends CountersignError<'TOKENS_OPTIONS_INVALID'> {}

/** Why a token was refused. Safe to count and log; callers learn no more than that it was. */
export type TokenFault =
  | 'token_oversize'
  | 'token_malformed'
  | 'token_header_refused'
  | 'token_type_mismatch'
  | 'token_algorithm_refused'
  | 'token_key_unknown'
  | 'token_keys_unavailable'
  | 'token_signature_invalid'
  | 'token_claim_missing'
  | 'token_issuer_mismatch'
  | 'token_audience_mismatch'
  | 'token_expired'
  | 'token_not_yet_valid'
  | 'token_too_old'

/** Why a client's assertion was refused. */
export type AssertionFault = TokenFault | 'token_lives_too_long'

export function optionsInvalid(publicMessage: string): TokensError {
  return new TokensError({ code: 'TOKENS_OPTIONS_INVALID', retriable: false, publicMessage })
}
