/** What a request for token exchange asks (RFC 8693 §2.1; draft-ietf-oauth-transaction-tokens-10 §7), before anything is looked up. */
import type { JsonObject } from '../tokens/index.ts'
import { fault, type OAuthFault } from './faults.ts'
import { type Parameters, readScope } from './parameters.ts'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'
export const TXN_TOKEN = 'urn:ietf:params:oauth:token-type:txn_token'

/** A token as it was shown; `jwt` is an access token of that form alone. */
export interface ShownToken {
  readonly text: string
  readonly kind: 'access' | 'jwt' | 'txn'
}

export interface ExchangeRequest {
  readonly subject: ShownToken
  /** Null: the client acts as its service account. */
  readonly actor: ShownToken | null
  /** `resource` and `audience`, distinct; empty for the client's default. */
  readonly audience: readonly string[]
  /** Sorted; null for as many as there may be. */
  readonly scope: readonly string[] | null
  readonly wanted: 'access' | 'txn'
  /** `request_details`; of a Txn-Token alone, as is the next. */
  readonly details: JsonObject
  /** `request_context`. */
  readonly context: JsonObject
}

const KINDS: ReadonlyMap<string, ShownToken['kind']> = new Map([
  [ACCESS_TOKEN, 'access'],
  [JWT, 'jwt'],
  [TXN_TOKEN, 'txn'],
])
/** Bytes of each of the two objects as JSON: a token with both, and with targets for four actors, is one that verifiers take. */
export const MOST_BYTES = 1024

export function readExchange({ values }: Parameters): ExchangeRequest | OAuthFault {
  const wanted = KINDS.get(values.get('requested_token_type') ?? ACCESS_TOKEN)
  if (wanted !== 'access' && wanted !== 'txn')
    return fault('invalid_request', 'requested_token_type is not one that is issued')
  const subject = shown(values, 'subject')
  if (subject === null)
    return fault('invalid_request', 'subject_token and a subject_token_type that is taken are needed')
  const acts = values.has('actor_token') || values.has('actor_token_type')
  const actor = acts ? shown(values, 'actor') : null
  if (acts && (actor === null || actor.kind === 'txn'))
    return fault('invalid_request', 'actor_token and actor_token_type come together, for an access token')
  const text = values.get('scope')
  const scope = text === undefined ? null : readScope(text)
  if (text !== undefined && scope === null) return fault('invalid_scope', 'scope is no list of scopes')
  const audience = new Set([values.get('resource'), values.get('audience')].filter((one) => one !== undefined))
  // The draft asks for both: nothing of a transaction is left to a default.
  if (wanted === 'txn' && (scope === null || audience.size === 0))
    return fault('invalid_request', 'a Txn-Token needs scope and audience')
  const [details, context] = [objectOf(values, 'request_details'), objectOf(values, 'request_context')]
  if (details === null || context === null)
    return fault(
      'invalid_request',
      `request_details and request_context are JSON objects of at most ${MOST_BYTES} bytes`,
    )
  if (wanted === 'access' && (values.has('request_details') || values.has('request_context')))
    return fault('invalid_request', 'request_details and request_context are for Txn-Tokens')
  return { subject, actor, audience: [...audience], scope, wanted, details, context }
}

/** @returns null unless both of a token and its type are there, and the type is one of ours. */
function shown(values: Parameters['values'], whose: 'subject' | 'actor'): ShownToken | null {
  const text = values.get(`${whose}_token`)
  const kind = KINDS.get(values.get(`${whose}_token_type`) ?? '')
  return text === undefined || kind === undefined ? null : { text, kind }
}

/** @returns an empty one for none, null for what is no object or too large. */
function objectOf(values: Parameters['values'], name: string): JsonObject | null {
  const text = values.get(name)
  if (text === undefined) return {}
  if (Buffer.byteLength(text) > MOST_BYTES) return null
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : null
  } catch {
    return null
  }
}
