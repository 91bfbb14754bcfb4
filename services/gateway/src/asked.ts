/** A request as the gateway judges it, whichever listener it came to. Structurally what a boundary reads. */
import type { BoundaryRequest } from '@countersign/boundary'

export interface Asked extends BoundaryRequest {
  /** Request target as it came. */
  readonly target: string
  /** Address of the caller, proxies accounted for. */
  readonly ip: string
  readonly id: string
}

/** Why a request is refused by its shape alone; for logs. */
export type ShapeFault = 'host_repeated' | 'host_malformed' | 'body_on_get' | 'length_ambiguous' | 'coding_unknown'

// RFC 9110 §7.2, of names that DNS has, and those of containers.
const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/

/**
 * What Node lets through although two readers could differ on it: a second Host, of which it keeps the first, or one that
 * is more than host and port; a body where most servers look for none; codings beside `chunked`, which it does not undo. Both lengths at once, and two lengths, its parser refuses already.
 */
export function shapeFault({ method, headers, rawHeaders }: Asked): ShapeFault | null {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === 4 && rawHeaders[i]?.toLowerCase() === 'host') hosts++
  }
  if (hosts > 1) return 'host_repeated'
  // Before HTTP/1.1 there may be none.
  if (headers.host !== undefined && !HOST.test(headers.host)) return 'host_malformed'
  const { 'content-length': length, 'transfer-encoding': coding } = headers
  if (length === undefined && coding === undefined) return null
  if (length !== undefined && coding !== undefined) return 'length_ambiguous'
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return 'coding_unknown'
  return (method === 'GET' || method === 'HEAD') && length !== '0' ? 'body_on_get' : null
}
