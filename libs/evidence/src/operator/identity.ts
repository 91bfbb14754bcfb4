/** How the tools of operators ask identity to act, and how they read its four answers. */

export interface OperatorAccess {
  /** Base URL of identity. */
  readonly url: string
  /** Of use `operator`. */
  readonly secret: string
  /** Longest a call may take, milliseconds. */
  readonly timeoutMs: number
}

/** What came back; the body is null where it is no JSON. */
export interface IdentityReply {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>> | null
}

/** One of identity's four answers to whatever ends or lowers authority. */
export interface AnswerState {
  readonly state: 'acknowledged' | 'pending' | 'unknown' | 'refused'
  /** Of the act; asking again with it changes nothing twice. */
  readonly id: string
  /** Why it was refused. */
  readonly code?: string
}

/**
 * One call, ended by its deadline; it never follows a redirect with the secret.
 * @param path below the base URL, its segments encoded.
 * @param sent.requestId names this act in identity's journey too.
 * @throws what `fetch` throws when there is no answer in time.
 */
export async function askIdentity(
  { url, secret, timeoutMs }: OperatorAccess,
  method: string,
  path: string,
  { body, requestId }: { readonly body?: object | undefined; readonly requestId?: string | undefined } = {},
): Promise<IdentityReply> {
  // Such a segment would lead elsewhere, whatever is done to encode it: nothing has that name.
  if (/\/\.\.?(\/|$)/.test(path)) return { status: 404, body: null }
  const response = await fetch(new URL(path, url), {
    method,
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
    headers: {
      authorization: `Bearer ${secret}`,
      ...(requestId !== undefined && { 'x-request-id': requestId }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json().catch(() => null)) as IdentityReply['body'] }
}

/** Identity says the state itself; a reply that does not, from something in between, is read by its status. */
export function stateOf(id: string, { status, body }: IdentityReply): AnswerState {
  const { state, code } = body ?? {}
  if (status < 400 && (state === 'acknowledged' || state === 'pending')) return { state, id }
  const refused = state === 'refused' || (state !== 'unknown' && status >= 400 && status < 500)
  if (!refused) return { state: 'unknown', id }
  return { state: 'refused', id, code: typeof code === 'string' ? code : `http_${status}` }
}
