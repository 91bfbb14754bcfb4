import { CountersignError, systemClock, systemRandom } from '@countersign/kernel'
import { createLogger, createMetrics } from '@countersign/telemetry'
import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createServer, type Readiness } from './server.ts'

const CANARY = 'canary-4711-secret'
let app: FastifyInstance
let lines: string[]
let readiness: Readiness

beforeEach(() => {
  lines = []
  readiness = { ready: true }
  app = createServer({
    logger: createLogger({ name: 'test', level: 'debug', destination: { write: (line) => void lines.push(line) } }),
    metrics: createMetrics(),
    clock: systemClock,
    random: systemRandom,
    problems: { THING_STATE_WRONG: { status: 409, title: 'The thing is not in that state' } },
    readiness: () => readiness,
    bodyLimit: 100,
  })
  app.post('/echo', async (request) => request.body)
  app.get('/known', async () => {
    throw new CountersignError({ code: 'THING_STATE_WRONG', retriable: false, publicMessage: CANARY })
  })
  app.get('/unknown', async () => {
    throw new Error(CANARY)
  })
})
afterEach(() => app.close())

it('answers health, and readiness with the reasons against it', async () => {
  expect((await app.inject('/healthz')).statusCode).toBe(200)
  expect((await app.inject('/readyz')).json()).toEqual({ ready: true, reasons: [] })
  expect((await app.inject('/metrics')).body).toContain('countersign_ready 1\n')
  readiness = { ready: false, reasons: ['store_away'] }
  const answer = await app.inject('/readyz')
  expect((await app.inject('/metrics')).body).toContain('countersign_ready 0\n')
  expect([answer.statusCode, answer.json()]).toEqual([503, { ready: false, reasons: ['store_away'] }])
})

it('answers a mapped error with its own problem document', async () => {
  const answer = await app.inject({ url: '/known', headers: { 'x-request-id': 'request-0001' } })
  expect(answer.statusCode).toBe(409)
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json\b/)
  expect(answer.headers['x-request-id']).toBe('request-0001')
  expect(answer.json()).toEqual({
    type: 'urn:countersign:problem:thing_state_wrong',
    title: 'The thing is not in that state',
    status: 409,
    code: 'THING_STATE_WRONG',
    instance: 'urn:request:request-0001',
  })
})

it('answers any other error with 500 and nothing of its text, in the answer or in the log', async () => {
  const answer = await app.inject('/unknown')
  expect(answer.json()).toMatchObject({ status: 500, code: 'http_500' })
  expect(answer.body + lines.join('')).not.toContain(CANARY)
  expect(lines.join('')).toContain('request failed')
})

it('refuses what is malformed, too large, of another type or not there, without quoting it', async () => {
  const json = { 'content-type': 'application/json' }
  const answers = [
    await app.inject({ method: 'POST', url: '/echo', headers: json, payload: `{"${CANARY}"` }),
    await app.inject({ method: 'POST', url: '/echo', headers: json, payload: JSON.stringify('x'.repeat(200)) }),
    await app.inject({ method: 'POST', url: '/echo', headers: { 'content-type': 'text/csv' }, payload: CANARY }),
    await app.inject(`/${CANARY}`),
    await app.inject({ method: 'POST', url: '/echo', headers: json, payload: '{"__proto__":{"admin":true}}' }),
  ]
  expect(answers.map((answer) => answer.statusCode)).toEqual([400, 413, 415, 404, 400])
  expect(answers.map((answer) => answer.body).join('') + lines.join('')).not.toContain(CANARY)
})

it('replaces a request id that is not one', async () => {
  for (const given of ['short', 'x'.repeat(65), 'with space and more']) {
    const { headers } = await app.inject({ url: '/healthz', headers: { 'x-request-id': given } })
    expect(headers['x-request-id']).toMatch(/^req_[\w-]{16}$/)
  }
})

it('counts by route, never by address', async () => {
  await app.inject(`/${CANARY}`)
  await app.inject('/healthz?a=1')
  const { body } = await app.inject('/metrics')
  expect(body).toContain('countersign_http_requests_total{route="/healthz",method="GET",status="200"} 1')
  expect(body).toContain('route="unmatched",method="GET",status="404"} 1')
  expect(body).not.toContain(CANARY)
})

it('finishes what is under way, and is not ready from the moment it closes', async () => {
  let release: () => void = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const begun = new Promise<void>((resolve) => {
    app.get('/slow', async () => {
      resolve()
      await held
      return 'done'
    })
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const slow = fetch(`${address}/slow`)
  await begun
  const closed = app.close()
  release()
  expect(await (await slow).text()).toBe('done')
  await closed
  await expect(fetch(`${address}/healthz`)).rejects.toThrow()
})
