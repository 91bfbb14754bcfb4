/** Where a login goes on to. Only to pages of our own, so that nobody can be sent elsewhere from here. */
import type { SessionStore } from '@countersign/session-store'

const PAGES: ReadonlySet<string> = new Set([
  '/authorize',
  '/reauthenticate',
  '/security',
  '/session',
  '/sessions',
  '/step-up',
])
const LONGEST = 4096
const HERE = 'http://here.invalid'

/** @returns path and query to go on to; null for anything that is not a page of ours. */
export function continuation(text: unknown): string | null {
  if (typeof text !== 'string' || text.length > LONGEST || !text.startsWith('/') || /[\\\s]|^\/\//.test(text))
    return null
  if (!URL.canParse(text, HERE)) return null
  const { origin, pathname, search } = new URL(text, HERE)
  return origin === HERE && PAGES.has(pathname) ? pathname + search : null
}

/**
 * Where a form that goes on to authorization may end, for `form-action`: browsers hold the whole chain of redirects
 * to it. Only what the named client has registered.
 * @returns source expressions (CSP Level 3 §2.3.1), empty when there are none.
 */
export async function formActions(
  onward: string | null,
  store: Pick<SessionStore, 'client'>,
): Promise<readonly string[]> {
  if (onward === null) return []
  const { pathname, searchParams } = new URL(onward, HERE)
  const id = pathname === '/authorize' ? searchParams.get('client_id') : null
  const client = id ? await store.client(id) : null
  const redirect = searchParams.get('redirect_uri') ?? client?.redirectUris[0]
  if (!client || redirect === undefined || !client.redirectUris.includes(redirect) || !URL.canParse(redirect)) return []
  const { origin, protocol } = new URL(redirect)
  return [origin === 'null' ? protocol : origin]
}
