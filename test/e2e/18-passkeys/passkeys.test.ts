/** Second factors in a real browser: its own authenticator for passkeys, and no script at all for codes. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { connect, createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import { TOTP } from 'otpauth'
import { type Browser, type BrowserContext, type CDPSession, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../day/processes.ts'
import { PASSWORD, SERVICE_SECRET, Site } from '../site.ts'

const found = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
)
if (found === undefined) console.log('No browser: skipping the test of passkeys. Debian: apt-get install -y chromium')

// As a phone or laptop has one: it knows its person, and answers without being touched.
const AUTHENTICATOR = {
  protocol: 'ctap2',
  transport: 'internal',
  hasResidentKey: true,
  hasUserVerification: true,
  isUserVerified: true,
  automaticPresenceSimulation: true,
} as const

describe.skipIf(found === undefined).each([
  ['at identity itself', false],
  ['behind a gateway', true],
])('in a browser, %s', (_where, isBehind) => {
  let site: Site
  let origin: string
  let app: Server
  let door: TcpServer
  let callback: string
  let browser: Browser
  let context: BrowserContext
  let page: Page
  let person = 0
  let devTools: CDPSession
  let authenticatorId: string
  const complaints: string[] = []

  beforeAll(async () => {
    const port = await freePort()
    origin = `http://localhost:${port}`
    const identity = { PASSKEY_DOMAIN: 'localhost', PASSKEY_ORIGINS: origin }
    site = await Site.start({ people: 10, identity, ...(isBehind && { gateways: 1 }) })
    // Origins of passkeys are told beforehand; which ports services get is not.
    door = createTcpServer((one) => {
      const other = connect(Number(new URL(site.door).port), '127.0.0.1')
      for (const socket of [one, other]) socket.on('error', () => socket.destroy())
      one.pipe(other).pipe(one)
    })
    await new Promise<void>((resolve) => door.listen(port, '127.0.0.1', resolve))
    const appPort = await freePort()
    callback = `http://localhost:${appPort}/callback`
    app = createServer((_request, response) => response.setHeader('content-type', 'text/html').end('<h1>Back</h1>'))
    await new Promise<void>((resolve) => app.listen(appPort, '127.0.0.1', resolve))
    const terms = { authMethod: 'none', grants: ['authorization_code'], redirectUris: [callback] }
    const client = { ...terms, id: 'browsed', name: 'App', scopes: ['invoices:read'], audiences: ['billing'] }
    expect((await site.operate('POST', '/v1/clients', client)).status).toBe(201)
    browser = await chromium.launch({
      executablePath: found ?? '',
      headless: true,
      args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'],
    })
  }, 90_000)
  afterAll(async () => {
    await browser?.close()
    app?.close()
    door?.close()
    await site?.close()
  })

  beforeEach(async () => {
    await context?.close()
    context = await begin()
    page = await context.newPage()
    devTools = await context.newCDPSession(page)
    await devTools.send('WebAuthn.enable')
    const added = await devTools.send('WebAuthn.addVirtualAuthenticator', { options: AUTHENTICATOR })
    authenticatorId = added.authenticatorId
    complaints.length = 0
    await logIn(page)
  })

  test('a person adds a passkey by keyboard alone, and an app that asks for it gets a token that says so', async () => {
    await addPasskey()
    await page.goto(authorize('phr'))
    await page.getByRole('heading', { name: 'Show one of your factors too' }).waitFor()
    // What cannot show as much is not offered.
    expect(await page.getByLabel('Code').count()).toBe(0)
    await page.getByRole('button', { name: 'Use a passkey' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Back' }).waitFor()
    const claims = await tokenClaims(new URL(page.url()))
    expect(claims).toMatchObject({ acr: 'phr', amr: ['pwd', 'pop', 'user', 'mfa'] })
    expect(await toldToBoundary()).toMatchObject({ acr: 'phr' })
    expect(complaints).toEqual([])
  }, 60_000)

  test('a passkey that cannot know its person is enough where that is not asked for, and of no use where it is', async () => {
    await devTools.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId })
    const key = { ...AUTHENTICATOR, transport: 'usb', hasResidentKey: false, hasUserVerification: false } as const
    await devTools.send('WebAuthn.addVirtualAuthenticator', { options: key })
    await addPasskey()
    await page.goto(authorize('phr'))
    await page.getByRole('heading', { name: 'Back' }).waitFor()
    expect(new URL(page.url()).searchParams.get('error')).toBe('unmet_authentication_requirements')
    expect(await toldToBoundary()).toMatchObject({ acr: 'pwd' })
    await page.goto(authorize('mfa'))
    await page.getByRole('button', { name: 'Use a passkey' }).click()
    await page.getByRole('heading', { name: 'Back' }).waitFor()
    expect(await tokenClaims(new URL(page.url()))).toMatchObject({ acr: 'mfa', amr: ['pwd', 'pop', 'mfa'] })
  }, 60_000)

  test('a passkey that refuses its person leaves everything as it was', async () => {
    await addPasskey()
    await devTools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false })
    await page.goto(authorize('phr'))
    await page.getByRole('button', { name: 'Use a passkey' }).click()
    await page.getByText('No passkey was used').waitFor()
    expect(await toldToBoundary()).toMatchObject({ acr: 'pwd' })
  }, 60_000)

  test('a signature that is none, and a copy of the key that counts from before, are refused by one answer', async () => {
    await addPasskey()
    await page.goto(`${origin}/step-up?continue=/session`)
    await page.getByRole('button', { name: 'Use a passkey' }).click()
    await page.getByRole('heading', { name: 'You are logged in' }).waitFor()

    const { credentials } = await devTools.send('WebAuthn.getCredentials', { authenticatorId })
    const [credential] = credentials
    if (credential === undefined) throw new Error('no credential')
    expect(credential.signCount).toBeGreaterThan(0)
    await devTools.send('WebAuthn.removeCredential', { authenticatorId, credentialId: credential.credentialId })
    const copy = { ...credential, signCount: 0 }
    await devTools.send('WebAuthn.addCredential', { authenticatorId, credential: copy })
    const before = (await context.cookies()).find(({ name }) => name === 'session')?.value
    await refused()

    await devTools.send('WebAuthn.removeCredential', { authenticatorId, credentialId: credential.credentialId })
    await devTools.send('WebAuthn.addCredential', { authenticatorId, credential: { ...credential, signCount: 100 } })
    await devTools.send('WebAuthn.setResponseOverrideBits', { authenticatorId, isBogusSignature: true })
    await refused()
    expect((await context.cookies()).find(({ name }) => name === 'session')?.value).toBe(before)

    await devTools.send('WebAuthn.setResponseOverrideBits', { authenticatorId, isBogusSignature: false })
    await page.getByRole('button', { name: 'Use a passkey' }).click()
    await page.getByRole('heading', { name: 'You are logged in' }).waitFor()
    expect(site.lines.some((line) => line.includes('a passkey counts backwards'))).toBe(true)

    async function refused(): Promise<void> {
      await page.goto(`${origin}/step-up?continue=/session`)
      await page.getByRole('button', { name: 'Use a passkey' }).click()
      await page.getByText('This did not show that it is you').waitFor()
    }
  }, 60_000)

  test('a person renames a passkey and removes it, which ends what stood on it', async () => {
    await addPasskey()
    // From here on, a change takes the passkey itself.
    await page.getByLabel('New name of Laptop').fill('Old laptop')
    await page.getByRole('button', { name: 'Rename: Laptop' }).click()
    await page.getByRole('button', { name: 'Use a passkey' }).click()
    await page.getByLabel('New name of Laptop').fill('Old laptop')
    await page.getByRole('button', { name: 'Rename: Laptop' }).click()
    await page.getByRole('button', { name: 'Remove: Old laptop' }).click()
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
  }, 60_000)

  test('without script, an authenticator app is set up and shown', async () => {
    const bare = await begin({ javaScriptEnabled: false })
    const plain = await bare.newPage()
    await logIn(plain)
    await plain.goto(`${origin}/security`)
    await plain.getByText('To add a passkey, let this page run script').waitFor()
    expect(await plain.getByRole('button', { name: 'Add a passkey' }).count()).toBe(0)
    await plain.getByRole('button', { name: 'Set up an authenticator app' }).click()
    await plain.getByRole('img', { name: /QR code/ }).waitFor()
    const secret = ((await plain.locator('code').textContent()) ?? '').replaceAll(' ', '')
    const totp = new TOTP({ secret })
    await plain.getByRole('textbox').fill(totp.generate())
    await plain.getByRole('button', { name: 'Confirm' }).click()
    await plain.getByRole('heading', { name: 'Your recovery codes' }).waitFor()
    const codes = await plain.locator('li code').allTextContents()
    expect(codes).toHaveLength(10)

    await plain.goto(authorize('mfa'))
    // The code that confirmed it is used up; the codes that came with it are not.
    await plain.getByRole('textbox').fill(codes[0] ?? '')
    await plain.getByRole('button', { name: 'Go on' }).click()
    await plain.getByRole('heading', { name: 'Back' }).waitFor()
    expect(await tokenClaims(new URL(plain.url()))).toMatchObject({ acr: 'mfa', amr: ['pwd', 'otp', 'mfa'] })
    await bare.close()
  }, 60_000)

  async function begin(options: { javaScriptEnabled?: boolean } = {}): Promise<BrowserContext> {
    const begun = await browser.newContext(options)
    begun.setDefaultTimeout(20_000)
    begun.on('console', (message) => {
      const icon = message.location().url.endsWith('/favicon.ico')
      if (message.type() === 'error' && !icon) complaints.push(message.text())
    })
    return begun
  }

  async function logIn(at: Page): Promise<void> {
    await at.goto(`${origin}/login`)
    await at.getByLabel('E-mail').fill(`person-${person++}@example.com`)
    await at.getByLabel('Password').fill(PASSWORD)
    await at.getByRole('button', { name: 'Log in' }).click()
    await at.getByRole('heading', { name: 'You are logged in' }).waitFor()
  }

  /** By keyboard alone: each key where the last one led. */
  async function addPasskey(): Promise<void> {
    await page.goto(`${origin}/security`)
    const name = page.getByLabel('Name of a new passkey')
    await name.waitFor()
    for (let i = 0; i < 20 && !(await name.evaluate((field) => field.matches(':focus'))); i++)
      await page.keyboard.press('Tab')
    await page.keyboard.type('Laptop')
    await page.keyboard.press('Enter')
    await page.getByText('These recovery codes').waitFor()
    expect(await page.locator('#passkey-codes li').count()).toBe(10)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByText('Laptop').first().waitFor()
    await page.getByText('10 are left').waitFor()
  }

  function authorize(acr: string): string {
    const challenge = createHash('sha256').update(VERIFIER).digest('base64url')
    const request = { response_type: 'code', client_id: 'browsed', redirect_uri: callback, scope: 'invoices:read' }
    const pkce = { code_challenge: challenge, code_challenge_method: 'S256' }
    return `${origin}/authorize?${new URLSearchParams({ ...request, ...pkce, acr_values: acr, state: 's' })}`
  }

  async function tokenClaims(back: URL): Promise<Record<string, unknown>> {
    const code = back.searchParams.get('code') ?? ''
    const grant = { grant_type: 'authorization_code', client_id: 'browsed', redirect_uri: callback }
    const body = new URLSearchParams({ ...grant, code, code_verifier: VERIFIER })
    const answer = await fetch(`${site.identity.address}/token`, { method: 'POST', body })
    const { access_token } = (await answer.json()) as { access_token: string }
    return JSON.parse(Buffer.from(access_token.split('.')[1] ?? '', 'base64url').toString())
  }

  /** What identity says of the browser's cookie to a service that asks. */
  async function toldToBoundary(): Promise<Record<string, unknown>> {
    const cookie = (await context.cookies()).find(({ name }) => name === 'session')?.value
    const headers = { authorization: `Bearer ${SERVICE_SECRET}`, 'content-type': 'application/json' }
    const request = { method: 'POST', headers, body: JSON.stringify({ cookie }) }
    return (await fetch(`${site.identity.address}/v1/sessions/resolve`, request)).json() as Promise<
      Record<string, unknown>
    >
  }
})

const VERIFIER = randomBytes(32).toString('base64url')
