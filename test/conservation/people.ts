/** The people of one run, whose sessions end while their work is under way, and the envelopes of their work. */
import { bindEvent, type SigningKey, seal } from '@countersign/envelope'
import type { EventLog, NewRecord } from '@countersign/event-log'
import type { SeededRandom } from '@countersign/kernel/testing'
import { type Target, targetKey } from '@countersign/revocation'
import {
  type Catalogue,
  ENVELOPE_HEADER,
  type EnvelopeClaims,
  frame,
  invoiceExportCodec,
  type LogPosition,
} from '@countersign/schemas'
import type { Identity } from './identity.ts'
import type { Ending, Flaw, PlannedJob } from './plan.ts'
import { payloadOf } from './topics.ts'

const LIFE_MS = 120_000
const SCOPES = ['invoices:export', 'payments:run']

/** A message, and what is wrong with it. */
export interface Sealed {
  readonly logical: string
  readonly record: NewRecord
  readonly flaw: Flaw | null
}

class Person {
  readonly sub: string
  readonly tenant: string
  #session = ''
  /** When their session was made: the version of all it depends on. */
  #since = 0
  readonly #random: SeededRandom

  constructor(sub: string, tenant: string, random: SeededRandom, now: number) {
    this.sub = sub
    this.tenant = tenant
    this.#random = random
    this.login(now)
  }

  login(now: number): void {
    this.#session = `ses_${this.#random.bytes(8).toString('hex')}`
    this.#since = now
  }

  get targets(): Readonly<Record<'session' | 'subject' | 'affiliation', Target>> {
    const { sub: id, tenant } = this
    return {
      session: { kind: 'session', tenant: '', id: this.#session },
      subject: { kind: 'subject', tenant: '', id },
      affiliation: { kind: 'affiliation', tenant, id },
    }
  }

  claims(position: LogPosition, audience: string, event: EnvelopeClaims['event'], now: number): EnvelopeClaims {
    const versioned = (target: Target) => ({ kind: target.kind, key: targetKey(target), version: this.#since })
    return {
      txn: `txn_${this.#random.bytes(8).toString('hex')}`,
      sub: this.sub,
      aud: audience,
      scope: SCOPES,
      req_wl: 'api',
      iat: now,
      exp: now + LIFE_MS,
      tctx: {
        tenant: this.tenant,
        principal: 'user',
        act: [],
        credential: 'session_cookie',
        session: this.#session,
        client: null,
        device: null,
        targets: Object.values(this.targets).map(versioned),
        scope_version: this.#since,
        position,
      },
      rctx: {
        request_id: null,
        auth_time: this.#since,
        acr: null,
        amr: ['pwd'],
        ip: null,
        user_agent: null,
        posture: null,
        risk: null,
      },
      event,
      depth: 0,
      parent: null,
      relies_on: [],
      succession: null,
    }
  }
}

export class People {
  readonly #people: readonly Person[]
  readonly #random: SeededRandom
  readonly #identity: Identity
  readonly #catalogue: Catalogue
  readonly #site: string
  readonly #schemaId: number

  constructor(count: number, run: string, site: string, parts: PeopleParts) {
    const { random, identity, catalogue, log } = parts
    this.#random = random
    this.#identity = identity
    this.#catalogue = catalogue
    this.#site = site
    this.#schemaId = log.schemas.idOf(invoiceExportCodec.name)
    const now = identity.clock.now()
    this.#people = Array.from({ length: count }, (_, i) => new Person(`${run}-${i}`, `${run}-acme`, random, now))
  }

  /** Ends a person's authority and, once that is acknowledged, has them log in again. */
  async end(person: number, ending: Ending): ReturnType<Identity['revoke']> {
    const someone = this.#people[person] as Person
    const { session, subject, affiliation } = someone.targets
    const ask = {
      logout: { path: 'logout', facts: { target: session } },
      suspension: { path: 'account_suspension', facts: { target: subject } },
      affiliation: { path: 'affiliation_suspension', facts: { target: affiliation } },
      scope: { path: 'role_change', facts: { target: affiliation, scopes: [SCOPES[0] as string] } },
      compromise: {
        path: 'revocation',
        facts: { target: session, effect: 'reason:compromise', fallback: 'compromise' },
      },
    } as const
    const told = await this.#identity.revoke(ask[ending])
    return told
  }

  /** A session of their own under what holds now. */
  login(person: number): void {
    this.#people[person]?.login(this.#identity.clock.now() + 1)
  }

  /** Seals what is sent together, under one signature but for what is flawed in its signature. */
  seal(jobs: readonly PlannedJob[], position: LogPosition): Sealed[] {
    const { sealing, foreign } = this.#identity
    const made = jobs.map((job) => this.#make(job, position))
    const sealed = (key: SigningKey): Buffer[] =>
      seal(
        made.map(({ claims }) => claims),
        key,
      )
    const headers = sealed(sealing)
    const strangers = jobs.some(({ flaw }) => flaw === 'sealed by a stranger') ? sealed(foreign) : []
    return made.map(({ logical, key, value, other }, i) => {
      const { flaw } = jobs[i] as PlannedJob
      const header = (flaw === 'sealed by a stranger' ? strangers[i] : headers[i]) as Buffer
      const record = { key, value: flaw === 'payload of another' ? other : value, headers: headersOf(header, flaw) }
      return { logical, record, flaw }
    })
  }

  #make({ kind, person, key: invoice, fate, workMs, flaw }: PlannedJob, position: LogPosition) {
    const logical = `${this.#site}.${kind}`
    const key = Buffer.from(invoice)
    const payload = frame(this.#schemaId, invoiceExportCodec.encode(payloadOf(invoice, fate, workMs)))
    const other = frame(this.#schemaId, invoiceExportCodec.encode(payloadOf('another', fate, workMs)))
    const value =
      flaw === 'payload unreadable' ? Buffer.concat([payload.subarray(0, 5), Buffer.alloc(9, 0xff)]) : payload
    const event = bindEvent({ topic: logical, key, id: this.#random.bytes(16), value })
    const audience = this.#catalogue.jobTopic(logical)?.audience ?? ''
    const now = Date.now()
    const sealedAt = flaw === 'expired' ? now - 2 * LIFE_MS : now
    const beyond = { ...position, offset: position.offset + 1_000_000 }
    const claims = (this.#people[person] as Person).claims(
      flaw === 'position beyond the log' ? beyond : position,
      flaw === 'for another audience' ? 'somebody-else' : audience,
      event,
      sealedAt,
    )
    return { logical, key, value, other, claims }
  }
}

interface PeopleParts {
  readonly random: SeededRandom
  readonly identity: Identity
  readonly catalogue: Catalogue
  readonly log: Pick<EventLog, 'schemas'>
}

function headersOf(header: Buffer, flaw: Flaw | null): NewRecord['headers'] {
  const own = (value: Buffer) => [ENVELOPE_HEADER, value] as const
  if (flaw === 'no envelope') return []
  if (flaw === 'two envelopes') return [own(header), own(header)]
  if (flaw === 'no envelope but garbage') return [own(Buffer.alloc(120, 0x5a))]
  if (flaw !== 'signature broken') return [own(header)]
  const broken = Buffer.from(header)
  broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 1, broken.length - 1)
  return [own(broken)]
}
