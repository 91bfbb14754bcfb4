/** The middleware for Express 5: `app.use(expressHook(boundary))`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { answerOf } from './answer.ts'
import type { Boundary } from './boundary.ts'
import type { Demands } from './demands.ts'
import type { Denial } from './denial.ts'
import { stripCredentials } from './http.ts'
import type { BoundaryIdentity } from './identity.ts'

declare global {
  namespace Express {
    interface Request {
      /** Set by the boundary's middleware, on every request that got past it. */
      identity: BoundaryIdentity
    }
  }
}

/** The part of an Express request that is used; Express need not be installed for the types. */
export interface ExpressRequest extends IncomingMessage {
  ip?: string | undefined
}

/**
 * Lets a request on with `req.identity`, or answers it. Either way nothing behind it can read the credential any
 * more: use it first.
 */
export function expressHook(
  boundary: Boundary,
): (req: ExpressRequest, res: ServerResponse, next: (error?: unknown) => void) => void {
  return (req, res, next) => {
    const { method, headers, rawHeaders, ip } = req
    // Copied before anything waits: the credential is gone from the request while identity is asked.
    const seen = { method: method ?? 'GET', headers: { ...headers }, rawHeaders: [...rawHeaders], ip }
    stripCredentials(req)
    boundary.admit(seen).then((admission) => {
      if (admission.ok) {
        Object.assign(req, { identity: admission.identity })
        next()
        return
      }
      refuse(admission, res)
    }, next)
  }
}

/** For routes that ask for more than to be let in: `app.post('/payments', expressDemand(boundary, { acr: ['phr'] }), …)`. */
export function expressDemand(
  boundary: Pick<Boundary, 'demand'>,
  demands: Demands,
): (req: { identity: BoundaryIdentity }, res: ServerResponse, next: () => void) => void {
  return (req, res, next) => {
    const answer = boundary.demand(req.identity, demands)
    if (answer.ok) next()
    else refuse(answer, res)
  }
}

function refuse(denial: Denial, res: ServerResponse): void {
  const { status, headers, body } = answerOf(denial)
  res.writeHead(status, headers).end(body)
}
