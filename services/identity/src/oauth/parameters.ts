/** Parameters of an OAuth request, from a query or a form (RFC 6749 appendix B). */

export interface Parameters {
  /** By name; a parameter without a value is as if left out (RFC 6749 §3.1, §3.2). Of a repeated one, the first. */
  readonly values: ReadonlyMap<string, string>
  /** Names given more than once, which no request may do. */
  readonly repeated: ReadonlySet<string>
}

const MOST = 64
const NONE: ReadonlySet<string> = new Set()

/** @returns null for what is not form-encoded UTF-8 or has more than 64 parameters. */
export function readParameters(text: string): Parameters | null {
  const values = new Map<string, string>()
  let repeated: Set<string> | null = null
  if (text === '') return { values, repeated: NONE }
  const pairs = text.split('&', MOST + 1)
  if (pairs.length > MOST) return null
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    const name = formDecoded(at < 0 ? pair : pair.slice(0, at))
    const value = at < 0 ? '' : formDecoded(pair.slice(at + 1))
    if (name === null || value === null) return null
    if (value === '') continue
    if (values.has(name)) {
      repeated ??= new Set()
      repeated.add(name)
    } else values.set(name, value)
  }
  return { values, repeated: repeated ?? NONE }
}

/** @returns the text, null when it is not well encoded. */
export function formDecoded(text: string): string | null {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch {
    return null
  }
}

/** Scopes as asked (RFC 6749 §3.3): sorted, distinct. @returns null when it is no list of scope tokens. */
export function readScope(text: string): readonly string[] | null {
  const scopes = text.split(' ').filter((scope) => scope !== '')
  return scopes.length > 0 && scopes.every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/.test(scope))
    ? [...new Set(scopes)].sort()
    : null
}
