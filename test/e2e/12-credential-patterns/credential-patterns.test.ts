/** Each way of holding authority ends everywhere, on either store, and nothing that happens meanwhile is unclean. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { JourneyEvent } from '@countersign/schemas'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Service } from '../../day/processes.ts'
import { RedisServer, STORES } from '../../redis-server.ts'
import { becomes, Site, until } from '../site.ts'
import { journeyOf } from './journey.ts'
import { type Held, PATTERNS, type Pattern } from './patterns.ts'
import { Person, total } from './traffic.ts'

const PAYMENT = { invoice_id: 'acme-1001', amount_cents: '100' }
const REPORT = { period: '2026-11', work_ms: 0 }

for (const { store, skipped } of STORES) {
  describe.skipIf(skipped)(`with the store of identity on ${store}`, () => {
    let redis: RedisServer | null = null
    let site: Site
    beforeAll(async () => {
      redis = store === 'Redis' ? await RedisServer.start() : null
    }, 60_000)
    afterAll(() => redis?.stop())
    const started = async (options: Parameters<typeof Site.start>[0]): Promise<void> => {
      site = await Site.start({ ...options, ...(redis && { redisUrl: redis.url }) })
    }

    describe('admitted, then ended', () => {
      beforeAll(() => started({ apis: 2 }), 60_000)
      afterAll(() => site?.close())

      test.each(PATTERNS.map((pattern) => [pattern.name, pattern] as const))(
        '%s: refused at every api, and queued work decided by its class',
        async (_name, pattern) => {
          const held = await pattern.begin(site, 'bob')
          if (pattern.refreshes) expect(await held.renew()).toBe('renewed')
          await becomes(await site.watched('/payments', held.shown(), { ...PAYMENT, work_ms: '0' }), {
            state: 'executed',
          })
          for (const api of site.apis) expect((await site.post('/reports', held.shown(), REPORT, api)).status).toBe(202)

          // Queued with nobody to take it, so that all of it is decided after the end.
          await site.stopWorker()
          const csv = { format: 'csv', work_ms: '0' }
          const finishes = await site.watched('/invoices/acme-1001/export', held.shown(), csv)
          const stops = await site.watched('/payments', held.shown(), { ...PAYMENT, work_ms: '0' })
          // Longer than the skew: accepted before the end by any clock.
          await sleep(600)
          const asked = performance.now()
          await held.end()
          const ended = performance.now()
          await Promise.all(site.apis.map((api) => untilRefused(site, held, api)))
          const refused = performance.now()
          await site.startWorker()
          await becomes(finishes, { state: 'executed' })
          await becomes(stops, { state: 'denied', reason: 'revoked_logout' })
          expect(await held.renew()).toMatch(/^(none|denied)$/)

          const [acknowledgedMs, refusedMs] = [ended - asked, refused - ended].map((ms) => ms.toFixed(1))
          console.log(
            `${store}, ${pattern.name}, ${pattern.ending}: acknowledged in ${acknowledgedMs} ms, refused at both apis ${refusedMs} ms later`,
          )
        },
        60_000,
      )

      test('all of it is on the journey topic, by subject, with handles', async () => {
        const found = async (): Promise<readonly JourneyEvent[]> => journeyOf(site.logPath, 'sub_bob')
        await until(
          'all events',
          async () => (await found()).filter(({ action }) => action === 'revocation').length > 2,
        )
        const events = await found()
        const told = new Set(events.map(({ action, outcome, cause }) => [action, outcome, cause].join(' ').trim()))
        expect([...told]).toEqual(
          expect.arrayContaining([
            'issuance issued',
            'refresh rotated',
            'logout acknowledged logout',
            'revocation acknowledged session_end',
            'revocation acknowledged token_revocation',
          ]),
        )
        for (const { session, family, token } of events)
          for (const handle of [session, family, token]) expect(handle ?? 'ses_').toMatch(/^(ses|fam|tok)_/)
      }, 60_000)
    })

    describe('during traffic', () => {
      afterEach(() => site?.close())

      test('a family revoked: its person is denied, everybody else is renewed and notices nothing', async () => {
        await started({ people: 12, identity: { ACCESS_TOKEN_LIFE: '2s', OPAQUE_TOKEN_LIFE: '2s' } })
        const people = await peopleWith(
          PATTERNS.filter((pattern) => pattern.refreshes),
          12,
        )
        const ended = people.filter((_, i) => i % 4 < 2)
        const others = people.filter((_, i) => i % 4 >= 2)
        const stopping = new AbortController()
        const work = people.map((person) => person.work(site, stopping.signal, 20))
        await sleep(2_500)
        await Promise.all(ended.map((person) => person.held.end()))
        for (const person of others) person.acceptedSince = 0
        await sleep(4_000)
        stopping.abort()
        await Promise.all(work)

        report(`${store}, family revoked during traffic, revoked`, ended)
        report(`${store}, family revoked during traffic, others`, others)
        expect(total(people).other).toEqual([])
        for (const person of ended) expect(person.tally.denied, person.name).toBe(1)
        for (const person of others) {
          expect(person.tally, person.name).toMatchObject({ denied: 0, later: 0 })
          expect(person.tally.renewed, person.name).toBeGreaterThan(1)
          expect(person.acceptedSince, person.name).toBeGreaterThan(0)
        }
      }, 60_000)

      test('introspection killed: who must be asked about is told to try again, and nobody loses anything', async () => {
        await started({ people: 15, identityProcess: true, identity: { OPAQUE_TOKEN_LIFE: '2s' } })
        const identity = site.identityService as Service
        const people = await peopleWith(PATTERNS, 15)
        const stopping = new AbortController()
        const work = people.map((person) => person.work(site, stopping.signal, 20))
        await sleep(2_000)
        await identity.kill()
        await sleep(1_500)
        const away = total(people)
        identity.start()
        await identity.ready()
        for (const person of people) person.acceptedSince = 0
        await sleep(3_000)
        stopping.abort()
        await Promise.all(work)

        for (const pattern of PATTERNS) {
          const of = people.filter(({ name }) => name.startsWith(`${pattern.name},`))
          report(`${store}, introspection killed during traffic, ${pattern.name}`, of)
          // What is judged by the view alone goes on.
          if (!pattern.asked) expect(total(of).later, pattern.name).toBe(0)
        }
        expect(total(people)).toMatchObject({ denied: 0, other: [] })
        expect(away.later).toBeGreaterThan(0)
        for (const person of people) expect(person.acceptedSince, person.name).toBeGreaterThan(0)
      }, 60_000)
    })

    function peopleWith(patterns: readonly Pattern[], count: number): Promise<Person[]> {
      const begun = Array.from({ length: count }, async (_, i) => {
        const pattern = patterns[i % patterns.length] as Pattern
        return new Person(`${pattern.name}, person ${i}`, await pattern.begin(site, `person-${i}`))
      })
      return Promise.all(begun)
    }
  })
}

async function untilRefused(site: Site, held: Held, api: Site['api']): Promise<void> {
  for (const began = performance.now(); performance.now() - began < 10_000; ) {
    const { status, code } = await site.post('/reports', held.shown(), REPORT, api)
    if (status !== 202) return expect([status, code]).toEqual([401, 'credential_refused'])
  }
  throw new Error('still let in after 10 s')
}

function report(what: string, people: readonly Person[]): void {
  const { accepted, renewed, denied, later, other } = total(people)
  console.log(
    `${what}: ${people.length} people, ${accepted} accepted, ${renewed} accepted after a renewal, ${denied} denied, ${later} told to try again, ${other.length} other`,
  )
}
