/** Every code this service answers errors with, besides those of the boundary. */
import type { ProblemMap } from '@countersign/host'

export type GatewayCode =
  | 'request_malformed'
  | 'route_unknown'
  | 'method_not_allowed'
  | 'rate_limited'
  | 'body_too_large'
  | 'exchange_unavailable'
  | 'upstream_unavailable'
  | 'upstream_timeout'

export const problems = {
  request_malformed: { status: 400, title: 'The request is malformed' },
  route_unknown: { status: 404, title: 'There is nothing here' },
  method_not_allowed: { status: 405, title: 'This method is not offered here' },
  rate_limited: { status: 429, title: 'Too many requests' },
  body_too_large: { status: 413, title: 'The request is too large' },
  exchange_unavailable: { status: 503, title: 'Credentials cannot be judged now; try again' },
  upstream_unavailable: { status: 502, title: 'The service behind did not answer' },
  upstream_timeout: { status: 504, title: 'The service behind took too long' },
} as const satisfies ProblemMap<GatewayCode>
