/** One delivered message on its way to its state. Mutable, owned by the batch that fetched it. */
import { createHash } from 'node:crypto'
import { headerOf, type KeyRing, type OpenedEnvelope } from '@countersign/envelope'
import type { JobMessage } from '@countersign/event-log'
import type { ViewFreshness } from '@countersign/policy'
import { CLASS_HEADER, type JobTopicNames, type Judgement, ORIGIN_HEADER } from '@countersign/schemas'
import type { ConsumerView } from './consumer-view.ts'
import type { EffectNote } from './judged.ts'
import { faultSettlement, type Settlement } from './outcomes.ts'

export class Item {
  readonly message: JobMessage
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly originPartition: number
  /** The envelope as received, or what is wrong with there being one. */
  readonly header: Buffer | null
  readonly headerFault: Settlement | null
  /** Opened under `ring`; opened again when another bundle comes into force. */
  opened: OpenedEnvelope | null = null
  ring: KeyRing | null = null
  /** The latest ring under which its keys were found again while it ran. */
  runsUnder: KeyRing | null = null
  /** From when on it opens no more, epoch milliseconds: floors that count may be gone from every view by then. */
  windowEnd = 0
  /** Of the log that owns its tenant, from when it was opened; what concerns this item is asked of it. */
  view: ConsumerView | null = null
  value: unknown
  decoded = false
  /** Scopes left at the last judgement that allowed. */
  scopes: readonly string[] = []
  freshness: ViewFreshness | null = null
  viewOffset = -1
  bundleVersion = 0
  /** The view its last judgement went by: that of the log that owns its tenant, or the one that could not tell yet. */
  judgedBy: ConsumerView | null = null
  /** When it was judged last, epoch milliseconds. */
  judgedAt = 0
  /** The view object that allowed it at `viewOffset`. */
  allowedBy: object | null = null
  attempts = 0
  /** What its handlers say they have committed. */
  effects: EffectNote | null = null
  /** What enforcement would have done, in an observed class. */
  observed: Settlement | null = null
  settlement: Settlement | null = null
  recorded = false
  readonly #origin: string | null
  #workId: Buffer | null = null

  /** @param original where the event was first read, if `topic` holds copies: only there does a header say where. */
  constructor(topic: string, partition: number, message: JobMessage, original: JobTopicNames | null) {
    this.message = message
    this.topic = topic
    this.partition = partition
    this.offset = Number(message.offset)
    const earlier = original && originHeader(message, original)
    this.#origin = earlier?.[0] ?? null
    this.originPartition = earlier ? Number(earlier[2]) : partition
    const found = headerOf(message.headers)
    this.header = found.ok ? found.bytes : null
    this.headerFault = found.ok ? null : faultSettlement(found.code)
  }

  /** What its last judgement went by; null where no view was asked. */
  get judged(): Judgement | null {
    const { freshness } = this
    if (freshness === null) return null
    return {
      view_offset: this.viewOffset,
      as_of: freshness.asOf,
      bundle_version: this.bundleVersion,
      at: this.judgedAt,
      age_ms: freshness.ageMs,
      store_unseen_ms: freshness.storeUnseenForMs,
    }
  }

  /** Where the event was first read: `topic/partition/offset`. */
  get origin(): string {
    return this.#origin ?? `${this.topic}/${this.partition}/${this.offset}`
  }

  /** Whether it is another class's alone: redriven for that one, or its copy. */
  isForAnother(jobClass: string): boolean {
    const value = this.message.headers?.[CLASS_HEADER]
    return (value instanceof Uint8Array || typeof value === 'string') && value.toString() !== jobClass
  }

  /** Null when the envelope could not be opened. */
  get eventId(): Uint8Array | null {
    return this.opened?.claims.event.id ?? null
  }

  /** Event id, or, where there is none, 16 bytes made from where the record stands: the same at every delivery. */
  get workId(): Buffer {
    if (this.#workId === null) {
      const made = (): Buffer => createHash('sha256').update(this.origin).digest().subarray(0, 16)
      this.#workId = Buffer.from(this.eventId ?? made())
    }
    return this.#workId
  }
}

/** A place that the job topic does not have is nobody's: with it one event would have final records in two partitions. */
function originHeader(message: JobMessage, { name, partitions }: JobTopicNames): RegExpExecArray | null {
  const value = message.headers?.[ORIGIN_HEADER]
  if (!(value instanceof Uint8Array || typeof value === 'string')) return null
  const found = /^([^/]{1,249})\/(\d{1,9})\/\d{1,16}$/.exec(value.toString())
  return found?.[1] === name && Number(found[2]) < partitions ? found : null
}
