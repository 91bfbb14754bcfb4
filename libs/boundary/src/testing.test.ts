/** The stand itself: people without sessions, for tests of applications. */
import fastify from 'fastify'
import { expect, test } from 'vitest'
import { fastifyHook } from './fastify.ts'
import { NOW, stand } from './testing.ts'

const job = { topic: 'invoices.export', value: { invoice_id: 'i-1', format: 'csv', work_ms: 0 } }

test('somebody is made without session or token, and sealed like anybody', async () => {
  const f = stand()
  const ann = await f.identityOf({ sub: 'ann', tenant: 'globex', scopes: ['invoices:export'] })
  expect(ann).toMatchObject({ sub: 'ann', tenant: 'globex', scopes: ['invoices:export'], principal: 'user' })
  await f.boundary.jobs.send({ ...job, identity: ann })
  expect(f.log.partition('invoices.export.v1').records).toHaveLength(1)
})

test('what ends them ends just them', async () => {
  const f = stand()
  const [ann, bob] = [
    await f.identityOf({ sub: 'ann', session: 's_a' }),
    await f.identityOf({ sub: 'bob', session: 's_b' }),
  ]
  f.view.raise({ kind: 'subject', tenant: '', id: 'ann' }, 'reason:suspension', NOW)
  await expect(f.boundary.jobs.send({ ...job, identity: ann })).rejects.toMatchObject({ denial: 'credential_revoked' })
  await f.boundary.jobs.send({ ...job, identity: bob })
  f.view.raise({ kind: 'session', tenant: '', id: 's_b' }, 'reason:logout', NOW)
  await expect(f.boundary.jobs.send({ ...job, identity: bob })).rejects.toMatchObject({ denial: 'credential_revoked' })
})

test('one whose test has ended them already is refused by name', async () => {
  const f = stand()
  f.view.raise({ kind: 'tenant', tenant: 'acme', id: '' }, 'reason:offboarding', NOW)
  await expect(f.identityOf()).rejects.toThrow('credential_revoked')
})

test.each(['cookie', 'bearer'] as const)('a server under test knows them by %s', async (kind) => {
  const f = stand()
  const app = fastify()
  app.addHook('onRequest', fastifyHook(f.boundary))
  app.get('/me', async ({ identity }) => identity.sub)
  const who = { sub: 'ann' }
  const headers = kind === 'cookie' ? { cookie: f.cookieOf(who) } : { authorization: `Bearer ${f.bearerOf(who)}` }
  expect((await app.inject({ url: '/me', headers })).body).toBe('ann')
  expect((await app.inject({ url: '/me', headers: { cookie: '__Host-session=somebody' } })).statusCode).toBe(401)
  await app.close()
})
