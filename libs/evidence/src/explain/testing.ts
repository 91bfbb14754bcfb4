/** A day of work on a real log: signals, a replica, an enforcer and jobs, for the tests of what is told of it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEnforcer, type Enforcer, type Handler } from '@countersign/enforcer'
import { ed25519Key, generateEd25519, type SigningKey, seal } from '@countersign/envelope'
import { testClaims, testEvent } from '@countersign/envelope/testing'
import type { EventLog } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass, type JobClassInput, type JobClassRules } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { MemoryLog, Scribe } from '@countersign/replica/testing'
import { targetKey } from '@countersign/revocation'
import {
  ENVELOPE_HEADER,
  type EnvelopeClaims,
  exampleCatalogue,
  frame,
  invoiceExportCodec,
  type JourneyEvent,
  journeyEventCodec,
  type Signal,
} from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import type { EventPlace } from './decided.ts'

const TOPIC = 'invoices.export.v1'
const SIGNALS = 'countersign.signals.v1'

/** One job, and how it is sealed. */
export interface JobGiven {
  readonly session: string
  /** Milliseconds before now at which it was sealed. @defaultValue 0 */
  readonly ago?: number
  readonly claims?: Partial<EnvelopeClaims>
  /** In place of the envelope that belongs to it. */
  readonly envelope?: Buffer | null
  /** Sent in place of what was sealed. */
  readonly value?: Buffer
}

export class World {
  readonly catalogue: typeof exampleCatalogue = exampleCatalogue
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-evidence-'))
  readonly scribe: Scribe = new Scribe(new MemoryLog(systemClock))
  readonly #sealing: SigningKey
  readonly #classes: readonly JobClassRules[]
  #copied = 0
  #jobs = 0
  #steps = 0
  log!: EventLog
  replica!: Replica
  enforcer!: Enforcer

  constructor(classes: readonly JobClassInput[]) {
    const { publicKey, privateKeyPem } = generateEd25519()
    this.#sealing = ed25519Key('env-1', privateKeyPem)
    this.#classes = classes.map((one) => defineJobClass(one))
    const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: 8e12 }
    const { scribe } = this
    scribe.bundle({
      keys: [...scribe.keys.grants, { key_id: 'env-1', public_key: publicKey, use: 'envelope', ...always }],
    })
    scribe.begin()
  }

  get rootKeys(): readonly Buffer[] {
    return [this.scribe.keys.rootPublic]
  }

  async open(): Promise<this> {
    this.log = await openSqliteLog({ path: join(this.folder, 'log.db'), catalogue: exampleCatalogue })
    await this.checkpoints()
    const shared = { log: this.log, clock: systemClock, random: systemRandom, consumer: 'w1', logger: silentLogger }
    this.replica = new Replica({ ...shared, rootKeys: this.rootKeys })
    await this.replica.start()
    this.enforcer = createEnforcer({
      ...shared,
      replica: this.replica,
      catalogue: exampleCatalogue,
      classes: this.#classes,
      deriving: { key: this.#sealing, workload: 'w1' },
    })
    await this.checkpoints()
    await this.replica.waitUntil(() => this.replica.freshness().proven, 10_000)
    return this
  }

  /** Two of them, so that what stood before is proven. */
  async checkpoints(): Promise<void> {
    this.#proveNow()
    await this.#flush()
    const { offset } = this.scribe.log.partition().records.at(-1) ?? { offset: -1 }
    if (this.replica !== undefined) await this.replica.waitUntil(() => this.replica.position().offset >= offset, 10_000)
  }

  /** A step of the journey, as a gateway tells it. */
  async step(event: Partial<JourneyEvent>): Promise<void> {
    const none = { sub: null, tenant: null, session: null, family: null, token: null, parent: null, origin: null }
    const step: JourneyEvent = {
      ...{ id: Buffer.alloc(16, ++this.#steps), at: Date.now(), action: 'other', actor: 'unknown', ...none },
      ...{ device: null, client: null, audience: [], scopes: [], cause: null, target: null, effect: null },
      ...{ revocation: null, outcome: 'issued', rule: null, latency_ms: 1, request_id: null, trace_id: null },
      ...{ txn: null, acr: null, route: null, lineage: [], correlation_id: null, ...event },
    }
    const value = frame(this.log.schemas.idOf(journeyEventCodec.name), journeyEventCodec.encode(step))
    await this.log.append('countersign.journey.v1', [{ key: null, value, headers: [], partition: 0 }])
  }

  /** @returns the offset of the signal, once the replica has it. */
  async signal(session: string, change: Partial<Signal> = {}): Promise<number> {
    const target = { kind: 'session', tenant: '', id: session } as const
    const { offset } = this.scribe.signal({ target, floor: Date.now(), ...change })
    await this.#flush()
    await this.replica.waitUntil(() => this.replica.position().offset >= offset, 10_000)
    return offset
  }

  /** @returns where the job stands. */
  async job(given: JobGiven) {
    const { session, ago = 0, claims: change = {}, value: sent } = given
    const nth = this.#jobs++
    const iat = Date.now() - ago
    const payload = { invoice_id: `inv-${nth}`, format: 'csv', work_ms: 0 }
    const value = frame(this.log.schemas.idOf(invoiceExportCodec.name), invoiceExportCodec.encode(payload))
    const key = Buffer.from(`inv-${nth}`)
    const targets = [
      { kind: 'session' as const, key: targetKey({ kind: 'session', tenant: '', id: session }), version: iat - 1_000 },
    ]
    const position = { log_id: this.scribe.logId, offset: 0 }
    const tctx = { ...testClaims().tctx, session, targets, scope_version: iat, position }
    const own = { txn: `txn_${nth}`, rctx: { ...testClaims().rctx, request_id: `req_${nth}`, auth_time: iat - 60_000 } }
    const event = { ...testEvent(nth, value), key }
    const claims = testClaims({ iat, exp: iat + 3_600_000, tctx, event, ...own, ...change })
    const envelope = given.envelope === undefined ? (seal([claims], this.#sealing)[0] as Buffer) : given.envelope
    const headers = envelope === null ? [] : [[ENVELOPE_HEADER, envelope] as const]
    const [at] = await this.log.append(TOPIC, [{ key, value: sent ?? value, headers, partition: 0 }])
    return { topic: TOPIC, partition: 0, offset: at?.offset ?? -1 }
  }

  /** Appends a job and has it run. @returns where it stands. */
  async run(jobClass: string, given: JobGiven, handler: Handler<unknown> = async () => {}) {
    this.#proveNow()
    await this.#flush()
    const place = await this.job(given)
    await this.runAt(place, jobClass, handler)
    return place
  }

  /** Has a job run that stands there. */
  async runAt(place: EventPlace, jobClass: string, handler: Handler<unknown> = async () => {}): Promise<void> {
    for await (const [record] of this.log.read({ ...place, from: place.offset, to: place.offset + 1 })) {
      if (record === undefined) continue
      const { key, value, headers } = record
      await this.enforcer.run(jobClass, { ...place, key, value, headers: Object.fromEntries(headers) }, handler)
    }
  }

  async close(): Promise<void> {
    await this.enforcer.stop(0)
    await this.replica.stop()
    await this.log.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #proveNow(): void {
    this.scribe.checkpoint()
    this.scribe.checkpoint()
  }

  async #flush(): Promise<void> {
    const { records } = this.scribe.log.partition()
    const fresh = records.slice(this.#copied)
    this.#copied = records.length
    await this.log.append(SIGNALS, fresh)
  }
}
