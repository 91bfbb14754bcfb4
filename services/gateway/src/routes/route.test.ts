import { expect, test } from 'vitest'
import { readRoutes } from './route.ts'

const IDENTITY = 'http://127.0.0.1:4000'
const GOOD = { name: 'invoices', path: '/invoices/*', upstream: 'http://127.0.0.1:3001', audience: 'api' }
const read = (...routes: readonly unknown[]): ReturnType<typeof readRoutes> =>
  readRoutes(JSON.stringify(routes), IDENTITY)
const faultsOf = (...routes: readonly unknown[]): readonly string[] => {
  const result = read(...routes)
  return 'faults' in result ? result.faults : expect.fail('was taken')
}

test('fills in what is left out', () => {
  expect(read(GOOD)).toEqual({
    routes: [
      {
        ...GOOD,
        access: 'protected',
        methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
        scopes: [],
        acr: null,
        maxAuthAgeMs: null,
        credentials: null,
        introspect: false,
        rate: [],
        forward: 'txn-token',
        upstreamAudience: 'api',
        websocket: false,
        timeoutMs: 30_000,
        bodyLimit: 1_048_576,
      },
    ],
  })
})

test('reads everything, in the words of configuration', () => {
  const full = {
    ...GOOD,
    methods: ['GET', 'POST'],
    scopes: ['invoices:read'],
    acr: ['mfa', 'phr'],
    maxAuthAge: '15m',
    credentials: ['cookie', 'jwt'],
    introspect: true,
    rate: [
      { max: 10, window: '1s', per: 'tenant' },
      { max: 100, window: '1m', per: 'address' },
    ],
    forward: 'access-token',
    upstreamAudience: 'billing',
    websocket: true,
    timeout: '2s',
    bodyLimit: '64KiB',
  }
  expect(read(full)).toMatchObject({
    routes: [
      {
        methods: ['GET', 'HEAD', 'POST'],
        maxAuthAgeMs: 900_000,
        rate: [
          { max: 10, windowMs: 1000, per: 'tenant' },
          { max: 100, windowMs: 60_000, per: 'address' },
        ],
        upstreamAudience: 'billing',
        timeoutMs: 2000,
        bodyLimit: 65_536,
      },
    ],
  })
})

test('credentials lead to identity alone', () => {
  const login = { name: 'login', path: '/login', access: 'identity' }
  expect(read(login)).toMatchObject({ routes: [{ upstream: 'http://127.0.0.1:4000' }] })
  expect(faultsOf({ ...login, upstream: 'http://evil.example' })).toEqual([
    'route "login": upstream: leave it out: a route with credentials leads to identity alone',
  ])
})

test.each<[string, unknown, string]>([
  ['no name', { ...GOOD, name: undefined }, 'route 1: name: '],
  ['an unknown member', { ...GOOD, scope: ['x'] }, 'route "invoices": unknown: scope'],
  ['a path with dots', { ...GOOD, path: '/a/../b' }, 'route "invoices": path: '],
  ['a path that needs encoding', { ...GOOD, path: '/a b' }, 'route "invoices": path: '],
  ['a star in the middle', { ...GOOD, path: '/a/*/b' }, 'route "invoices": path: '],
  ['an empty segment', { ...GOOD, path: '/a//b' }, 'route "invoices": path: '],
  ['an upstream with a path', { ...GOOD, upstream: 'http://h:1/x' }, 'route "invoices": upstream: '],
  ['an upstream with a user', { ...GOOD, upstream: 'http://u:p@h:1' }, 'route "invoices": upstream: '],
  ['no upstream', { ...GOOD, upstream: undefined }, 'route "invoices": upstream: missing'],
  ['no audience', { ...GOOD, audience: undefined }, 'route "invoices": audience: missing'],
  ['no scope at all', { ...GOOD, scopes: [] }, 'route "invoices": scopes: must not be empty'],
  ['a scope with a blank', { ...GOOD, scopes: ['a', 'b c'] }, 'route "invoices": scopes[1]: '],
  ['a method nobody knows', { ...GOOD, methods: ['get'] }, 'route "invoices": methods[0]: '],
  ['a life that is no duration', { ...GOOD, maxAuthAge: 900 }, 'route "invoices": maxAuthAge: '],
  ['a rate without a window', { ...GOOD, rate: { max: 1, per: 'tenant' } }, 'route "invoices": rate'],
  ['a kind nobody takes', { ...GOOD, credentials: ['basic'] }, 'route "invoices": credentials[0]: '],
  ['an audience nobody exchanges for', { ...GOOD, upstreamAudience: 'b' }, 'route "invoices": upstreamAudience: '],
  [
    'scopes where nobody is judged',
    { name: 'invoices', path: '/i', upstream: 'http://h:1', access: 'public', scopes: ['a'] },
    'route "invoices": scopes: nobody is judged',
  ],
  [
    'a rate per tenant where nobody is known',
    { ...GOOD, audience: undefined, access: 'public', rate: { max: 1, window: '1s', per: 'tenant' } },
    'route "invoices": rate: only per address',
  ],
])('%s is refused, by route and field', (_name, route, line) => {
  const faults = faultsOf(route)
  expect(faults.join('\n')).toContain(line)
})

test('a request leads to one route', () => {
  expect(faultsOf(GOOD, { ...GOOD, path: '/x' })).toEqual(['route "invoices": name: given twice'])
  expect(faultsOf(GOOD, { ...GOOD, name: 'b', methods: ['POST'] })).toEqual([
    'route "b": path: POST /invoices/* is "invoices"\'s',
  ])
  expect(faultsOf(GOOD, { ...GOOD, name: 'b', path: '/Invoices/*' })).toEqual([
    'route "b": path: differs from /invoices/* by case alone',
  ])
})

test('says every fault at once, and what is no list', () => {
  expect(faultsOf({ ...GOOD, path: '' }, { ...GOOD, name: 'b', audience: '' })).toHaveLength(2)
  expect(readRoutes('{', IDENTITY)).toEqual({ faults: ['must be JSON: a list of routes'] })
  expect(readRoutes('[]', IDENTITY)).toEqual({ faults: ['must be a list of at least one route'] })
})
