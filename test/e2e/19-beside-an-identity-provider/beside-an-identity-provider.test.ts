/**
 * A team keeps its identity provider and its kafkajs application. Countersign's identity has no account of anybody: it
 * keeps versions and writes the log, and what ends at the provider ends for queued and running work.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { provisionKafka } from '@countersign/event-log/kafka'
import { type Identity, identityConfig, initKeys, startIdentity } from '@countersign/identity'
import { loadConfig, Secret, systemClock, systemRandom } from '@countersign/kernel'
import { runProgram } from '@countersign/ops'
import { foreignId } from '@countersign/revocation'
import { decisionBatchCodec, exampleCatalogue, unframe } from '@countersign/schemas'
import { createLogger } from '@countersign/telemetry'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { down, up } from '../../../infra/stack/index.ts'
import { kafka } from '../../brokers.ts'
import { until } from '../site.ts'
import { Browser, type TeamProvider, teamProvider } from './provider.ts'
import { catalogue, Shop } from './shop.ts'

const OPERATOR = 'operator-secret-operator-secret-0123456'
const REVOKER = 'revoker-secret-revoker-secret-0123456789'
const KEY = 'the key that foreign ids are hashed with here'
const NEXT = 'the key that is about to take its place here'

describe.skipIf(kafka() === null)('a team with a provider and a kafkajs application of its own', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-beside-'))
  // A signals log has one root: what other tests left on a broker they share would be a foreign one.
  const stack = join(folder, 'stack')
  const lines: string[] = []
  const revoked: Promise<{ status: number; state?: string }>[] = []
  let provider: TeamProvider
  let identity: Identity
  let shop: Shop
  /** Another process of the shop, which already has the new key. */
  let newer: Shop

  beforeAll(async () => {
    const { brokers, registryUrl } = await up({ brokers: 1, dir: stack })
    const at = {
      brokers: [...brokers],
      registryUrl,
      clientId: 'setup',
      windowMs: 3_600_000,
      registryDeadlineMs: 20_000,
    }
    await provisionKafka({ ...at, catalogue: exampleCatalogue })
    await provisionKafka({ ...at, catalogue })
    const dir = join(folder, 'keys')
    const orders = [{ name: 'shop', use: 'envelope', tenants: ['acme'], topics: ['shop.shipments'] }] as const
    initKeys({ dir, checkpoints: 1, orders, now: Date.now(), random: systemRandom })

    provider = await teamProvider((sid) => void revoked.push(revoke({ sid })))
    identity = await startIdentity({
      config: loadConfig(identityConfig, {
        COUNTERSIGN_LOG: 'kafka',
        COUNTERSIGN_KAFKA_BROKERS: brokers.join(),
        COUNTERSIGN_REGISTRY_URL: registryUrl,
        COUNTERSIGN_STORE_PATH: join(folder, 'identity.db'),
        COUNTERSIGN_KEYS_DIR: dir,
        COUNTERSIGN_CHECKPOINT_INTERVAL: '300ms',
        COUNTERSIGN_INSECURE_COOKIES: 'true',
        COUNTERSIGN_FOREIGN_ISSUERS: provider.issuer,
        COUNTERSIGN_FOREIGN_ID_KEY: KEY,
        COUNTERSIGN_FOREIGN_ID_KEY_BESIDE: NEXT,
        COUNTERSIGN_SEED: JSON.stringify({
          secrets: [
            { name: 'ops', use: 'operator', secret: OPERATOR },
            { name: 'login', use: 'revoker', secret: REVOKER },
          ],
        }),
      }),
      logger: logger('identity'),
      journey: logger('journey'),
    })
    await until('identity ready', async () => (await fetch(`${identity.address}/readyz`)).ok)
    const options = {
      ...{ brokers, registryUrl, issuer: provider.issuer, lines },
      rootKey: Buffer.from(readFileSync(join(dir, 'root.pub'), 'utf8'), 'base64'),
      keyPem: readFileSync(join(dir, 'shop.key.pem'), 'utf8'),
    }
    shop = await Shop.start({ ...options, foreignIdKey: KEY, group: 'shop-shipping' })
    newer = await Shop.start({ ...options, foreignIdKey: NEXT, group: null })
  }, 180_000)

  afterAll(async () => {
    await Promise.all([shop?.close(), newer?.close()])
    await identity?.close()
    provider?.close()
    await down({ dir: stack })
    rmSync(folder, { recursive: true, force: true })
  }, 60_000)

  /** What the provider's hook sends. */
  async function revoke(
    name: object,
    more: object = { reason: 'logout' },
  ): Promise<{ status: number; state?: string }> {
    const headers = { authorization: `Bearer ${REVOKER}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ target: { issuer: provider.issuer, ...name }, ...more })
    const response = await fetch(`${identity.address}/v1/revocations`, { method: 'POST', headers, body })
    return { status: response.status, ...((await response.json()) as object) }
  }

  const tokens: string[] = []
  /** @returns the token the shop's page gets for somebody, by default in a browser of their own. */
  async function signIn(name: string, browser: Browser = new Browser(provider.issuer)): Promise<string> {
    const token = await browser.signIn(name)
    tokens.push(token)
    return token
  }

  const states = (order: string): string[] => shop.states.get(order) ?? []

  test('its people sign in where they always did, and their jobs run', async () => {
    for (const name of ['alice', 'bob']) {
      const token = await signIn(name)
      expect(await shop.ship(`first-${name}`, token)).toBe(202)
      await until(`first-${name} done`, () => states(`first-${name}`).includes('done'))
      expect(shop.people.get(`first-${name}`)).toBe(foreignId(new Secret(KEY), provider.issuer, 'subject', name))
    }
  })

  test('a logout at the provider denies what is queued, refuses the token, and leaves everybody else alone', async () => {
    const alice = new Browser(provider.issuer)
    const [hers, his] = [await signIn('alice', alice), await signIn('bob')]
    shop.pause()
    expect(await shop.ship('queued-alice', hers)).toBe(202)
    expect(await shop.ship('queued-bob', his)).toBe(202)
    const began = systemClock.monotonic()
    await alice.logOut()
    expect(await revoked.at(-1)).toMatchObject({ status: 200, state: 'acknowledged' })
    await until('token refused', async () => (await shop.ship('late-alice', hers)) === 401)
    console.log(`beside: refused ${Math.round(systemClock.monotonic() - began)} ms after the logout began`)
    // One signal each for the key in use and the one that replaces it: processes of both ends are hit.
    await until('token refused under the new key', async () => (await newer.ship('later-alice', hers)) === 401)
    shop.resume()
    await until('bob done', () => states('queued-bob').includes('done'))
    await until('alice denied', async () => (await denials()).has('revoked_logout'))
    expect(states('queued-alice')).toEqual([])
    expect(await shop.ship('again-bob', his)).toBe(202)
  })

  test('an operator ends a person of the provider: running work stops, and a later login is a new start', async () => {
    const token = await signIn('bob')
    expect(await shop.ship('long-bob', token, { work_ms: 60_000 })).toBe(202)
    await until('started', () => states('long-bob').includes('started'))
    const began = systemClock.monotonic()
    const told = await ops('revoke', 'subject:bob', '--issuer', provider.issuer, '--reason', 'suspension', '--execute')
    expect(told).toMatchObject({ code: 0 })
    await until('aborted', () => states('long-bob').includes('aborted'))
    console.log(`beside: running work stopped ${Math.round(systemClock.monotonic() - began)} ms after it was asked for`)
    expect(await shop.ship('refused-bob', token)).toBe(401)
    // A foreign token counts as made a skew before it says, so that no clock of theirs lets one slip through.
    await until('a later login', async () => {
      return (await shop.ship('new-bob', await signIn('bob'))) === 202
    })
    await until('new-bob done', () => states('new-bob').includes('done'))
  }, 60_000)

  test('who was never seen here can be ended before they come', async () => {
    const [early, scoped] = [await signIn('carol'), await signIn('dave')]
    expect(await revoke({ sub: 'carol' }, { reason: 'offboarding' })).toMatchObject({ state: 'acknowledged' })
    const effect = 'scope:orders:ship'
    expect(await revoke({ sub: 'dave', tenant: 'acme' }, { effect })).toMatchObject({ state: 'acknowledged' })
    await until('carol refused', async () => (await shop.ship('carol', early)) === 401)
    await until('dave may not', async () => (await shop.ship('dave', scoped)) === 403)
    expect([states('carol'), states('dave')]).toEqual([[], []])
  })

  test('nothing here knows who they are', async () => {
    const files = readdirSync(folder).filter((name) => name.startsWith('identity.db'))
    const kept = files.map((name) => readFileSync(join(folder, name), 'latin1')).join()
    const logged = lines.join()
    const records = (
      await recordsOf(['countersign.signals.v1', 'countersign.decisions.v1', 'shop.shipments.v1'])
    ).join()
    expect(records.length).toBeGreaterThan(1000)
    expect(tokens.length).toBeGreaterThan(5)
    for (const text of [kept, logged, records]) {
      // Orders carry names here, subjects do not.
      for (const name of ['alice', 'bob', 'carol', 'dave']) {
        expect(text.replaceAll(/(?:first|queued|late|later|again|long|refused|new)-\w+/g, '')).not.toMatch(
          new RegExp(`\\b${name}\\b`),
        )
      }
      for (const token of tokens) {
        const { sid, jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
        for (const secret of [...token.split('.').slice(1), sid, jti]) expect(text.includes(secret)).toBe(false)
      }
    }
  })

  async function recordsOf(topics: readonly string[]): Promise<string[]> {
    const found: string[] = []
    for (const topic of topics) {
      const partitions = catalogue.byName(topic)?.partitions ?? 1
      for (let partition = 0; partition < partitions; partition++) {
        const { start, end } = await shop.log.bounds(topic, partition)
        for await (const records of shop.log.read({ topic, partition, from: start, to: end })) {
          for (const { key, value, headers } of records) {
            found.push(
              [key, value, ...headers.map(([, header]) => header)]
                .map((part) => (part === null ? '' : Buffer.from(part).toString('latin1')))
                .join(),
            )
          }
        }
      }
    }
    return found
  }

  async function denials(): Promise<Set<string>> {
    const reasons = new Set<string>()
    for (let partition = 0; partition < 12; partition++) {
      const topic = 'countersign.decisions.v1'
      const { start, end } = await shop.log.bounds(topic, partition)
      for await (const records of shop.log.read({ topic, partition, from: start, to: end })) {
        for (const { value } of records) {
          const { exceptions } = decisionBatchCodec.decode(unframe(value)?.body ?? Buffer.alloc(0))
          for (const { reason } of exceptions) reasons.add(String(reason))
        }
      }
    }
    return reasons
  }

  async function ops(...argv: string[]): Promise<{ code: number; talk: string }> {
    const talk: string[] = []
    const terminal = { out: (line: string) => void talk.push(line), say: (line: string) => void talk.push(line) }
    const env = { COUNTERSIGN_OPERATOR_SECRET: OPERATOR }
    const signal = new AbortController().signal
    const asked = [...argv, '--identity', identity.address]
    const code = await runProgram({ argv: asked, env, terminal, clock: systemClock, signal })
    return { code, talk: talk.join('\n') }
  }

  function logger(name: string) {
    return createLogger({ name, level: 'debug', destination: { write: (line: string) => void lines.push(line) } })
  }
})
