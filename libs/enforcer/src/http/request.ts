/** The one Txn-Token of a request, which nobody behind the enforcer can read. */
import type { IncomingHttpHeaders } from 'node:http'

/** The part of a request that is read: structurally Node's IncomingMessage. */
export interface HttpRequest {
  readonly headers: IncomingHttpHeaders
  /** Name and value in turn, as received; shows what `headers` merges. */
  readonly rawHeaders: readonly string[]
}

/** draft-ietf-oauth-transaction-tokens-10 §8. */
const HEADER = 'txn-token'

/** @returns the token, and takes it off the request in every spelling Node keeps. */
export function takeToken(request: HttpRequest): string | 'txn_token_missing' | 'txn_token_repeated' {
  const { headers } = request
  const rawHeaders = request.rawHeaders as string[]
  const { headersDistinct } = request as { headersDistinct?: NodeJS.Dict<string[]> }
  let count = 0
  const value = headers[HEADER]
  // Blanked, not cut out: Node counts on the length when it works out `headersDistinct` later.
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== HEADER) continue
    if (rawHeaders[i + 1] !== '') count++
    rawHeaders[i + 1] = ''
  }
  delete headers[HEADER]
  if (headersDistinct) delete headersDistinct[HEADER]
  if (count > 1 || Array.isArray(value)) return 'txn_token_repeated'
  return value || 'txn_token_missing'
}

/** Whether who asked went away while the request was judged; an answer of HTTP/2 says so of its stream alone. */
export function isGone(response: {
  readonly closed?: boolean
  readonly stream?: { readonly closed: boolean }
}): boolean {
  return response.closed ?? response.stream?.closed ?? false
}
