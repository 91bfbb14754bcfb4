/**
 * Puts a consumer on record before it takes work: who it is, what it decides by, and the key its progress is signed with.
 * Invariant: what is registered admits only while its record is durable and no older than `REGISTRATION_HOLDS_MS`, and only
 * once it has read its logs as far as they went when the record became durable. So whoever could act without knowing of a
 * record on those logs had a registration on the topic when it was appended, no older than that.
 */
import { hash } from 'node:crypto'
import { ed25519Key, generateEd25519, type SigningKey, signRecord } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { type Clock, minutes, type Random, systemRandom } from '@countersign/kernel'
import {
  frame,
  type RegisteredClass,
  type Registration,
  registrationCodec,
  SIGNATURE_HEADER,
} from '@countersign/schemas'
import type { Logger } from '@countersign/telemetry'
import { PROGRESS_TOPIC } from './records.ts'

const RETRY_MS = 100
const MAX_RETRY_MS = 5_000
/** A consumer whose registration is older than this admits nothing. It is put on the topic anew three times as often. */
export const REGISTRATION_HOLDS_MS: number = minutes(15)
const AGAIN_MS = REGISTRATION_HOLDS_MS / 3
/** Timers do not see the time for which a machine slept: so often the clocks are asked whether it is due. */
const LOOK_MS = 5_000

/** What a consumer decides by. */
export interface ConsumerClasses {
  /** Its name in decisions. @defaultValue that of the replica */
  readonly consumer?: string
  readonly classes: readonly RegisteredClass[]
  /** Largest staleness budget of them, milliseconds. */
  readonly maxStalenessMs: number
  /** Skew tolerance they are judged with, milliseconds. */
  readonly epsilonMs: number
}

export interface RegistrarOptions {
  readonly log: Pick<EventLog, 'append' | 'schemas'>
  readonly clock: Clock
  readonly logger: Logger
  readonly consumer: string
  /** Names of the signals logs followed. */
  readonly logs: readonly string[]
  /** @defaultValue the system's */
  readonly random?: Random
  /** Key of the trust bundle, of use `progress`, that vouches for this instance. @defaultValue nobody does */
  readonly voucher?: SigningKey
}

interface Self {
  readonly instance: Buffer
  readonly publicKey: Buffer
  readonly key: SigningKey
}

/** An instance of a consumer: from its start to its end it has one key, and is named after it. */
export class Registrar {
  readonly #options: RegistrarOptions
  readonly #wanted = new Map<string, Required<ConsumerClasses>>()
  readonly #listeners = new Set<() => void>()
  readonly #stopping = new AbortController()
  #identity: Self | null = null
  #changed = new AbortController()
  #revision = 0
  /** Revision and times, monotonic and by the wall clock, of what was last made durable. */
  #durable = { revision: 0, at: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY }
  #term = 0
  #loop: Promise<void> | null = null

  constructor(options: RegistrarOptions) {
    this.#options = options
  }

  /** Its id, 16 bytes: the beginning of the hash of its public key, so that no other can speak for it. */
  get instance(): Buffer {
    return this.#self.instance
  }

  /** Signs what this instance tells. */
  get key(): SigningKey {
    return this.#self.key
  }

  /** True once anything was asked to be registered. */
  get needed(): boolean {
    return this.#revision > 0
  }

