/** The work of the day: single requests, one fan-out, a signed webhook, and the schedule with nobody logged in. */
import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cast } from './cast.ts'
import { TENANTS } from './cast.ts'
import { ask, type Person } from './people.ts'
import type { Site } from './site.ts'

const FAN_OUT = 500
const WEBHOOK = 120
const NIGHTLY_PER_TENANT = 40
const AT_ONCE = 8
const RETRY_MS = 250

export class Traffic {
  readonly #site: Site
  readonly #cast: Cast
  readonly #people: readonly Person[]
  readonly #total: number
  #accepted = 0
  #turn = 0

  constructor(site: Site, cast: Cast, people: readonly Person[], total: number) {
    this.#site = site
    this.#cast = cast
    this.#people = people
    this.#total = total
  }

  /** Jobs the api has accepted. */
  get accepted(): number {
    return this.#accepted
  }

  /** Single requests, spread over `forMs`; goes on until as many are accepted as the special jobs leave over. */
  async singles(forMs: number): Promise<void> {
    const wanted = this.#total - FAN_OUT - WEBHOOK - NIGHTLY_PER_TENANT * TENANTS.length
    const began = performance.now()
    let accepted = 0
    let open = 0
    const client = async (): Promise<void> => {
      while (accepted + open < wanted) {
        open++
        const n = await this.#single()
        open--
        accepted += n
        this.#accepted += n
        const ahead = (accepted / wanted) * forMs - (performance.now() - began)
        await sleep(n === 0 ? RETRY_MS : Math.max(0, ahead))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, client))
  }

  async fanOut(): Promise<void> {
    const person = this.#next()
    for (let sent = 0; sent === 0; await sleep(RETRY_MS)) {
      if (!person.loggedIn && !(await person.login())) continue
      sent = await person.work('/invoices/export-all', { count: FAN_OUT, work_ms: 20 })
      this.#accepted += sent
    }
  }

  /** Signed as Standard Webhooks says. */
  async webhook(): Promise<void> {
    const body = JSON.stringify({
      type: 'invoice.paid',
      invoice_ids: Array.from({ length: WEBHOOK }, (_, i) => `${TENANTS[0]}-${1001 + i}`),
      work_ms: 10,
    })
    const key = Buffer.from(this.#cast.webhookSecret.slice('whsec_'.length), 'base64')
    for (let sent = 0; sent === 0; await sleep(RETRY_MS)) {
      const timestamp = Math.floor(Date.now() / 1000)
      const signature = createHmac('sha256', key).update(`msg_day.${timestamp}.${body}`).digest('base64')
      const headers = {
        'webhook-id': 'msg_day',
        'webhook-timestamp': String(timestamp),
        'webhook-signature': `v1,${signature}`,
      }
      const reply = await ask('POST', `${this.#site.gateway.url}/webhooks/ledger`, headers, body)
      if (reply?.status === 202 && Array.isArray(reply.body.jobs)) sent = reply.body.jobs.length
      this.#accepted += sent
    }
  }

  async nightly(): Promise<void> {
    const headers = { authorization: `Bearer ${this.#cast.scheduleSecret}` }
    const body = { due: '2026-01-01T03:00:00Z', reports_per_tenant: NIGHTLY_PER_TENANT, work_ms: 20 }
    for (let sent = 0; sent === 0; await sleep(RETRY_MS)) {
      const reply = await ask('POST', `${this.#site.api.url}/internal/schedule/nightly`, headers, body)
      if (reply?.status === 202 && Array.isArray(reply.body.jobs)) sent = reply.body.jobs.length
      this.#accepted += sent
    }
  }

  #next(): Person {
    return this.#people[this.#turn++ % this.#people.length] as Person
  }

  /** One request of the next person; whoever is not logged in logs in first. */
  async #single(): Promise<number> {
    const turn = this.#turn
    const person = this.#next()
    if (!person.loggedIn && !(await person.login())) return 0
    const { tenant } = person.role
    const invoice = `${tenant}-${1001 + (turn % 400)}`
    // Now and then a slow one, so that revocations meet running work.
    const work_ms = turn % 25 === 0 ? 2_500 : 5 + (turn % 40)
    const asked: readonly (readonly [string, object])[] = [
      [`/invoices/${invoice}/export`, { work_ms }],
      ['/payments', { invoice_id: invoice, amount_cents: 1_000 + turn, work_ms }],
      ['/emails', { invoice_id: invoice, template: 'reminder', work_ms }],
      ['/reports', { period: '2026-01', invoice_id: invoice, work_ms }],
    ]
    const [path, body] = asked[turn % asked.length] as readonly [string, object]
    return person.work(path, body)
  }
}
