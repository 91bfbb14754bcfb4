import type { Factor } from '@countersign/session-store'
import { expect, test } from 'vitest'
import { passkeyButton, recoveryCodesPage, securityPage, totpAgainPage, totpPage } from './security-pages.ts'

const PASSKEY: Factor = {
  handle: 'fac_1',
  sub: 'sub_bob',
  kind: 'webauthn',
  name: '"><script>alert(1)</script>',
  createdAt: 0,
  lastUsedAt: null,
  totp: null,
  codes: null,
  webauthn: null,
}
const RECOVERY: Factor = { ...PASSKEY, handle: 'fac_2', kind: 'recovery', codes: ['a', 'b'] }
const APP: Factor = { ...PASSKEY, handle: 'fac_3', kind: 'totp', lastUsedAt: 60_000 }
const URI = 'otpauth://totp/Countersign:bob?secret=JBSWY3DPEHPK3PXP&issuer=Countersign'

const PAGES: readonly (readonly [string, string])[] = [
  ['nothing yet', securityPage({ factors: [], passkeys: true })],
  ['everything', securityPage({ factors: [PASSKEY, RECOVERY, APP], passkeys: true, note: '<b>' })],
  ['no passkeys', securityPage({ factors: [], passkeys: false })],
  ['an app to set up', totpPage({ uri: URI, secret: 'JBSWY3DPEHPK3PXP' })],
  ['a wrong code', totpAgainPage('<b>')],
  ['codes', recoveryCodesPage(['<i>', 'b'])],
]

test.each(PAGES)('%s: runs no script but our own files, and names every field and button', (_what, html) => {
  for (const [tag] of html.matchAll(/<script[^>]*>/g))
    expect(tag).toMatch(/^<script src="\/(simplewebauthn|passkeys)\.js" defer>$/)
  expect(html).not.toMatch(/\son\w+=|javascript:|style=/)
  expect(html).not.toContain('<b>')
  expect(html).not.toContain('<i>')
  const ids = [...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const [field] of html.matchAll(/<input(?![^>]*type="hidden")[^>]*>/g)) {
    const id = /\sid="([^"]+)"/.exec(field)?.[1]
    expect(html).toContain(`<label for="${id}">`)
  }
  const [first = ''] = html.match(/aria-describedby="[^"]+"/) ?? []
  if (first !== '') expect(html).toContain(`id=${first.slice('aria-describedby='.length)}`)
})

test('the same word on several buttons says for each what it is about', () => {
  const html = securityPage({ factors: [PASSKEY, APP], passkeys: true })
  expect(html).toContain('aria-label="Remove: authenticator app"')
  expect(html).toContain('aria-label="Remove: &#34;&#62;&#60;script')
  expect(html).toContain('>last used <time datetime="1970-01-01T00:01:00.000Z">'.slice(1))
})

test('where no passkey can be made, nothing is run for one', () => {
  expect(securityPage({ factors: [], passkeys: false })).not.toContain('<script')
})

test('a key can be scanned, opened or typed', () => {
  const html = totpPage({ uri: URI, secret: 'JBSWY3DPEHPK3PXP' })
  expect(html).toContain('<svg viewBox=')
  expect(html).toContain('JBSW Y3DP EHPK 3PXP')
  expect(html).toContain('href="otpauth://totp/Countersign:bob?secret=JBSWY3DPEHPK3PXP&#38;issuer=Countersign"')
})

test('what a button goes on to is no markup', () => {
  expect(passkeyButton('/x?"><script>')).toContain('data-continue="/x?&#34;&#62;&#60;script&#62;"')
})