  /** True while all that was asked for is known to be on record. */
  get stands(): boolean {
    if (this.#revision === 0) return true
    return this.#durable.revision === this.#revision && this.#ageMs < REGISTRATION_HOLDS_MS
  }

  /** The older answer of both clocks, as for the age of a view: others go by the time of the log. */
  get #ageMs(): number {
    const { clock } = this.#options
    return Math.max(clock.monotonic() - this.#durable.at, clock.now() - this.#durable.wall)
  }

  /** Rises whenever it comes to stand that did not stand the moment before. */
  get term(): number {
    return this.#term
  }

  /** Largest staleness budget registered, milliseconds. */
  get maxStalenessMs(): number {
    return Math.max(0, ...[...this.#wanted.values()].map((one) => one.maxStalenessMs))
  }

  /** Asks for classes to be put on record, beside those before; until they are, nothing `stands`. */
  add(what: ConsumerClasses): void {
    const consumer = what.consumer ?? this.#options.consumer
    const before = this.#wanted.get(consumer)
    this.#wanted.set(consumer, {
      consumer,
      classes: before ? merged(before.classes, what.classes) : what.classes,
      maxStalenessMs: Math.max(before?.maxStalenessMs ?? 0, what.maxStalenessMs),
      epsilonMs: Math.max(before?.epsilonMs ?? 0, what.epsilonMs),
    })
    this.#revision++
    this.#changed.abort()
  }

  /** Calls `fn` when a new term begins. */
  onTerm(fn: () => void): void {
    this.#listeners.add(fn)
  }

  /** Begins to register, and goes on to: what is not heard of again is held for gone. */
  start(): void {
    this.#loop ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#changed.abort()
    await this.#loop
  }

  get #self(): Self {
    if (this.#identity) return this.#identity
    const { publicKey, privateKeyPem } = generateEd25519(this.#options.random ?? systemRandom)
    const instance = instanceOf(publicKey)
    this.#identity = { instance, publicKey, key: ed25519Key(instance.toString('hex'), privateKeyPem) }
    return this.#identity
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#options
    for (let retry = RETRY_MS; !this.#stopping.signal.aborted; ) {
      if (this.#changed.signal.aborted) this.#changed = new AbortController()
      const { signal } = this.#changed
      try {
        if (this.#revision > 0) await this.#append()
        retry = RETRY_MS
      } catch (error) {
        logger.warn({ error, retryMs: retry }, 'registration not appended: nothing is admitted without one')
        await clock.sleep(retry, signal)
        retry = Math.min(2 * retry, MAX_RETRY_MS)
        continue
      }
      if (this.#revision === 0) await clock.sleep(AGAIN_MS, signal)
      while (!signal.aborted && this.#ageMs < AGAIN_MS) {
        await clock.sleep(Math.min(LOOK_MS, AGAIN_MS - this.#ageMs), signal)
      }
    }
  }

  async #append(): Promise<void> {
    const { log, clock } = this.#options
    const revision = this.#revision
    // Taken before: the record is at least as young.
    const [at, wall] = [clock.monotonic(), clock.now()]
    const id = log.schemas.idOf(registrationCodec.name)
    const records = [...this.#wanted.values()].map((what) => {
      const body = registrationCodec.encode(this.#registration(what))
      const signature = signRecord('Registration', body, this.key)
      return {
        key: Buffer.from(what.consumer),
        value: frame(id, body),
        headers: [[SIGNATURE_HEADER, signature]] as const,
      }
    })
    await log.append(PROGRESS_TOPIC, records)
    const stood = this.stands
    this.#durable = { revision, at, wall }
    if (stood) return
    this.#term++
    for (const fn of this.#listeners) fn()
  }

  #registration({ consumer, classes, maxStalenessMs, epsilonMs }: Required<ConsumerClasses>): Registration {
    const { logs, voucher, clock } = this.#options
    const { instance, publicKey } = this.#self
    return {
      consumer,
      instance,
      public_key: publicKey,
      voucher: voucher ? signRecord('Voucher', vouched(publicKey, consumer), voucher) : Buffer.alloc(0),
      logs,
      classes,
      max_staleness_ms: maxStalenessMs,
      epsilon_ms: epsilonMs,
      at: clock.now(),
    }
  }
}

/** @returns the id of the instance that has the key: 16 bytes. */
export function instanceOf(publicKey: Uint8Array): Buffer {
  return hash('sha256', publicKey, 'buffer').subarray(0, 16)
}

/** @returns what a voucher is the signature of. */
export function vouched(publicKey: Uint8Array, consumer: string): Buffer {
  return Buffer.concat([publicKey, Buffer.from(consumer)])
}

function merged(before: readonly RegisteredClass[], more: readonly RegisteredClass[]): RegisteredClass[] {
  const classes = new Map([...before, ...more].map((one) => [`${one.name}\0${one.rule_version}`, one]))
  return [...classes.values()]
}
