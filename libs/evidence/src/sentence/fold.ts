/** Gathers what sentences are made of from the signals logs and the progress topic, as it comes or from a source. */
import { type KeyRing, verifyBundle } from '@countersign/envelope'
import { days } from '@countersign/kernel'
import { type JobClassRules, ruleVersionOf } from '@countersign/policy'
import { REGISTRATION_HOLDS_MS, readRecord } from '@countersign/replica'
import {
  type CredentialKind,
  checkpointCodec,
  type Progress,
  type RegisteredClass,
  type Registration,
  signalCodec,
} from '@countersign/schemas'
import type { Metrics } from '@countersign/telemetry'
import { Consumers } from '../receipts/consumers.ts'
import type { Asked, EvidenceSource, ProgressEvidence, SignalsEvidence } from '../source/index.ts'
import { CREDENTIAL_KINDS, type CredentialLife } from './credentials.ts'
import { Exposures } from './measured.ts'
import { type Sentence, type SentenceConsumer, sentencesOf } from './sentence.ts'

export interface SentenceOptions {
  readonly schemas: EvidenceSource['schemas']
  /** Root public keys, raw. Without one no bundle is believed, and the window is not known. */
  readonly rootKeys: readonly Uint8Array[]
  /** The last so many revocations are measured. @defaultValue 1000 */
  readonly keep?: number
  /** Skew tolerated between clocks, milliseconds. @defaultValue 250 */
  readonly epsilonMs?: number
  /** Gets the gauges `countersign_sentence_*`, of every class that is registered. @defaultValue nowhere */
  readonly metrics?: Metrics
}

/** The topic keeps as long. */
const FORGOTTEN_MS = days(1)

/** Classes with gauges: anybody who can write to the topic can register more. */
const MOST_GAUGED = 64

/** What one signals log has told. */
interface FollowedLog {
  ring: KeyRing | null
  /** Where no bundle was read, as its checkpoints say. */
  logId: string | null
}

/** One that is not registered anew admits nothing any more, whether it said goodbye or not. */
interface Known extends SentenceConsumer {
  /** Append time of its last registration, epoch milliseconds. */
  readonly registeredAt: number
}

export class SentenceFold {
  readonly #options: SentenceOptions & { readonly keep: number; readonly epsilonMs: number }
  readonly #exposures: Exposures
  readonly #told: Consumers
  /** By instance, by the name it decides under. */
  readonly #consumers = new Map<string, Map<string, Known>>()
  readonly #logs = new Map<string, FollowedLog>()
  readonly #gauged = new Set<string>()
  /** Of what was taken so far; null when more came since. */
  #current: readonly Sentence[] | null = null
  #asOf = 0

  constructor(options: SentenceOptions) {
    this.#options = { keep: 1_000, epsilonMs: 250, ...options }
    this.#exposures = new Exposures(this.#options)
    this.#told = new Consumers({ schemas: options.schemas, rings: () => this.#rings() })
  }

  /** When the youngest record was appended that it has taken, epoch milliseconds; 0 before any. */
  get asOf(): number {
    return this.#asOf
  }

  /** Of one topic they come in order; others of the source are left out. */
  take(evidence: SignalsEvidence | ProgressEvidence): void {
    this.#asOf = Math.max(this.#asOf, evidence.place.at)
    this.#current = null
    if (evidence.kind === 'signals') this.#signals(evidence)
    else this.#progress(evidence)
  }

  /** Takes all that a source holds. @throws what the source throws. */
  async read(source: EvidenceSource, asked: Asked = {}): Promise<void> {
    // Consumers first: cut short, it still knows what they are bound by.
    for await (const evidence of source.progress(asked)) this.take(evidence)
    for await (const evidence of source.signals(asked)) this.take(evidence)
  }

  /** @param lives as identity tells them; empty when it was not asked. @returns see {@link sentencesOf}. */
  sentences(lives: readonly CredentialLife[] = []): Sentence[] {
    const windows = this.#rings().map(({ bundle }) => bundle.window_ms)
    const windowMs = windows.length === 0 ? null : Math.max(...windows)
    const standsSince = this.#asOf - REGISTRATION_HOLDS_MS
    const consumers = this.#all().map((one) => (one.registeredAt < standsSince ? { ...one, gone: true } : one))
    return sentencesOf({ consumers, exposures: this.#exposures, lives, windowMs })
  }

  #all(): Known[] {
    return [...this.#consumers.values()].flatMap((names) => [...names.values()])
  }

  #rings(): KeyRing[] {
    return [...this.#logs.values()].flatMap(({ ring }) => ring ?? [])
  }

  /** Signals are not verified here: what consumers did not believe is in no progress of theirs, and measures nothing. */
  #signals({ log: name, record, place }: SignalsEvidence): void {
    const read = readRecord(record, this.#options.schemas)
    if (read === null) return
    const log = this.#logs.get(name) ?? { ring: null, logId: null }
    this.#logs.set(name, log)
    try {
      if (read.kind === 'TrustBundle') this.#bundle(log, read, place.at)
      if (read.kind === 'Checkpoint') log.logId = checkpointCodec.decode(read.body).log_id
      const logId = log.ring?.bundle.log_id ?? log.logId
      if (read.kind !== 'Signal' || logId === null) return
      const { id, target } = signalCodec.decode(read.body)
      this.#exposures.revocation({ logId, offset: place.offset, at: place.at, kind: target.kind, id: Buffer.from(id) })
    } catch {
      // What cannot be decoded is not a signal anywhere.
    }
  }

  #bundle(log: FollowedLog, { body, signature }: { body: Buffer; signature: Uint8Array }, now: number): void {
    const { rootKeys, epsilonMs } = this.#options
    const result = verifyBundle(body, signature, rootKeys, { now, epsilonMs, current: log.ring })
    if (result.ok) log.ring = result.ring
  }

  #progress({ record, place }: ProgressEvidence): void {
    const told = this.#told.take(record)
    if (told?.kind === 'Registration') this.#registered(told.registration, place.at)
    else if (told?.kind === 'Progress') this.#progressed(told.progress, place.at)
  }

