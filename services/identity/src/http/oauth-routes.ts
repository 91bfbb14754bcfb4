/** What OAuth clients use. Forms in, JSON out; no answer of these may be read by pages of other sites. */
import { type Clock, isCountersignError, kibibytes } from '@countersign/kernel'
import type { Logger } from '@countersign/telemetry'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { StepUps } from '../factors/step-ups.ts'
import type { OAuthRequest } from '../oauth/asking.ts'
import type { AuthorizationRequest } from '../oauth/authorization.ts'
import { fault, isFault, type OAuthFault, STORE_AWAY, statusOf } from '../oauth/faults.ts'
import { readParameters } from '../oauth/parameters.ts'
import type { OAuth } from '../oauth/service.ts'
import type { Known } from '../sessions/sessions.ts'
import { KEY_SET_MAX_AGE_S } from '../tokens/index.ts'
import type { Guard } from './guard.ts'
import { authorizationRefusedPage, loginPage, reauthenticationPage, sendPage } from './pages.ts'
import { sendStepUp } from './step-up-routes.ts'

export interface OAuthRoutesOptions {
  readonly oauth: OAuth
  readonly stepUps: Pick<StepUps, 'begin'>
  readonly guard: Pick<Guard, 'session'>
  readonly clock: Clock
  readonly logger: Logger
}

const JSON_TYPE = 'application/json; charset=utf-8'
const BODY_LIMIT = kibibytes(16)
const METADATA_MAX_AGE_S = 3600

export async function oauthRoutes(app: FastifyInstance, options: OAuthRoutesOptions): Promise<void> {
  const { oauth, stepUps, guard, clock, logger } = options
  const { authorization, tokens, introspection, revocations, keys } = oauth
  app.removeAllContentTypeParsers()
  // Read here, not by a parser that guesses what a repeated or ill-encoded parameter means.
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: BODY_LIMIT },
    (_request, body, done) => done(null, body),
  )
  app.setErrorHandler((error, request, reply) => {
    const refused = faultOf(error)
    const fields = { requestId: request.id, route: request.routeOptions.url ?? 'unmatched', code: refused.error, error }
    if (statusOf(refused) >= 500) logger.error(fields, 'request failed')
    return sendFault(reply, refused, statusCodeOf(error))
  })

  app.post('/token', async (request, reply) => {
    const asked = read(request)
    const result = asked === null ? NOT_A_FORM : await tokens.answer(asked)
    if (isFault(result)) return sendFault(reply, result)
    // Once the last byte is handed over: what was cut off before counts as never answered.
    if (result.sent) reply.raw.once('finish', result.sent)
    return reply.header('pragma', 'no-cache').type(JSON_TYPE).send(JSON.stringify(result.response))
  })

  app.post('/introspect', async (request, reply) => {
    const asked = read(request)
    const result = asked === null ? NOT_A_FORM : await introspection.answer(asked)
    if (isFault(result)) return sendFault(reply, result)
    return reply.type(JSON_TYPE).send(JSON.stringify(result))
  })

  app.post('/revoke', async (request, reply) => {
    const asked = read(request)
    const result = asked === null ? NOT_A_FORM : await revocations.answer(asked)
    return result === null ? reply.code(200).send() : sendFault(reply, result)
  })

  for (const url of ['/token', '/introspect', '/revoke']) {
    app.route({
      method: ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
      url,
      handler: (_request, reply) =>
        sendFault(reply.header('allow', 'POST'), fault('invalid_request', 'POST is the only method here'), 405),
    })
  }

  // Not for HEAD: a code is not issued to nobody.
  app.get('/authorize', { exposeHeadRoute: false }, (request, reply) => authorize(queryOf(request), request, reply))
  app.post('/authorize', (request, reply) => authorize(textOf(request), request, reply))

  const { pathname } = new URL(oauth.issuer)
  // Before the issuer's path, not behind it (RFC 8414 §3.1).
  app.get(`/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`, (_request, reply) =>
    reply
      .header('cache-control', `public, max-age=${METADATA_MAX_AGE_S}`)
      .type(JSON_TYPE)
      .send(JSON.stringify(oauth.metadata)),
  )
  app.get('/jwks.json', (_request, reply) =>
    reply
      .header('cache-control', `public, max-age=${KEY_SET_MAX_AGE_S}`)
      .type('application/jwk-set+json; charset=utf-8')
      .send(JSON.stringify(keys.document())),
  )

  async function authorize(text: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const judged = await authorization.judge(text)
    if (judged.ok) {
      const known = await guard.session(request)
      const result = await authorization.answer(judged.request, known?.session ?? null, request.id)
      if ('location' in result) return onward(reply, result.location)
      if ('login' in result || known === null) return askWhoIsThere(reply, judged.request, known)
      const client = judged.request.client.id
      const asked = await stepUps.begin(known, { acr: result.stepUp, client, requestId: request.id })
      // Whoever lacks such a factor cannot be led there: the client is told, and may do with less.
      if (!asked.ok) return onward(reply, authorization.unmet(judged.request))
      return sendStepUp(reply, known, asked, { status: 200, ...carriedBy(judged.request) })
    }
    return judged.location === null
      ? sendPage(reply, 400, authorizationRefusedPage(judged.why))
      : onward(reply, judged.location)
  }

  function read(request: FastifyRequest): OAuthRequest | null {
    const parameters = readParameters(textOf(request))
    if (parameters === null) return null
    const { authorization } = request.headers
    return { id: request.id, authorization, parameters, source: request.ip, began: clock.monotonic() }
  }
}

const NOT_A_FORM = fault('invalid_request', 'the body is no form, or has too many parameters')

/** See Other, so that a form's fields are not sent on; and nobody is told where this came from. */
function onward(reply: FastifyReply, location: string): FastifyReply {
  return reply.header('referrer-policy', 'no-referrer').redirect(location, 303)
}

/** The page carries the request as parts of our own address: whatever comes back is judged anew. */
function askWhoIsThere(reply: FastifyReply, request: AuthorizationRequest, known: Known | null): FastifyReply {
  const { onward, actions } = carriedBy(request)
  const html = known === null ? loginPage({ onward }) : reauthenticationPage({ onward, email: known.account.email })
  return sendPage(reply, 200, html, actions)
}

function carriedBy({ carried, redirectUri }: AuthorizationRequest): { onward: string; actions: readonly string[] } {
  const { origin, protocol } = new URL(redirectUri)
  return { onward: `/authorize?${carried}`, actions: [origin === 'null' ? protocol : origin] }
}

function sendFault(reply: FastifyReply, refused: OAuthFault, status: number = statusOf(refused)): FastifyReply {
  const { error, description, retryAfterMs } = refused
  if (status === 401) reply.header('www-authenticate', 'Basic realm="countersign", charset="UTF-8"')
  if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  return reply
    .code(status)
    .header('pragma', 'no-cache')
    .type(JSON_TYPE)
    .send(JSON.stringify({ error, error_description: description }))
}

function faultOf(error: unknown): OAuthFault {
  if (isCountersignError(error) && error.retriable) return STORE_AWAY
  return statusCodeOf(error) === undefined
    ? fault('server_error', 'something went wrong on this side')
    : fault('invalid_request', 'the request is too large, or no form')
}

/** What the HTTP layer refused a request with. */
function statusCodeOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  return status >= 400 && status < 500 ? status : undefined
}

function textOf({ body }: FastifyRequest): string {
  return typeof body === 'string' ? body : ''
}

function queryOf({ url }: FastifyRequest): string {
  const at = url.indexOf('?')
  return at < 0 ? '' : url.slice(at + 1)
}
