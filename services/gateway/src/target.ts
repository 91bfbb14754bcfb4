/**
 * What a request may ask for (RFC 9112 §3.2). A path that two parsers could read in two ways is refused, not mended: what
 * the table matched is byte for byte what the upstream gets.
 */

/** Why a request target is refused; for logs, never for the caller. */
export type TargetFault =
  | 'target_form'
  | 'target_character'
  | 'target_empty_segment'
  | 'target_dot_segment'
  | 'target_parameter'
  | 'target_encoding'

// pchar of RFC 3986 §3.3 without `;` and `%`, which have reasons of their own.
const PLAIN = /^[A-Za-z0-9\-._~!$&'()*+,=:@/]+$/
const NOT_PLAIN = /[^A-Za-z0-9\-._~!$&'()*+,=:@/]/
// What a query may hold; Node refuses blanks and controls itself, and no fragment is sent (RFC 9110 §4.2.5).
const QUERY = /^[\x21\x22\x24-\x7e]*$/
const DOTS = /\/\.{1,2}(?:\/|$)/
const ENCODED = /%([0-9A-Fa-f]{2})?/g
// An upstream that decodes before it looks reads these as structure: / \ . ; ? # % and what needs no encoding at all.
const STRUCTURE = /[A-Za-z0-9\-._~/\\;?#%]/
// C0, DEL, C1.
const CONTROL = /\p{Cc}/u

/** @returns the path of a target that `targetFault` has passed. */
export function pathOf(target: string): string {
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}

/** @returns why the target is refused, or null. Cost: two regular expressions without backtracking. */
export function targetFault(target: string): TargetFault | null {
  // Absolute, authority and asterisk form are for proxies and for nobody.
  if (target.charCodeAt(0) !== SLASH) return 'target_form'
  const path = pathOf(target)
  if (path.length < target.length && !QUERY.test(target.slice(path.length))) return 'target_character'
  if (path.includes('//')) return 'target_empty_segment'
  if (DOTS.test(path)) return 'target_dot_segment'
  return PLAIN.test(path) ? null : encodingFault(path)
}

const SLASH = 0x2f

function encodingFault(path: string): TargetFault | null {
  if (path.includes(';')) return 'target_parameter'
  if (NOT_PLAIN.test(path.replaceAll('%', ''))) return 'target_character'
  for (const [, hex] of path.matchAll(ENCODED)) {
    if (hex === undefined || STRUCTURE.test(String.fromCharCode(Number.parseInt(hex, 16)))) return 'target_encoding'
  }
  try {
    // Refuses overlong forms, surrogates and what is cut off (RFC 3629 §3).
    return CONTROL.test(decodeURIComponent(path)) ? 'target_encoding' : null
  } catch {
    return 'target_encoding'
  }
}
