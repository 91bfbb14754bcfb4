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
export type ShapeFault = 'host_repeated' | 'body_on_get' | 'length_ambiguous'

/**
 * What Node lets through although two readers could differ on it: a second Host, of which it keeps the first, and a body
 * where most servers look for none. Both lengths at once, and two lengths, its parser refuses already.
 */
export function shapeFault({ method, headers, rawHeaders }: Asked): ShapeFault | null {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.length === 4 && rawHeaders[i]?.toLowerCase() === 'host') hosts++
  }
  if (hosts > 1) return 'host_repeated'
  const { 'content-length': length, 'transfer-encoding': coding } = headers
  if (length === undefined && coding === undefined) return null
  if (length !== undefined && coding !== undefined) return 'length_ambiguous'
  return (method === 'GET' || method === 'HEAD') && length !== '0' ? 'body_on_get' : null
}
