/** What an operator does in the console, in a real browser: signs in with a second factor, ends a session, watches its receipt close, redrives work, has a denial explained. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { logSource } from '@countersign/evidence'
import { exampleCatalogue as catalogue } from '@countersign/schemas'
import axe from 'axe-core'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { becomes, CLIENT_SECRET, OPERATOR_SECRET, PASSWORD, until } from '../site.ts'
import { fallSilent, type Operations, Operator, PICTURES, startOperations } from './operations.ts'

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
    await page
      .getByRole('heading', { name: 'Topics and drift' })
      .waitFor({ timeout: 6000 })
      .catch(async (e) => {
        console.log(await page.content(), operations.site.lines.slice(-30))
        throw e
      })
    expect(page.url()).toBe(`${operations.console.address}/topics`)
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)

  test('a denial is explained, and made again bit for bit', async () => {
    const { site } = operations
    const bob = await site.login('bob')
    await site.stopWorker()
    const watched = await site.watched('/payments', bob, { invoice_id: 'acme-1001', amount_cents: '100', work_ms: '0' })
    expect((await site.logout(bob)).state).toBe('acknowledged')
    await operations.startWorker()
    await becomes(watched, { state: 'denied', reason: 'revoked_logout' })

    await open('/decisions')
    const row = page.getByRole('row').filter({ hasText: 'revoked logout' })
    await row.waitFor()
    await row.getByRole('link', { name: /^payments\.run/ }).click()
    await page.getByRole('heading', { name: 'What happened' }).waitFor()
    await page.getByText('the same, bit for bit').first().waitFor()
    expect(await page.getByText('not the same').count()).toBe(0)
    expect(await faults()).toEqual([])
    await picture('explained')
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)

  test('a session is ended, and its receipt closes while one looks', async () => {
    const { site } = operations
    await site.login('eve')
    const end = await fallSilent(site, 2_500)
    try {
      await open('/people')
      await page.getByLabel('Subject').fill('sub_eve')
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'Sessions of sub_eve' }).waitFor()
      await page.getByRole('button', { name: /^End session ses_/ }).click()
      await page.getByText('Open: 1 of 2 consumers has not said that it is applied.').waitFor()
      expect(await cell('worker-1', 'applied').count()).toBe(1)
      expect(await cell('worker-2', 'pending').count()).toBe(1)
      expect(await told()).toMatchObject({ actor: 'sub_olga', sub: 'sub_eve', outcome: 'acknowledged', acr: 'mfa' })
      await page.getByText('Closed.').waitFor()
      expect(await cell('worker-2', 'silent').count()).toBe(1)
      expect(await faults()).toEqual([])
      await picture('receipt')
      await open('/revocations')
      await page.getByRole('row').filter({ hasText: 'session end by administrator' }).getByText('closed').waitFor()
      expect(await faults()).toEqual([])
    } finally {
      await end()
    }
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)

  test('parked work is redriven, by plan, and done', async () => {
    const { site } = operations
    const ann = await site.login('ann')
    await site.notary.close()
    await until('the view to be too old', async () => !(await site.ready('worker')))
    const watched = await site.watched('/payments', ann, { invoice_id: 'acme-1002', amount_cents: '100', work_ms: '0' })
    await becomes(watched, { state: 'parked' })
    await site.startNotary()
    await until('the worker is ready', () => site.ready('worker'))

    await open('/parked')
    await page.getByRole('link', { name: /^Redrive payments\.run/ }).waitFor()
    expect(await faults()).toEqual([])
    await picture('parked')
    await page.getByRole('link', { name: /^Redrive payments\.run/ }).click()
    await page.getByText('1 job would be put on their topics again').waitFor()
    expect(await faults()).toEqual([])
    await page.getByRole('button', { name: 'Redrive 1 job' }).click()
    await page.getByText('Done: 1 redriven.').waitFor()
    expect(await faults()).toEqual([])
    await open('/parked')
    await page.getByText('Nothing waits to be redriven.').waitFor()
    await page.getByRole('row').filter({ hasText: 'view stale' }).getByText('executed').waitFor()
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)

  test('nothing stands in the way of who uses a keyboard or a screen reader', async () => {
    await open('/')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    expect(await page.evaluate('document.activeElement.id')).toBe('main')
    // The others are looked at where they show something.
    for (const path of ['/', '/people', '/people/sub_ann', '/decisions', '/topics']) {
      await open(path)
      expect(await faults(), path).toEqual([])
      if (path === '/') await picture('overview')
    }
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)

  test('while the log is away a page shows what was known, and an act is told as pending; then its receipt comes', async () => {
    const { site } = operations
    await site.login('eve')
    await open('/topics')
    await page.getByText('Every topic is as the catalogue asks.').waitFor()
    site.takeAway('log')
    await page.getByText(/^The log does not answer now. This is as of/).waitFor()
    expect(await page.getByRole('row').filter({ hasText: 'payments.run.v1' }).count()).toBe(1)
    await open('/people/sub_eve')
    await page.getByRole('button', { name: 'End all sessions' }).click()
    await page.getByText('Identity has it and delivers it as soon as the log can be reached.').waitFor()
    expect(await faults()).toEqual([])
    await open('/')
    await page.getByText(/^The log does not answer/).waitFor()
    await page.goBack()
    site.bringBack('log')
    await page.getByText('Closed.').waitFor()
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)

  test('while identity is away the log is shown as it goes on', async () => {
    const { site } = operations
    await open('/people/sub_ann')
    await page.getByText(/^As of/).waitFor()
    await site.identity.close()
    await page.getByText(/^Identity does not answer now. This is as of/).waitFor()
    await open('/')
    await page.getByText(/^Identity does not answer\./).waitFor()
    await page.getByText('ready', { exact: true }).waitFor()
    expect(await faults()).toEqual([])
    expect(complaints.splice(0)).toEqual([])
  }, 60_000)

  test('what it logs holds no secret', async () => {
    const held = [
      CLIENT_SECRET,
      OPERATOR_SECRET,
      PASSWORD,
      ...(await page.context().cookies()).map(({ value }) => value),
    ]
    expect(held.length).toBeGreaterThan(4)
    for (const secret of held) expect(operations.lines.join('\n')).not.toContain(secret)
  })

  /** The last act of the console on the journey. */
  async function told(): Promise<object> {
    const log = await openSqliteLog({ path: operations.site.logPath, catalogue, create: false })
    try {
      let last: object = {}
      await until('the act is on the journey', async () => {
        for await (const { event } of logSource(log, catalogue).journey())
          if (event.action === 'administration' && event.cause?.startsWith('console_')) last = event
        return 'sub' in last && last.sub !== 'sub_olga'
      })
      return last
    } finally {
      await log.close()
    }
  }

  function cell(consumer: string, text: string) {
    return page.getByRole('row').filter({ hasText: consumer }).getByText(text, { exact: true })
  }

  async function open(path: string): Promise<void> {
    await page.goto(`${operations.console.address}${path}`)
    await page.getByRole('heading', { level: 1 }).waitFor()
  }

  /** What axe finds wrong with the page. */
  async function faults(): Promise<readonly string[]> {
    // Evaluated, not loaded: the page's policy stays as it is.
    await page.evaluate(axe.source)
    const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run())
    return violations.flatMap(({ id, impact, nodes }) =>
      nodes.map(({ html }) => `${impact} ${id}: ${html.slice(0, 200)}`),
    )
  }

  /** Kept for the README when asked for; the test never reads it. */
  async function picture(name: string): Promise<void> {
    if (process.env.PICTURES === undefined) return
    mkdirSync(PICTURES, { recursive: true })
    await page.screenshot({ path: join(PICTURES, `${name}.png`) })
  }
})
