/** Every way to lose authority, among the traffic, and what each asker was told. */
import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RevocationFact } from '../checker/history.ts'
import { type Cast, FULL_ROLES, LESSER_ROLES } from './cast.ts'
import type { Door } from './door.ts'
import { ask, type Person, type Reply } from './people.ts'

/** A revocation as its asker knows it; `id` null when nothing came back that names one. */
export interface Told {
  readonly kind: string
  readonly id: string | null
  readonly state: RevocationFact['state']
  readonly offset: number | null
  readonly seqs: number
  readonly askedAt: number
  readonly at: number
}

export class Revocations {
  readonly told: Told[] = []
  readonly #identity: string
  readonly #operator: Record<string, string>
  readonly #people: readonly Person[]
  readonly #door: Door
  readonly #lesser = new Set<Person>()
  #turn = 0

  constructor(identity: string, cast: Cast, people: readonly Person[], door: Door) {
    this.#identity = identity
    this.#operator = { authorization: `Bearer ${cast.operatorSecret}` }
    this.#people = people
    this.#door = door
  }

  /** Acknowledged so far. */
  get acknowledged(): number {
    return this.told.filter((t) => t.state === 'acknowledged').length
  }

  /** Revokes about every `everyMs` until `count` are acknowledged, every kind in turn. */
  async run(count: number, everyMs: number): Promise<void> {
    while (this.acknowledged < count) {
      await this.one()
      await sleep(everyMs)
    }
  }

  /** One revocation of the next kind. */
  async one(): Promise<void> {
    const kinds = Object.entries(this.#ways)
    const [kind, way] = kinds[this.#turn % kinds.length] as [string, (person: Person) => Promise<Reply | null>]
    // Seven is prime to fifty: everybody has their turn, in an order unlike that of the traffic.
    const person = this.#people[(this.#turn++ * 7) % this.#people.length] as Person
    const askedAt = Date.now()
    const reply = await way(person)
    if (reply === null || typeof reply.body.state !== 'string') return
    const { id, state, position } = reply.body as {
      id?: string
      state: RevocationFact['state']
      position?: { offset: number } | null
    }
    const offset = position?.offset ?? null
    this.told.push({
      kind,
      id: id?.replaceAll('-', '') ?? null,
      state,
      offset,
      seqs: reply.body.seq === null ? 0 : 1,
      askedAt,
      at: reply.at,
    })
  }

  readonly #ways: Record<string, (person: Person) => Promise<Reply | null>> = {
    logout: async (person) =>
      person.loggedIn || (await person.login()) ? this.#followed('logout', person, () => person.logout()) : null,
    role_change: (person) => {
      const less = !this.#lesser.has(person)
      if (less) this.#lesser.add(person)
      else this.#lesser.delete(person)
      const { tenant, sub } = person.role
      return this.#asOperator('PUT', `/v1/affiliations/${tenant}/${sub}/roles`, {
        roles: less ? LESSER_ROLES : FULL_ROLES,
      })
    },
    password_reset: async (person) => {
      const issued = await this.#asOperator('POST', `/v1/subjects/${person.role.sub}/password-reset-codes`, {})
      return typeof issued?.body.code === 'string'
        ? person.resetPassword(issued.body.code, `new ${randomUUID()}`)
        : null
    },
    suspension: async (person) => {
      const { sub } = person.role
      const reply = await this.#asOperator('POST', `/v1/subjects/${sub}/suspend`, {})
      void sleep(2_000).then(() => this.#asOperator('POST', `/v1/subjects/${sub}/unsuspend`, {}))
      return reply
    },
    session: async (person) =>
      person.loggedIn || (await person.login())
        ? this.#followed('session', person, () => this.#revoke('session', '', person.session, 'compromise'))
        : null,
    subject: (person) => this.#revoke('subject', '', person.role.sub, 'offboarding'),
    affiliation: (person) => this.#revoke('affiliation', person.role.tenant, person.role.sub, 'admin'),
    tenant: (person) =>
      this.#turn % 3 === 0
        ? this.#revoke('tenant', person.role.tenant, null, 'policy')
        : this.#revoke('subject', '', person.role.sub, 'logout'),
    client: () => this.#revoke('client', '', `client-${this.#turn}`, 'admin'),
    device: () => this.#revoke('device', '', handle('dev'), 'device_lost'),
    family: () => this.#revoke('family', '', handle('fam'), 'token_reuse'),
    token: () => this.#revoke('token', '', handle('tok'), 'compromise'),
    transaction: () => this.#revoke('transaction', '', handle('txn'), 'admin'),
  }

  /** Names of every kind that is tried. */
  get kinds(): readonly string[] {
    return Object.keys(this.#ways)
  }

  /** Once it is acknowledged, the cookie it ended is shown at the gateway until that refuses it. */
  async #followed(kind: string, { cookie }: Person, end: () => Promise<Reply | null>): Promise<Reply | null> {
    const reply = await end()
    if (reply?.body.state === 'acknowledged' && cookie !== null) this.#door.follow(kind, cookie, reply.at)
    return reply
  }

  #revoke(kind: string, tenant: string, id: string | null, reason: string): Promise<Reply | null> {
    const target = { kind, ...(tenant !== '' && { tenant }), ...(id !== null && { id }) }
    return this.#asOperator('POST', '/v1/revocations', { id: randomUUID(), target, reason })
  }

  #asOperator(method: string, path: string, body: unknown): Promise<Reply | null> {
    return ask(method, this.#identity + path, this.#operator, body)
  }
}

function handle(prefix: string): string {
  return `${prefix}_${randomBytes(16).toString('base64url')}`
}
