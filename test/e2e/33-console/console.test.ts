/** What an operator does in the console, in a real browser: signs in with a second factor, ends a session, watches its receipt close, redrives work, has a denial explained. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Operations, Operator, startOperations } from './operations.ts'

const found = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
)
if (found === undefined)
  console.log('No browser: skipping the test of the console. Debian: apt-get install -y chromium')

describe.skipIf(found === undefined)('the console, in a browser', () => {
  let profile: string
  let operations: Operations
  let browser: BrowserContext
  let page: Page
  const olga = new Operator('olga')
  const complaints: string[] = []

  beforeAll(async () => {
    profile = mkdtempSync(join(tmpdir(), 'countersign-console-'))
    operations = await startOperations()
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: found ?? '',
      headless: true,
      viewport: { width: 1200, height: 800 },
      args: [
        ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
        ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ],
    })
    browser.setDefaultTimeout(20_000)
    browser.on('console', (message) => {
      if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url}`)
    })
    page = await browser.newPage()
  }, 90_000)
  afterAll(async () => {
    await browser?.close()
    await operations?.close()
    if (profile) rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  })

  test('an operator signs in with a second factor', async () => {
    await page.goto(`${operations.console.address}/topics`)
    await olga.logIn(page)
    await olga.showFactor(page)
    await page.getByRole('heading', { name: 'Topics and drift' }).waitFor()
    expect(page.url()).toBe(`${operations.console.address}/topics`)
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)
})
