/** A console beside a site, with somebody who operates it; and the pages of identity as that person walks through them. */
import { join } from 'node:path'
import { type Console, config, startConsole } from '@countersign/console'
import { createEnforcer } from '@countersign/enforcer'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock as clock, loadConfig, systemRandom as random } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { exampleCatalogue as catalogue } from '@countersign/schemas'
import { createLogger, createMetrics } from '@countersign/telemetry'
import { Secret, TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import { freePort } from '../../day/processes.ts'
import { CLIENT_SECRET, ISSUER, OPERATOR_SECRET, PASSWORD, Site, type SiteOptions, until } from '../site.ts'

const APP = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'
const OPERATIONS = 'operations'

const EXPORT = { name: 'export', topic: 'invoices.export', action: 'export', scopes: ['invoices:export'] }

/** What cannot be judged is parked as soon as the budget has passed, which is as small as it may be. */
const CLASSES: readonly object[] = [
  {
    ...{ name: 'payment', topic: 'payments.run', action: 'pay', object: 'invoice_id', scopes: ['payments:run'] },
    ...{ stalenessBudgetMs: 1_200, whenNotFresh: 'park' },
  },
  EXPORT,
]

export interface Operations {
  readonly site: Site
  readonly console: Console
  /** Everything the console logged. */
  readonly lines: readonly string[]
  startWorker(): Promise<void>
  close(): Promise<void>
}

/** @param more of the console's configuration, without its prefix. */
export async function startOperations(
  more: Readonly<Record<string, string>> = {},
  options: SiteOptions = {},
): Promise<Operations> {
  const port = await freePort()
  const address = `http://127.0.0.1:${port}`
  const site = await Site.start({
    ...options,
    worker: false,
    seed: {
      accounts: [person('olga', OPERATIONS, ['admin']), person('otto', OPERATIONS, ['viewer'])],
      clients: [
        {
          ...{ id: 'console', name: 'Console', authMethod: 'client_secret_basic', secret: CLIENT_SECRET },
          ...{ grants: ['authorization_code'], redirectUris: [`${address}/signed-in`], audiences: ['console'] },
          tokenFormat: 'opaque',
        },
      ],
    },
  })
  async function startWorker(): Promise<void> {
    await site.startWorker({ JOB_CLASSES: JSON.stringify(CLASSES) })
    await until('the worker is ready', () => site.ready('worker'))
  }
  await startWorker()
  const lines: string[] = []
  const logger = createLogger({
    name: 'console',
    level: 'debug',
    destination: { write: (line) => void lines.push(line) },
  })
  const values: Record<string, string> = {
    ...{ HTTP_PORT: String(port), PUBLIC_URL: address, LOG_PATH: site.logPath, ROOT_KEY: site.rootKey },
    ...{ IDENTITY_URL: site.identity.address ?? '', ISSUER, SIGN_IN_URL: site.identity.address ?? '' },
    ...{ CLIENT_SECRET, OPERATOR_SECRET, TENANT: OPERATIONS, INSECURE_COOKIES: 'true' },
    ...more,
  }
  const env = Object.fromEntries(Object.entries(values).map(([name, value]) => [`COUNTERSIGN_${name}`, value]))
  const console = await startConsole(loadConfig(config, env), logger)
  return {
    site,
    console,
    lines,
    startWorker,
    async close() {
      await console.close()
      await site.close()
    },
  }
}

/**
 * A consumer that has registered and then says nothing more, not even goodbye.
 * @returns what ends it for good.
 */
export async function fallSilent(site: Site, maxStalenessMs: number): Promise<() => Promise<void>> {
  const logger = createLogger({ name: 'silent', level: 'silent' })
  const log = await openSqliteLog({ path: site.logPath, catalogue, create: false })
  const shared = { log, clock, logger, consumer: 'worker-2' }
  const rootKeys = [Buffer.from(site.rootKey.trim(), 'base64')]
  const progress = { everyMs: 200, maxStalenessMs }
  const replica = new Replica({ ...shared, rootKeys, progress, metrics: createMetrics() })
  const rules = defineJobClass({ ...EXPORT, stalenessBudgetMs: maxStalenessMs }, { checkpointIntervalMs: 300 })
  const enforcer = createEnforcer({ ...shared, replica, catalogue, random, classes: [rules] })
  await replica.start()
  await until('the consumer has registered', () => replica.freshness().proven)
  await log.close()
  return async () => {
    await enforcer.stop()
    await replica.stop()
  }
}

/** Shows a password, and the next code of the app: each is good once. */
export class Operator {
  readonly #app = new TOTP({ secret: Secret.fromBase32(APP) })
  readonly #name: string
  #step = -1

  constructor(name: string) {
    this.#name = name
  }

  async logIn(page: Page): Promise<void> {
    await page.getByLabel('E-mail').fill(`${this.#name}@example.com`)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Log in' }).click()
  }

  async showFactor(page: Page): Promise<void> {
    const code = this.#app.generate({ timestamp: clock.now() + this.#step++ * 30_000 })
    await page.getByLabel('Code of your authenticator app').fill(code)
    await page.getByRole('button', { name: 'Go on' }).click()
  }
}

function person(name: string, tenant: string, roles: readonly string[]): object {
  const affiliations = [{ tenant, roles }]
  return { sub: `sub_${name}`, email: `${name}@example.com`, password: PASSWORD, totp: APP, affiliations }
}

/** Where pictures for the README are kept. */
export const PICTURES: string = join(import.meta.dirname, '../../../services/console/pictures')
