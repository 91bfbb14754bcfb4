/** A client sends a person to log in, in a real browser, which holds the redirects of a form to the page's policy. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
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
  let client: Server
  let callback: string
  const called: URL[] = []
  const complaints: string[] = []

  beforeAll(async () => {
    profile = mkdtempSync(join(tmpdir(), 'countersign-browser-'))
    site = await Site.start()
    client = createServer((request, response) => {
      const url = new URL(request.url ?? '', callback)
      if (url.pathname === '/callback') called.push(url)
      response.setHeader('content-type', 'text/html').end('<h1>Back at the application</h1>')
    })
    await new Promise<void>((resolve) => client.listen(0, '127.0.0.1', resolve))
    callback = `http://localhost:${(client.address() as AddressInfo).port}/callback`
    const terms = { authMethod: 'none', grants: ['authorization_code', 'refresh_token'], redirectUris: [callback] }
    const more = { id: 'browsed', name: 'Application', scopes: ['invoices:read'], audiences: ['reports'] }
    expect((await site.operate('POST', '/v1/clients', { ...terms, ...more })).status).toBe(201)
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: found ?? '',
      headless: true,
      args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'],
    })
    browser.setDefaultTimeout(20_000)
    browser.on('console', (message) => {
      const icon = message.location().url.endsWith('/favicon.ico')
      if (message.type() === 'error' && !icon) complaints.push(message.text())
    })
  }, 90_000)
  afterAll(async () => {
    await browser?.close()
    client?.close()
    await site?.close()
    if (profile) rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  })

  const asked = (more: Record<string, string> = {}): string => {
    const challenge = createHash('sha256').update(randomBytes(32).toString('base64url')).digest('base64url')
    const pkce = { code_challenge: challenge, code_challenge_method: 'S256' }
    const request = {
      response_type: 'code',
      client_id: 'browsed',
      redirect_uri: callback,
      state: 's1',
      ...pkce,
      ...more,
    }
    return `${site.identity.address}/authorize?${new URLSearchParams(request)}`
  }

  test('a person logs in for a client and comes back to it; asked again, they show themselves again', async () => {
    const page = await browser.newPage()
    await page.goto(asked())
    await page.getByLabel('E-mail').fill('bob@example.com')
    await page.getByLabel('Password').fill('not the password')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('alert').waitFor()
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('heading', { name: 'Back at the application' }).waitFor()
    expect(called.at(-1)?.searchParams.get('code')).toMatch(/^ac_/)
    expect(called.at(-1)?.searchParams.get('state')).toBe('s1')

    await page.goto(asked({ prompt: 'login', state: 's2' }))
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Go on' }).click()
    await page.getByRole('heading', { name: 'Back at the application' }).waitFor()
    expect(called.at(-1)?.searchParams.get('state')).toBe('s2')

    await page.goto(asked({ redirect_uri: 'https://evil.example/' }))
    await page.getByRole('alert').waitFor()
    expect(complaints.filter((text) => !/40[01]/.test(text))).toEqual([])
  })
})
