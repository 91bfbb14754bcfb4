/** What the first run invites people to do, in a real browser, through the gateway: log in, queue a slow job, log out, watch it stop. */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OPERATOR_SECRET, PASSWORD, Site } from '../site.ts'

const found = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
)
if (found === undefined) console.log('No browser: skipping the test of the pages. Debian: apt-get install -y chromium')

describe.skipIf(found === undefined)('in a browser', () => {
  let profile: string
  let site: Site
  let browser: BrowserContext
  /** What pages complained of: blocked by policy, not found, script errors. */
  const complaints: string[] = []

  beforeAll(async () => {
    profile = mkdtempSync(join(tmpdir(), 'countersign-browser-'))
    site = await Site.start({ gateways: 1 })
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: found ?? '',
      headless: true,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    })
    browser.setDefaultTimeout(20_000)
    browser.on('console', (message) => {
      const icon = message.location().url.endsWith('/favicon.ico')
      if (message.type() === 'error' && !icon) complaints.push(message.text())
    })
  }, 90_000)
  afterAll(async () => {
    await browser?.close()
    await site?.close()
    if (profile) rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  })

  test('a person logs in, queues a slow payment, logs out and watches it stop', async () => {
    const page = await browser.newPage()
    await page.goto(`${site.door}/login`)
    await page.getByLabel('E-mail').fill('bob@example.com')
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('heading', { name: 'You are logged in' }).waitFor()

    await page.goto(`${site.door}/`)
    await page.getByLabel('Invoice').fill('acme-1002')
    await page.getByLabel('How long it takes').fill('60000')
    await page.getByRole('button', { name: 'Queue the payment' }).click()
    const status = page.getByRole('status')
    await status.filter({ hasText: 'A worker has admitted it' }).waitFor()

    const other = await browser.newPage()
    await other.goto(`${site.door}/session`)
    await other.getByRole('button', { name: 'Log out' }).click()
    await other
      .getByRole('status')
      .filter({ hasText: 'You are logged out. Work you have queued is being stopped' })
      .waitFor()

    // The first page looks again by itself.
    await status.filter({ hasText: 'It was stopped.' }).waitFor()
    expect(await page.locator('main').textContent()).toContain('revoked_while_running')

    await page.goto(`${site.door}/`)
    await page.getByLabel('Invoice').fill('acme-1002')
    await page.getByRole('button', { name: 'Queue the payment' }).click()
    await page.waitForLoadState()
    expect(page.url()).not.toContain('/jobs/')
    // What the browser is known again by stays; who was logged in does not.
    expect((await browser.cookies()).map(({ name }) => name)).toEqual(['device'])
    // The last request is refused, which a browser says on its console.
    expect(complaints.splice(0)).toEqual([expect.stringContaining('401')])
  }, 60_000)

  test('an app sends a person to log in, and gets them back with a code', async () => {
    const redirect = `${site.api.address}/back`
    const made = await fetch(`${site.identity.address}/v1/clients`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_SECRET}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        id: 'in-browser',
        name: 'An app',
        authMethod: 'none',
        grants: ['authorization_code'],
        redirectUris: [redirect],
        audiences: ['billing'],
        scopes: ['invoices:read'],
      }),
    })
    expect(made.status).toBe(201)
    const asked = new URLSearchParams({
      response_type: 'code',
      client_id: 'in-browser',
      redirect_uri: redirect,
      scope: 'invoices:read',
      state: 'the-state',
      code_challenge: createHash('sha256').update('v'.repeat(43)).digest('base64url'),
      code_challenge_method: 'S256',
    })
    const page = await browser.newPage()
    await page.goto(`${site.door}/authorize?${asked}`)
    await page.getByLabel('E-mail').fill('bob@example.com')
    await page.getByLabel('Password').fill('wrong password')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('alert').waitFor()
    // The policy of the page names where its form may end: from here the browser follows to another origin.
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.waitForURL(`${redirect}?**`)
    expect(new URL(page.url()).searchParams.get('state')).toBe('the-state')
    expect(new URL(page.url()).searchParams.get('code')).toMatch(/^[\w-]{20,}$/)
    expect(complaints.splice(0).filter((text) => text.includes('Content Security Policy'))).toEqual([])
  }, 60_000)

  test('a person sees where they are logged in, and ends one of these', async () => {
    const login = await fetch(`${site.door}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'curl/8' },
      body: JSON.stringify({ email: 'bob@example.com', password: PASSWORD }),
    })
    const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? ''
    const stands = async (): Promise<number> => (await fetch(`${site.door}/session`, { headers: { cookie } })).status
    expect(await stands()).toBe(200)
    const page = await browser.newPage()
    await page.goto(`${site.door}/sessions`)
    await page.getByRole('button', { name: /^End: curl/ }).click()
    await page.waitForURL('**/sessions')
    await expect.poll(stands).toBe(401)
    await page.getByRole('heading', { name: 'Your sessions' }).waitFor()
    expect(await page.getByRole('button', { name: /^End: curl/ }).count()).toBe(0)
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)
})
