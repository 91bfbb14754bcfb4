/** The people of a simulated run: they log in, ask for work, and lose authority in every way there is. */
import type { Boundary } from '@countersign/boundary'
import type { Answer } from '@countersign/identity'
import type { RevocationFact } from '../checker/history.ts'
import type { IdentityPart, Site } from './site.ts'

interface Person {
  readonly email: string
  readonly tenant: string
  sub: string
  handle: string
  cookie: string | null
  roles: readonly string[]
}

/** A revocation as its asker knows it. */
export interface Asked {
  readonly id: Buffer
  readonly kind: string
  readonly state: RevocationFact['state']
  readonly offset: number | null
  readonly askedAt: number
  readonly answeredAt: number
}

const TENANTS = ['acme', 'globex']
const PEOPLE = 6
const BOTH = ['accountant', 'member']

export class Workload {
  readonly asked: Asked[] = []
  readonly #site: Site
  readonly #people: Person[]
  #jobs = 0
  #until = 0

  constructor(site: Site) {
    this.#site = site
    this.#people = Array.from({ length: PEOPLE }, (_, i) => ({
      email: `person-${i}@example.test`,
      tenant: TENANTS[i % TENANTS.length] as string,
      sub: `sub_${i}`,
      handle: '',
      cookie: null,
      roles: BOTH,
    }))
  }

  /** Jobs that were accepted. */
  get jobs(): number {
    return this.#jobs
  }

  /** Makes the accounts, then goes on asking until `until`, milliseconds of true time. */
  start(until: number): void {
    this.#until = until
    void this.#begin()
  }

  async #begin(): Promise<void> {
    const { scheduler } = this.#site
    for (const person of this.#people) {
      const made = await this.#identity(async ({ store }) => {
        const password = { salt: Buffer.alloc(16), hash: Buffer.alloc(32), n: 2, r: 8, p: 1 }
        const affiliations = [{ tenant: person.tenant, roles: BOTH }]
        return store.createAccount({
          sub: person.sub,
          principal: 'user',
          email: person.email,
          password,
          affiliations,
          atLeast: [],
          now: this.#site.now(),
        })
      })
      if (made === undefined) return void scheduler.schedule(200, null, () => void this.#begin())
    }
    for (const person of this.#people) this.#loop(40, () => this.#work(person), person)
    this.#loop(500, () => this.#end())
  }

  /** Does `act` again and again, about every `ms` on average. */
  #loop(ms: number, act: () => Promise<void>, person?: Person): void {
    const { scheduler } = this.#site
    if (scheduler.now > this.#until) return
    scheduler.schedule(
      scheduler.random.unit() * 2 * ms * (person ? PEOPLE : 1),
      null,
      () => void act().finally(() => this.#loop(ms, act, person)),
    )
  }

  async #work(person: Person): Promise<void> {
    const { scheduler } = this.#site
    if (person.cookie === null) return this.#login(person)
    const cookie = person.cookie
    const api = scheduler.random.below(2) === 0 ? 'api-1' : 'api-2'
    const payment = scheduler.random.below(3) === 0
    const work_ms = scheduler.random.below(20) === 0 ? 2_000 : scheduler.random.below(200)
    const key = `invoice-${scheduler.random.below(8)}`
    const burst = scheduler.random.below(10) === 0 ? 6 : 1
    const sent = await this.#site.call(null, api, async (boundary: Boundary) => {
      const admission = await boundary.admit({
        method: 'GET',
        headers: { cookie: `session=${cookie}` },
        rawHeaders: [],
      })
      if (!admission.ok) return admission.code
      const { identity } = admission
      const value = payment
        ? { invoice_id: key, amount_cents: 100, currency: 'EUR', work_ms }
        : { invoice_id: key, format: 'pdf', work_ms }
      const job = { topic: payment ? 'payments.run' : 'invoices.export', key, value, identity }
      await boundary.jobs.sendMany(Array.from({ length: burst }, () => job))
      return 'sent'
    })
    if (sent === 'sent') this.#jobs += burst
    if (sent === 'credential_invalid' || sent === 'credential_revoked') person.cookie = null
  }

  async #login(person: Person): Promise<void> {
    const result = await this.#identity(({ logins }) =>
      logins.login({
        email: person.email,
        password: 'their own',
        tenant: person.tenant,
        source: '127.0.0.1',
        replacing: [],
        browser: null,
      }),
    )
    if (result?.ok) {
      person.cookie = result.cookie
      person.handle = result.session.handle
    }
  }

  /** One of the ways to lose authority, by chance. */
  async #end(): Promise<void> {
    const { scheduler } = this.#site
    const { random } = scheduler
    const person = this.#people[random.below(PEOPLE)] as Person
    const id = random.bytes(16)
    const asked = { id, initiator: 'operator:sim' }
    const { sub, tenant, cookie, handle } = person
    const ways: Record<string, (part: IdentityPart) => Promise<Answer | null>> = {
      logout: ({ sessionEndings }) => (cookie === null ? Promise.resolve(null) : sessionEndings.logout(cookie, 'sim')),
      role_change: ({ administration }) =>
        administration.setRoles(tenant, sub, person.roles.length === 2 ? ['member'] : BOTH, asked),
      suspension: ({ administration }) => administration.suspendAccount(sub, asked),
      affiliation: ({ administration }) => administration.suspendAffiliation(tenant, sub, asked),
      session: ({ administration }) =>
        administration.revoke(
          {
            target: { kind: 'session', tenant: '', id: handle || 'none' },
            effect: 'reason:compromise',
            fallback: 'compromise',
            cause: null,
            tenant: null,
          },
          asked,
        ),
      subject: ({ administration }) =>
        administration.revoke(
          {
            target: { kind: 'subject', tenant: '', id: sub },
            effect: 'reason:logout',
            fallback: 'logout',
            cause: null,
            tenant: null,
          },
          asked,
        ),
      novel: ({ administration }) =>
        administration.revoke(
          {
            target: { kind: 'subject', tenant: '', id: sub },
            effect: 'reason:quarantine',
            fallback: 'policy',
            cause: null,
            tenant: null,
          },
          asked,
        ),
      tenant: ({ administration }) =>
        administration.revoke(
          {
            target: { kind: 'tenant', tenant, id: '' },
            effect: 'reason:admin',
            fallback: 'admin',
            cause: null,
            tenant: null,
          },
          asked,
        ),
    }
    const names = [
      'logout',
      'logout',
      'logout',
      'role_change',
      'role_change',
      'role_change',
      'suspension',
      'affiliation',
      'session',
      'subject',
      'novel',
      'tenant',
    ]
    const kind = names[random.below(names.length)] as string
    const askedAt = this.#site.now()
    const answer = await this.#identity((part) => (ways[kind] as (part: IdentityPart) => Promise<Answer | null>)(part))
    if (answer === null) return
    const answeredAt = this.#site.now()
    if (answer === undefined) this.asked.push({ id, kind, state: 'unknown', offset: null, askedAt, answeredAt })
    else {
      const offset = answer.state === 'acknowledged' ? (answer.position?.offset ?? null) : null
      this.asked.push({
        id: Buffer.from(answer.id.replaceAll('-', ''), 'hex'),
        kind,
        state: answer.state,
        offset,
        askedAt,
        answeredAt,
      })
      if (answer.state === 'refused') return
      if (kind === 'role_change') person.roles = person.roles.length === 2 ? ['member'] : BOTH
    }
    // Who was suspended comes back later, with a new session under the versions of then.
    if (kind === 'suspension')
      scheduler.schedule(
        1_500,
        null,
        () => void this.#identity(({ administration }) => administration.restoreAccount(sub)),
      )
    if (kind === 'affiliation')
      scheduler.schedule(
        1_500,
        null,
        () => void this.#identity(({ administration }) => administration.restoreAffiliation(tenant, sub)),
      )
  }

  #identity<R>(act: (part: IdentityPart) => Promise<R>): Promise<R | undefined> {
    return this.#site.call(null, 'identity', act)
  }
}
