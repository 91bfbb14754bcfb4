/** Where passkeys are bound to and may be used: from the configuration, else where the issuer is. */
import { isIP } from 'node:net'
import type { RelyingParty } from './webauthn.ts'

export interface RelyingPartyTerms {
  readonly issuer: string
  /** Domain; default the issuer's host. */
  readonly domain?: string | undefined
  /** Default the issuer's. */
  readonly origins?: readonly string[] | undefined
}

/** @returns null where there can be none: an address is no domain (Web Authentication Level 3 §5.1.2). */
export function relyingPartyOf({ issuer, domain, origins }: RelyingPartyTerms): RelyingParty | null {
  const { hostname, origin } = new URL(issuer)
  const id = domain ?? hostname
  return isAddress(id) ? null : { id, origins: origins ?? [origin], name: 'Countersign' }
}

/** @returns the terms, by name, under which no browser would make a passkey. */
export function relyingPartyFaults(terms: RelyingPartyTerms): ('domain' | 'origins')[] {
  const { domain, origins } = terms
  const id = domain ?? new URL(terms.issuer).hostname
  const wrong: ('domain' | 'origins')[] = []
  if (domain !== undefined && !isDomain(domain)) wrong.push('domain')
  const all = origins ?? (domain === undefined ? [] : [new URL(terms.issuer).origin])
  if (!all.every((origin) => isOriginOf(origin, id))) wrong.push('origins')
  return wrong
}

// What a browser takes as one: secure, or on this machine; of the domain or below it.
function isOriginOf(text: string, id: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, origin } = new URL(text)
  const isSecure = protocol === 'https:' || (protocol === 'http:' && /(^|\.)localhost$/.test(hostname))
  return text === origin && isSecure && (hostname === id || hostname.endsWith(`.${id}`))
}

function isDomain(text: string): boolean {
  return /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(text) && text.length <= 253 && !isAddress(text)
}

function isAddress(hostname: string): boolean {
  return isIP(hostname) !== 0 || hostname.startsWith('[')
}
