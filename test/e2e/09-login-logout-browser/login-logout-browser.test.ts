/** What the first run invites people to do, in a real browser: log in, queue a slow job, log out, watch it stop. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PASSWORD, Site } from '../site.ts'

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
    site = await Site.start()
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
    await page.goto(`${site.identity.address}/login`)
    await page.getByLabel('E-mail').fill('bob@example.com')
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('heading', { name: 'You are logged in' }).waitFor()

    await page.goto(`${site.api.address}/`)
    await page.getByLabel('Invoice').fill('acme-1002')
    await page.getByLabel('How long it takes').fill('60000')
    await page.getByRole('button', { name: 'Queue the payment' }).click()
    const status = page.getByRole('status')
    await status.filter({ hasText: 'A worker has admitted it' }).waitFor()

    const other = await browser.newPage()
    await other.goto(`${site.identity.address}/session`)
    await other.getByRole('button', { name: 'Log out' }).click()
    await other
      .getByRole('status')
      .filter({ hasText: 'You are logged out. Work you have queued is being stopped' })
      .waitFor()

    // The first page looks again by itself.
    await status.filter({ hasText: 'It was stopped.' }).waitFor()
    expect(await page.locator('main').textContent()).toContain('revoked_while_running')

    await page.goto(`${site.api.address}/`)
    await page.getByLabel('Invoice').fill('acme-1002')
    await page.getByRole('button', { name: 'Queue the payment' }).click()
    await page.waitForLoadState()
    expect(page.url()).not.toContain('/jobs/')
    expect(await browser.cookies()).toEqual([])
    // The last request is refused, which a browser says on its console.
    expect(complaints).toEqual([expect.stringContaining('401')])
  }, 60_000)
})
