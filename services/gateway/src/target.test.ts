import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type TargetFault, targetFault } from './target.ts'

test.each([
  '/',
  '/invoices',
  '/invoices/acme-1001',
  '/invoices/',
  '/a/.well-known/x',
  '/a/...',
  '/v1/x:y@z,(1)!$&*+=~',
  "/o'neil",
  '/caf%C3%A9/%E2%82%AC%20%22',
  '/a%3Ab%40c%2Bd',
  '/search?q=a/../b//c%2F..%00;x=\\{}',
  '/search?',
])('%s goes on', (target) => {
  expect(targetFault(target)).toBeNull()
})

test.each<[TargetFault, readonly string[]]>([
  ['target_form', ['', '*', 'http://upstream/invoices', 'upstream:80', 'invoices', '?x', '\\invoices']],
  ['target_empty_segment', ['//', '//evil.example/x', '/a//b', '/a//']],
  ['target_dot_segment', ['/.', '/..', '/a/..', '/a/./b', '/a/../b', '/./a', '/../a?x', '/a/..?x']],
  ['target_parameter', ['/a;b', '/a;/b', '/public/..;/admin', '/;']],
  [
    'target_character',
    ['/a\\b', '/a\\..\\b', '/a"b', '/a<b', '/a|b', '/a^b', '/a[b]', '/a{b}', '/a#b', '/a?b#c', '/é'],
  ],
  [
    'target_encoding',
    [
      ...['/a%2fb', '/a%2Fb', '/a%5cb', '/%2e%2e/a', '/.%2e/a', '/%2E', '/a%252fb', '/a%25', '/a%3bb', '/a%3fb'],
      ...['/a%23b', '/a%00', '/a%0d%0aX', '/a%09', '/a%7f', '/a%C2%85', '/%61dmin', '/%41', '/a%7e'],
      // Overlong slash and dot, a lone surrogate, a cut character, a stray byte, half an escape.
      ...['/a%c0%af', '/%c0%ae%c0%ae/a', '/a%e0%80%af', '/a%ed%a0%80', '/a%e2%82', '/a%ff', '/a%', '/a%2', '/a%zz'],
      ...['/a%u002f'],
    ],
  ],
])('%s', (fault, targets) => {
  for (const target of targets) expect([target, targetFault(target)]).toEqual([target, fault])
})

test('whatever passes reads the same however often it is decoded, normalised or joined', () => {
  const bytes = fc.constantFrom(
    '/',
    '.',
    '..',
    '%2e',
    '%2f',
    '%',
    '25',
    '\\',
    ';',
    'a',
    'B',
    '%C3%A9',
    '%20',
    ':',
    '//',
    '?',
  )
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 12 }), (parts) => {
      const target = `/${parts.join('')}`
      if (targetFault(target) !== null) return
      const path = target.split('?')[0] as string
      const once = decodeURIComponent(path)
      expect(decodeURIComponent(once)).toBe(once)
      expect(once.split('/').length).toBe(path.split('/').length)
      expect(new URL(path, 'http://upstream').pathname).toBe(path)
      expect(new URL(`http://upstream${path}`).pathname).toBe(path)
    }),
    { numRuns: 5000 },
  )
})
