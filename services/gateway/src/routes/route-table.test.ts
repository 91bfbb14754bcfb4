import { expect, test } from 'vitest'
import { type Route, readRoutes } from './route.ts'
import { RouteTable } from './route-table.ts'

const IDENTITY = 'http://127.0.0.1:4000'

function table(...routes: readonly object[]): RouteTable {
  const read = readRoutes(JSON.stringify(routes.map((route, i) => ({ name: `r${i}`, ...route }))), IDENTITY)
  return new RouteTable('routes' in read ? (read.routes as readonly Route[]) : expect.fail(read.faults.join('\n')))
}
const open = { access: 'public', upstream: 'http://127.0.0.1:1' }
const closed = { audience: 'api', upstream: 'http://127.0.0.1:1' }
const named = (it: RouteTable, path: string, method = 'GET'): string => {
  const match = it.find(path, method)
  return match.ok ? match.route.name : match.code
}

test('an exact path beats a prefix, a longer prefix a shorter one', () => {
  const it = table(
    { ...open, path: '/*' },
    { ...closed, path: '/a/*' },
    { ...closed, path: '/a/b/*' },
    { ...closed, path: '/a/b/c' },
    { ...open, path: '/' },
  )
  const found = ['/', '/x', '/a/x', '/a/b/x', '/a/b/c', '/a/b/c/d', '/ab/c'].map((path) => named(it, path))
  expect(found).toEqual(['r4', 'r0', 'r1', 'r2', 'r3', 'r2', 'r0'])
})

test('what is not listed is nobody’s', () => {
  const it = table({ ...closed, path: '/a/*' }, { ...closed, path: '/b' })
  expect(['/', '/a', '/b/', '/b/c', '/c', '/A/x'].map((path) => named(it, path))).toEqual(
    Array(6).fill('route_unknown'),
  )
})

test('the path decides, then the method: none leads past the route that owns the path', () => {
  const it = table(
    { ...open, path: '/*' },
    { ...closed, path: '/a', methods: ['POST'] },
    { ...closed, path: '/a', methods: ['GET'] },
  )
  expect(['GET', 'HEAD', 'POST'].map((method) => named(it, '/a', method))).toEqual(['r2', 'r2', 'r1'])
  expect(it.find('/a', 'DELETE')).toEqual({ ok: false, code: 'method_not_allowed', allow: 'POST, GET, HEAD' })
  expect(named(it, '/b', 'PROPFIND')).toBe('method_not_allowed')
})

test('a path is refused that a lenient upstream would read as another route’s', () => {
  const it = table(
    { ...open, path: '/*' },
    { ...closed, path: '/admin/*' },
    { ...closed, path: '/reports' },
    { ...closed, path: '/jobs' },
    { ...closed, path: '/jobs/*' },
    { ...closed, path: '/app/' },
  )
  for (const path of [
    '/admin',
    '/ADMIN',
    '/Admin/x',
    '/admin/../x',
    '/reports/',
    '/Reports',
    '/jobs/',
    '/App/',
    '/app',
  ])
    if (!path.includes('..')) expect([path, named(it, path)]).toEqual([path, 'path_ambiguous'])
  const fine = ['/admin/', '/admin/X', '/reports', '/jobs', '/jobs/x', '/app/', '/other', '/Other/'].map((path) =>
    named(it, path),
  )
  expect(fine).toEqual(['r1', 'r1', 'r2', 'r3', 'r4', 'r5', 'r0', 'r0'])
})

test('a path of 16,000 segments costs no more than the longest prefix', () => {
  const it = table({ ...open, path: '/a/*' })
  let prefixes = 0
  const path = new Proxy(Object(`/a${'/a'.repeat(16_000)}`) as object, {
    get: (text, name) => {
      if (name === 'slice') prefixes++
      const value = Reflect.get(text, name, text) as unknown
      return typeof value === 'function' ? value.bind(text) : value
    },
  }) as unknown as string
  expect(named(it, path)).toBe('r0')
  expect(prefixes).toBeLessThan(4)
})
