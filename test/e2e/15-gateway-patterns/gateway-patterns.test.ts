/**
 * Each way in which the services of a team hold authority, through the gateway: ended by a signal, it is refused at every
 * gateway, by the service behind for what a gateway had handed on, and in queued work as its class says.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RedisServer, STORES } from '../../redis-server.ts'
import type { Held } from '../12-credential-patterns/patterns.ts'
import { becomes, type Listening, type Shown, Site } from '../site.ts'
import { EXCHANGED_AT_THE_GATEWAY, exchanged, GATEWAY_PATTERNS } from './patterns.ts'

/** What stands behind the gateways, and who is let through them to it. */
const BEHIND = [
  { behind: 'a service that takes Txn-Tokens', options: {}, patterns: GATEWAY_PATTERNS },
  {
    behind: 'a service that takes access tokens of its own',
    options: { upstreamAudience: 'ledger' },
    patterns: EXCHANGED_AT_THE_GATEWAY,
  },
] as const
const PAYMENT = { invoice_id: 'acme-1001', amount_cents: '100', work_ms: '0' }
const CSV = { format: 'csv', work_ms: '0' }

for (const { store, skipped } of STORES) {
  describe.skipIf(skipped)(`through the gateway, with the store of identity on ${store}`, () => {
    let redis: RedisServer | null = null
    let site: Site
    beforeAll(async () => {
      redis = store === 'Redis' ? await RedisServer.start() : null
    }, 60_000)
    afterAll(() => redis?.stop())
    const start = async (options: object): Promise<void> => {
      site = await Site.start({ gateways: 2, ...(redis && { redisUrl: redis.url }), ...options })
    }

    describe.each(BEHIND)('before $behind', ({ options, patterns }) => {
      beforeAll(() => start(options), 60_000)
      afterAll(() => site?.close())

      test.each(patterns.map((pattern) => [pattern.name, pattern] as const))(
        '%s: refused at the gateway, in the service and in queued work',
        async (_name, pattern) => {
          const held = await pattern.begin(site, 'bob')
          if (pattern.refreshes) expect(await held.renew()).toBe('renewed')
          await becomes(await site.watched('/payments', held.shown(), PAYMENT, site.gateway), { state: 'executed' })
          for (const gateway of site.gateways) expect(await payment(held.shown(), gateway)).toBe(202)
          // The service takes what the gateway makes of it, and never the credential itself.
          expect(await payment(held.shown(), site.api)).toBe(401)
          const handedOn = await handedOnFor(held.shown())
          expect(await payment(handedOn, site.api)).toBe(202)

          // Queued with nobody to take it, so that all of it is decided after the end.
          await site.stopWorker()
          const finishes = await site.watched('/invoices/acme-1001/export', held.shown(), CSV, site.gateway)
          const stops = await site.watched('/payments', held.shown(), PAYMENT, site.gateway)
          // Longer than the skew: accepted before the end by any clock.
          await sleep(600)
          const last = await handedOnFor(held.shown())
          const asked = performance.now()
          await held.end()
          const ended = performance.now()
          const [atGateways, atService] = await Promise.all([
            Promise.all(site.gateways.map((gateway) => untilRefused(held.shown(), gateway))),
            Promise.all([handedOn, last].map((shown) => untilRefused(shown, site.api))),
          ])
          const started = performance.now()
          await site.startWorker()
          await becomes(finishes, { state: 'executed' })
          await becomes(stops, { state: 'denied', reason: 'revoked_logout' })
          const decided = performance.now()
          expect(await held.renew()).toMatch(/^(none|denied)$/)
          expectNothingHeld(held)

          const after = (times: readonly number[]): string => (Math.max(...times) - ended).toFixed(1)
          console.log(
            `${store}, ${pattern.name}, ${pattern.ending}: acknowledged in ${(ended - asked).toFixed(1)} ms; refused at both gateways ${after(atGateways)} ms later, by the service ${after(atService)} ms later; queued work decided ${(decided - started).toFixed(0)} ms after a worker started`,
          )
        },
        60_000,
      )
    })

    describe('before a service that looks for itself', () => {
      beforeAll(() => start({}), 60_000)
      afterAll(() => site?.close())

      test('what was exchanged is for the api and may what was asked for, and no more; its origin is for somebody else', async () => {
        const held = await exchanged.begin(site, 'bob')
        expect(await payment(held.shown(), site.gateway)).toBe(202)
        const report = await site.post('/reports', held.shown(), { period: '2026-11', work_ms: 0 }, site.gateway)
        expect(report).toMatchObject({ status: 403, code: 'scope_missing' })
        const origin = { authorization: `Bearer ${held.secrets[1]}` }
        expect(await payment(origin, site.gateway)).toBe(401)
      })

      test('another tenant’s invoice is none, whoever asks and however it is spelt', async () => {
        const eve = { cookie: await site.login('eve') }
        const path = '/invoices/acme-1001/export'
        expect(await site.post(path, eve, { work_ms: 0 }, site.gateway)).toMatchObject({ status: 403 })
        const bob = { cookie: await site.login('bob') }
        const other = { invoice_id: 'globex-1001', amount_cents: 100, work_ms: 0 }
        expect(await site.post('/payments', bob, other, site.gateway)).toMatchObject({
          status: 404,
          code: 'invoice_unknown',
        })
      })
    })

    async function payment(shown: Shown, at: Listening): Promise<number> {
      return (await site.post('/payments', shown, { ...PAYMENT, amount_cents: 100, work_ms: 0 }, at)).status
    }

    /** What the gateway would hand on, from its check endpoint: nothing runs. */
    async function handedOnFor(shown: Shown): Promise<Record<string, string>> {
      const headers = typeof shown === 'string' ? { cookie: shown } : { ...shown }
      const url = `${site.gateway.checkAddress}/check/payments`
      const answer = await fetch(url, { method: 'POST', headers })
      const [txnToken, authorization] = ['txn-token', 'authorization'].map((name) => answer.headers.get(name))
      if (answer.status !== 200) throw new Error(`check: ${answer.status} ${await answer.text()}`)
      return txnToken ? { 'txn-token': txnToken } : { authorization: authorization ?? '' }
    }

    /** @returns when it was refused. */
    async function untilRefused(shown: Shown, at: Listening): Promise<number> {
      for (const began = performance.now(); performance.now() - began < 10_000; ) {
        const { status, code } = await site.post('/payments', shown, { ...PAYMENT, amount_cents: 100, work_ms: 0 }, at)
        if (status === 202) continue
        expect([status, code]).toEqual([401, 'credential_refused'])
        return performance.now()
      }
      throw new Error('still let in after 10 s')
    }

    /** Behind the gateway nobody saw the credential, and nobody wrote it down. */
    function expectNothingHeld({ secrets }: Held): void {
      const lines = site.lines.join('\n')
      for (const secret of secrets.map((text) => text.replace(/^session=/, ''))) expect(lines).not.toContain(secret)
    }
  })
}