  #registered({ consumer, instance, classes, epsilon_ms: epsilonMs }: Registration, registeredAt: number): void {
    const id = hex(instance)
    this.#forget(registeredAt - FORGOTTEN_MS)
    const rules = classes.flatMap((one) => rulesOf(one) ?? [])
    const names = this.#consumers.get(id) ?? new Map<string, Known>()
    const isNew = !names.has(consumer)
    this.#consumers.set(id, names)
    names.set(consumer, { consumer, instance, classes: rules, epsilonMs, gone: false, registeredAt })
    // An instance at a time bears a name: the one before it is gone, said so or not, unless it is heard of again.
    for (const [key, others] of this.#consumers) {
      const other = others.get(consumer)
      if (isNew && other && key !== id) others.set(consumer, { ...other, gone: true })
    }
    for (const { name } of rules) this.#gauge(name)
  }

  #forget(before: number): void {
    this.#told.forget(before)
    for (const [id, names] of this.#consumers) {
      const known = [...names.values()]
      if (known.some(({ registeredAt }) => registeredAt >= before)) continue
      this.#consumers.delete(id)
      for (const { instance } of known) this.#exposures.forget(instance)
    }
  }

  #progressed(progress: Progress, toldAt: number): void {
    // A clock that is this far from the log's measures nothing: then it was when the record stood there, which is later.
    const isRight = Math.abs(toldAt - progress.at) <= 2 * this.#options.epsilonMs
    const applied = isRight ? progress.applied : progress.applied.map(({ offset }) => ({ offset, at: toldAt }))
    this.#exposures.progress({ ...progress, applied })
    const id = hex(progress.instance)
    const names = this.#consumers.get(id)
    const gone = (this.#told.instance(id)?.goodbyeAt ?? null) !== null
    for (const [name, one] of names ?? []) if (one.gone !== gone) names?.set(name, { ...one, gone })
  }

  #gauge(jobClass: string): void {
    const { metrics } = this.#options
    if (metrics === undefined || this.#gauged.has(jobClass) || this.#gauged.size >= MOST_GAUGED) return
    this.#gauged.add(jobClass)
    for (const credential of CREDENTIAL_KINDS) {
      const of = { credential, class: jobClass }
      const told = (): Sentence | undefined => this.#row(credential, jobClass)
      // NaN where there is nothing to say: a series that is there has its meaning.
      const seconds = (ms: number | null | undefined): number => (ms == null ? Number.NaN : ms / 1_000)
      metrics.gaugeFrom('countersign_sentence_bound_seconds', of, () => {
        const row = told()
        return row?.boundMs === null ? Number.POSITIVE_INFINITY : seconds(row?.boundMs)
      })
      metrics.gaugeFrom('countersign_sentence_p99_seconds', of, () => seconds(told()?.p99Ms))
      metrics.gaugeFrom('countersign_sentence_revocations', of, () => told()?.revocations ?? 0)
    }
  }

  #row(credential: CredentialKind, jobClass: string): Sentence | undefined {
    this.#current ??= this.sentences()
    return this.#current.find((row) => row.credential === credential && row.jobClass === jobClass)
  }
}

/** Anybody who can write to the topic can register: what is no class is nobody's. One of a later version may have more rules. */
function rulesOf({ name, rules, rule_version: version }: RegisteredClass): JobClassRules | null {
  if (ruleVersionOf(rules) !== version) return null
  try {
    const read: unknown = JSON.parse(rules)
    return isRules(read) && read.name === name ? read : null
  } catch {
    return null
  }
}

type Unknown<T> = { readonly [K in keyof T]?: unknown }

function isRules(value: unknown): value is JobClassRules {
  if (typeof value !== 'object' || value === null) return false
  const { stalenessBudgetMs, observe, effect, timeoutMs, principals, inFlight } = value as Unknown<JobClassRules>
  const { queued } = (inFlight ?? {}) as Unknown<JobClassRules['inFlight']>
  return (
    Number.isSafeInteger(stalenessBudgetMs) &&
    typeof observe === 'boolean' &&
    (effect === 'any' || effect === 'rechecked') &&
    (timeoutMs === null || Number.isSafeInteger(timeoutMs)) &&
    (principals === null || Array.isArray(principals)) &&
    typeof queued === 'object' &&
    queued !== null
  )
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
