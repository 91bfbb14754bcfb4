/** A console beside a site, with somebody who operates it; and the pages of identity as that person walks through them. */
import { join } from 'node:path'
import { type Console, config, startConsole } from '@countersign/console'
import { loadConfig, systemClock } from '@countersign/kernel'
import { createLogger } from '@countersign/telemetry'
import { Secret, TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import { freePort } from '../../day/processes.ts'
import { CLIENT_SECRET, ISSUER, OPERATOR_SECRET, PASSWORD, Site, type SiteOptions } from '../site.ts'

const APP = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'
const OPERATIONS = 'operations'

export interface Operations {
  readonly site: Site
  readonly console: Console
  /** Everything the console logged. */
  readonly lines: readonly string[]
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
    async close() {
      await console.close()
      await site.close()
    },
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
    const code = this.#app.generate({ timestamp: systemClock.now() + this.#step++ * 30_000 })
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
