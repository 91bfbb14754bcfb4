import { defineJobClass, type JobClassInput } from '@countersign/policy'
import { catalogue, exampleCatalogue } from '@countersign/schemas'
import { describe, expect, it } from 'vitest'
import {
  judgeAudiences,
  judgeDemands,
  judgeScopes,
  judgeStrength,
  judgeUpstream,
  type Offered,
} from './cross-checks.ts'
import { type RouteFacts, readListing } from './routes.ts'

const LISTED = { name: 'invoices', path: '/invoices/*', access: 'protected', audience: 'api', upstream: 'http://up' }
const OFFERED: Offered = { scopes: ['invoices:export', 'payments:run'], acrs: ['pwd', 'mfa'] }

const route = (change: object = {}): RouteFacts =>
  readListing({ routes: [{ ...LISTED, ...change }] })?.routes[0] ?? expect.fail('no route')
const jobClass = (change: Partial<JobClassInput> = {}) =>
  defineJobClass({ name: 'export', topic: 'invoices.export', action: 'export', ...change })

describe('what one side demands and no other side gives', () => {
  it('a scope that no role grants', () => {
    const wanted = { scopes: ['invoices:export'] }
    expect(judgeScopes([route(wanted)], [jobClass(wanted)], OFFERED).state).toBe('ok')
    expect(judgeScopes([route({ scopes: ['invoices:burn'] })], [], OFFERED)).toMatchObject({
      state: 'fail',
      detail: 'route invoices demands invoices:burn, which no role grants',
    })
    expect(judgeScopes([], [jobClass({ scopes: ['invoices:exprot'] })], OFFERED)).toMatchObject({
      state: 'fail',
      detail: 'job class export demands invoices:exprot, which no role grants',
    })
    expect(judgeScopes([route()], [], null).state).toBe('skip')
  })

  it('an acr that nobody can reach', () => {
    expect(judgeStrength([route()], [jobClass()], null).state).toBe('ok')
    expect(judgeStrength([route({ acr: ['mfa'] })], [jobClass({ acr: ['mfa'] })], OFFERED).state).toBe('ok')
    for (const acr of [['phr'], ['phr', 'gold']]) {
      expect(judgeStrength([route({ acr })], [], OFFERED).state).toBe('fail')
      expect(judgeStrength([], [jobClass({ acr })], OFFERED).state).toBe('fail')
    }
    expect(judgeStrength([route({ acr: ['mfa', 'phr'] })], [], OFFERED)).toMatchObject({
      state: 'warn',
      detail: 'acr values nobody reaches, beside others: route invoices: phr',
    })
    expect(judgeStrength([route({ acr: ['mfa'] })], [], { ...OFFERED, acrs: null }).state).toBe('skip')
  })

  it('a login of those who never log in', () => {
    const principals = ['schedule', 'webhook'] as const
    expect(judgeStrength([], [jobClass({ principals })], OFFERED).state).toBe('ok')
    expect(judgeStrength([], [jobClass({ principals, acr: ['mfa'] })], OFFERED).state).toBe('fail')
    expect(judgeStrength([], [jobClass({ principals, maxAuthAgeMs: 1 })], OFFERED).state).toBe('fail')
    expect(judgeStrength([], [jobClass({ principals: ['user', 'schedule'], acr: ['mfa'] })], OFFERED).state).toBe('ok')
  })

  it('nothing at all', () => {
    expect(judgeDemands([jobClass({ scopes: ['x'] }), jobClass({ principals: ['schedule'] })]).state).toBe('ok')
    expect(judgeDemands([jobClass()])).toMatchObject({ state: 'warn', detail: expect.stringContaining('export') })
  })

  it('an audience that two topics share', () => {
    const topic = (logical: string, audience: string) => ({ logical, audience, payload: 'countersign.InvoiceExport' })
    expect(judgeAudiences(exampleCatalogue).state).toBe('ok')
    expect(judgeAudiences(catalogue([topic('a', 'one'), topic('b', 'two')])).state).toBe('ok')
    expect(judgeAudiences(catalogue([topic('a', 'one'), topic('b', 'one')]))).toMatchObject({
      state: 'fail',
      detail: 'a and b share one',
    })
  })

  it('tokens that the upstream does not take', () => {
    const accepts = { audience: 'api', trustDomain: 'example' }
    const access = route({ forward: 'access-token' })
    expect(judgeUpstream(access, null, accepts).state).toBe('ok')
    expect(judgeUpstream(route({ forward: 'access-token', upstreamAudience: 'billing' }), null, accepts)).toMatchObject(
      {
        state: 'fail',
        detail: 'the route makes tokens for billing, http://up takes those for api',
      },
    )
    expect(judgeUpstream(route(), 'example', accepts).state).toBe('ok')
    expect(judgeUpstream(route(), 'elsewhere', accepts).state).toBe('fail')
    expect(judgeUpstream(route(), 'example', { audience: 'api', trustDomain: null }).state).toBe('fail')
    expect(judgeUpstream(route(), 'example', null).state).toBe('skip')
  })
})

describe('a listing', () => {
  it('is read as it is, without routes of identity', () => {
    const listed = { trustDomain: 'example', routes: [LISTED, { name: 'login', path: '/login', access: 'identity' }] }
    expect(readListing(listed)).toMatchObject({ trustDomain: 'example', routes: [{ name: 'invoices', scopes: [] }] })
  })

  it.each([
    null,
    {},
    [],
    { routes: [{}] },
    { routes: [{ ...LISTED, access: 'open' }] },
    { trustDomain: 1, routes: [] },
  ])('is none: %j', (body) => {
    expect(readListing(body)).toBeNull()
  })
})
