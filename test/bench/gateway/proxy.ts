/**
 * A Fastify proxy without us, in a process of its own: bare, or asking identity about the token of each request
 * (RFC 7662) as gateways without a view of their own do.
 */
import httpProxy from '@fastify/http-proxy'
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { Pool } from 'undici'
import { AUDIENCE, type IntrospectedBy } from './subject.ts'

export interface ProxyTask {
  readonly upstream: string
  /** Null: bare. */
  readonly introspection: IntrospectedBy | null
}

process.once('message', async ({ upstream, introspection }: ProxyTask) => {
  const app = fastify()
  await app.register(httpProxy, {
    upstream,
    disableRequestLogging: true,
    ...(introspection && { preHandler: introspecting(introspection) }),
  })
  process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }))
})
process.on('disconnect', () => process.exit(0))

function introspecting({ url, authorization }: IntrospectedBy) {
  const { origin, pathname: path } = new URL(url)
  const pool = new Pool(origin)
  const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' }
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1]
    if (token === undefined) return reply.code(401).send()
    const body = `token=${token}`
    const answer = await pool.request({ path, method: 'POST', headers, body })
    const told = (await answer.body.json()) as { active?: unknown; sub?: unknown; aud?: unknown }
    if (told.active !== true || ![told.aud].flat().includes(AUDIENCE)) return reply.code(401).send()
    delete request.raw.headers.authorization
    request.raw.headers['x-subject'] = String(told.sub)
    return undefined
  }
}
