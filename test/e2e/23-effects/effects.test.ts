/** No effect after the authority for it has ended: with real processes, kills, stalls and a blocked event loop. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { becomes, Site, until } from '../site.ts'
import { decisionsOf, Payer, type PayerOptions } from './payers.ts'

const PEOPLE = 12
let site: Site
beforeAll(async () => {
  site = await Site.start({ people: PEOPLE + 6 })
  await site.stopWorker()
}, 60_000)
afterAll(() => site?.close())

let payer: Payer
afterEach(() => payer?.kill())

const start = async (mode: PayerOptions['mode']): Promise<Payer> => {
  payer = new Payer(site, mode)
  return payer.start()
}
const pay = (cookie: string, workMs = 0): Promise<string> =>
  site.watched('/payments', cookie, { invoice_id: 'acme-1001', amount_cents: '100', work_ms: String(workMs) })
const suspend = (name: string) => site.operate('POST', `/v1/subjects/sub_${name}/suspend`, {})
const eventOf = (url: string): string => url.split('/').at(-1)?.replaceAll('-', '') ?? ''

test('told that the authority has ended, it rolls back in the last step', async () => {
  const cookie = await site.login('person-12')
  await start('told')
  const outcome = await pay(cookie)
  await payer.does('began')
  expect((await suspend('person-12')).state).toBe('acknowledged')
  expect((await payer.does('refused')).why).toBe('ENFORCER_EFFECT_REFUSED')
  await becomes(outcome, { state: 'denied', reason: 'revoked_while_running' })
  expect(payer.paid()).toEqual([])
}, 60_000)

test('stalled after the verdict, it commits nothing late where the bank compares', async () => {
  const outcome = await stall('fenced', 'person-13')
  await becomes(outcome, { state: 'denied' })
  expect(payer.told).toContainEqual(expect.objectContaining({ did: 'refused', why: 'too late' }))
  expect(payer.paid()).toEqual([])
}, 60_000)

test('stalled where the bank does not compare, it does, and the record says that it was late', async () => {
  const outcome = await stall('unfenced', 'person-14')
  await payer.does('committed')
  expect(payer.paid()).toEqual([eventOf(outcome)])
  await until('the record of it', async () => {
    const effects = (await decisionsOf(site)).flatMap((batch) => batch.effects)
    return effects.some(({ at, not_after, count }) => at > not_after && count === 1)
  })
}, 60_000)

/** Stops the process between verdict and commit for longer than the verdict holds; its person is suspended meanwhile. */
async function stall(mode: 'fenced' | 'unfenced', name: string): Promise<string> {
  const cookie = await site.login(name)
  await start(mode)
  const outcome = await pay(cookie)
  const { notAfter = 0 } = await payer.does('permitted')
  payer.signal('SIGSTOP')
  expect((await suspend(name)).state).toBe('acknowledged')
  await sleep(Math.max(0, notAfter - Date.now()) + 50)
  payer.signal('SIGCONT')
  payer.go()
  return outcome
}

test('blocked for ten seconds, it decides nothing on what it believed before', async () => {
  const [good, ended] = [await site.login('person-15'), await site.login('person-16')]
  const queued = [await pay(good), await pay(ended)]
  // Both in one delivery; the first blocks the loop for both.
  await start('blocked')
  await payer.does('began')
  expect((await suspend('person-16')).state).toBe('acknowledged')
  const [hers = '', theirs = ''] = queued
  await becomes(hers, { state: 'executed' })
  await becomes(theirs, { state: 'denied' })
  expect(payer.told.find(({ did }) => did === 'refused')?.why).toBe('ENFORCER_EFFECT_REFUSED')
  expect(payer.paid()).toEqual([eventOf(hers)])
  for (const { ageMs } of payer.history('start')) expect(ageMs).toBeLessThanOrEqual(3_250)
}, 90_000)

test('killed between its commit and the record of it, it pays once', async () => {
  const cookie = await site.login('person-17')
  await start('killed')
  const outcome = await pay(cookie)
  await payer.does('committed')
  await payer.kill('SIGKILL')
  await payer.start()
  await becomes(outcome, { state: 'executed' })
  expect(payer.paid()).toEqual([eventOf(outcome)])
  expect(payer.told.filter(({ did }) => did === 'committed')).toHaveLength(1)
}, 90_000)

test('in a storm of suspensions bank, decisions and signals agree', async () => {
  const people = Array.from({ length: PEOPLE }, (_, i) => `person-${i}`)
  const cookies = await Promise.all(people.map((name) => site.login(name)))
  await start('plain')
  const work = people.flatMap((name, i) => [0, 1, 2, 3].map((n) => ({ name, cookie: cookies[i] as string, n })))
  const queued = await Promise.all(
    work.map(async ({ name, cookie, n }) => {
      await sleep(40 * n)
      return { name, url: await pay(cookie, 20 + 137 * n) }
    }),
  )
  const suspended = new Map<string, number>()
  await Promise.all(
    people.slice(0, PEOPLE / 2).map(async (name, i) => {
      await sleep(60 * i)
      const { state, position } = (await suspend(name)) as { state?: string; position?: { offset: number } }
      expect(state).toBe('acknowledged')
      suspended.set(`sub_${name}`, position?.offset ?? Number.NaN)
    }),
  )
  const states = new Map<string, string>()
  for (const { url } of queued) {
    await until('an outcome', async () => {
      const { state } = (await (await fetch(url)).json()) as { state: string }
      states.set(eventOf(url), state)
      return state === 'executed' || state === 'denied'
    })
  }
  const executed = [...states].filter(([, state]) => state === 'executed').map(([event]) => event)
  expect(payer.paid()).toEqual(executed.sort())
  // Half of them stayed, so there is something to have lost; and somebody was cut off.
  expect(executed.length).toBeGreaterThanOrEqual(PEOPLE * 2)
  expect(executed.length).toBeLessThan(queued.length)

  // By name: what was committed, and by a view that had read how much of the log.
  const whose = new Map(queued.map(({ name, url }) => [eventOf(url), `sub_${name}`]))
  let checked = 0
  for (const batch of await decisionsOf(site)) {
    if (batch.phase !== 'final') continue
    const events = new Map<number, string>()
    let at = 0
    for (const { first, last } of batch.allowed) {
      for (let offset = first; offset <= last; offset++, at += 16) {
        events.set(offset, Buffer.from(batch.event_ids.subarray(at, at + 16)).toString('hex'))
      }
    }
    for (const { offset, count, view_offset, as_of, not_after, at: over } of batch.effects) {
      const sub = whose.get(events.get(offset) ?? '')
      if (sub === undefined) continue
      expect(count).toBe(1)
      expect(over).toBeLessThanOrEqual(not_after)
      expect(as_of).toBeLessThanOrEqual(over)
      const ended = suspended.get(sub)
      if (ended !== undefined) expect(view_offset).toBeLessThan(ended)
      checked++
    }
  }
  expect(checked).toBe(executed.length)
}, 90_000)
