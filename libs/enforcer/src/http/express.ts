/** For Express 5: `app.post('/payments', expressEnforce(http, 'payment'), …)`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Identity } from '../work.ts'
import type { HttpEnforcer, HttpWork } from './http-enforcer.ts'
import { isGone } from './request.ts'

export { createHttpEnforcer, type HttpEnforcer, type HttpEnforcerOptions, type HttpWork } from './http-enforcer.ts'

declare global {
  namespace Express {
    interface Request {
      /** Set by the enforcer's middleware, on every request that got past it. */
      work: HttpWork
    }
  }
}

export interface ExpressEnforceOptions<R extends IncomingMessage> {
  /** Whether the object belongs to who asks; what it reads of the body needs a parser before this. */
  readonly owns?: (identity: Identity, req: R) => boolean | Promise<boolean>
}

/**
 * Lets a request on with `req.work`, or answers it. Nothing behind it can read the Txn-Token any more.
 * @throws {ENFORCER_CLASS_UNKNOWN} at once.
 */
export function expressEnforce<R extends IncomingMessage>(
  http: HttpEnforcer,
  jobClass: string,
  { owns }: ExpressEnforceOptions<R> = {},
): (req: R, res: ServerResponse, next: (error?: unknown) => void) => void {
  http.knows(jobClass)
  return (req, res, next) => {
    const asked = owns && ((identity: Identity) => owns(identity, req))
    http.judge(jobClass, req, undefined, asked).then((verdict) => {
      if (!verdict.ok) {
        const { status, headers, body } = verdict.answer
        res.writeHead(status, headers).end(body)
        return
      }
      res.once('close', () => verdict.end(res.statusCode))
      // Nobody would tell of it again.
      if (isGone(res)) verdict.end(res.statusCode)
      Object.assign(req, { work: verdict.work })
      next()
    }, next)
  }
}
