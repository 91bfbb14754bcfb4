/** Nobody writes checkpoints for longer than the smallest budget: work waits, and goes on by itself. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { becomes, SCHEDULE_SECRET, Site, until } from '../site.ts'

let site: Site
beforeAll(async () => {
  site = await Site.start()
}, 60_000)
afterAll(() => site?.close())

const pay = { invoice_id: 'acme-1001', amount_cents: '100', work_ms: '0' }

const startsOf = (name: string): Record<string, unknown>[] =>
  site.history('start').filter((start) => start.class === name)

async function viewAgeS(): Promise<number> {
  const text = await (await fetch(`${site.worker.address}/metrics`)).text()
  return Number(/^countersign_view_age_seconds (\S+)$/m.exec(text)?.[1])
}

test('work is not started under a view older than its budget, and resumes without restart', async () => {
  const [ann, bob] = [await site.login('ann'), await site.login('bob')]
  const answer = await (await fetch(`${site.worker.address}/v1/job-classes`)).json()
  const classes = answer as { name: string; stalenessBudgetMs: number }[]
  const budgetMs = classes.find(({ name }) => name === 'payment')?.stalenessBudgetMs ?? 0
  expect(budgetMs).toBeGreaterThan(0)

  await site.notary.close()
  await until('the view to be too old', async () => (await viewAgeS()) * 1000 > budgetMs)
  // The log itself is there: both are queued, and the logout is acknowledged.
  const [hers, his] = [await site.watched('/payments', ann, pay), await site.watched('/payments', bob, pay)]
  expect((await site.logout(bob)).state).toBe('acknowledged')
  // The worker is at work, and knows: reports have a wider budget, and the logout has arrived.
  const reports = await site.fire('nightly', SCHEDULE_SECRET, { reports_per_tenant: 1, work_ms: 0 })
  await until('the reports to run', () => startsOf('report').length === reports.jobs.length)
  await until('the logout to be applied', () => site.history('applied').length === 1)
  expect(startsOf('payment')).toEqual([])

  await site.startNotary()
  await becomes(hers, { state: 'executed' })
  await becomes(his, { state: 'denied', reason: 'revoked_logout' })
  const starts = startsOf('payment')
  expect(starts).toHaveLength(1)
  for (const { ageMs } of starts) expect(ageMs).toBeLessThanOrEqual(budgetMs)
})
