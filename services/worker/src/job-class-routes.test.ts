import { sealedMessage, stand } from '@countersign/enforcer/testing'
import { Secret } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { ENVELOPE_HEADER } from '@countersign/schemas'
import fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { jobClassRoutes } from './job-class-routes.ts'

const SECRET = 'a probe secret'
const classes = [defineJobClass({ name: 'export', topic: 'invoices.export', action: 'export' })]
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

async function server(secret: string | null = SECRET): Promise<FastifyInstance> {
  const app = fastify()
  const { enforcer } = stand()
  const probeSecret = secret === null ? undefined : new Secret(secret)
  await app.register(jobClassRoutes, { classes, enforcer, probeSecret })
  ends.push(() => app.close())
  return app
}

const { key, value, headers } = sealedMessage(0)
const sealed = headers?.[ENVELOPE_HEADER] as Buffer
const envelope = sealed.toString('base64')
const good = { envelope, key: (key as Buffer).toString('base64'), value: (value as Buffer).toString('base64') }

async function probe(
  app: FastifyInstance,
  { name = 'export', authorization = `Bearer ${SECRET}`, body = good as unknown },
): Promise<[number, string]> {
  const url = `/v1/job-classes/${name}/probe`
  const payload = JSON.stringify(body)
  const sent = { authorization, 'content-type': 'application/json' }
  const response = await app.inject({ method: 'POST', url, headers: sent, payload })
  const { reason, code, message } = response.json() as Record<string, string>
  return [response.statusCode, reason ?? code ?? message ?? '']
}

describe('a probe', () => {
  it('is decided as the job would be', async () => {
    const app = await server()
    expect(await probe(app, {})).toEqual([200, 'allowed'])
    expect(await probe(app, { body: { ...good, envelope: null } })).toEqual([200, 'envelope_missing'])
    expect(await probe(app, { body: { ...good, value: null } })).toEqual([200, 'envelope_payload_mismatch'])
  })

  it.each<[string, Parameters<typeof probe>[1], [number, string]]>([
    ['without the secret', { authorization: '' }, [401, 'probe_secret_wrong']],
    ['with another secret', { authorization: `Bearer ${SECRET}!` }, [401, 'probe_secret_wrong']],
    ['with another secret of the same length', { authorization: 'Bearer a probe secreT' }, [401, 'probe_secret_wrong']],
    ['of a class there is not', { name: 'nothing' }, [404, 'job_class_unknown']],
    ['that is no base64', { body: { ...good, envelope: '!' } }, [400, 'body_invalid']],
    ['with more than it takes', { body: { ...good, run: true } }, [400, 'body_invalid']],
  ])('%s is refused', async (_name, change, expected) => {
    expect(await probe(await server(), change)).toEqual(expected)
  })

  it('is not offered unless a secret is configured', async () => {
    const app = await server(null)
    expect((await probe(app, {}))[0]).toBe(404)
    expect((await app.inject('/v1/job-classes')).json()).toMatchObject([{ name: 'export' }])
  })
})
