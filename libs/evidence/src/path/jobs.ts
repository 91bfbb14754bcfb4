/** Records of job topics and of their parked and dead-lettered copies, as parts of paths. */
import { headerOf, type KeyRing, Opener } from '@countersign/envelope'
import type { EventLog, LogRecord } from '@countersign/event-log'
import { type Catalogue, type EnvelopeClaims, ORIGIN_HEADER, REASON_HEADER, type TopicRole } from '@countersign/schemas'
import { correlationOf, traceOf } from '@countersign/telemetry'
import type { Named } from './names.ts'

/** A job, or a copy of one. */
export interface JobFound extends Named {
  readonly role: TopicRole
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** When the log appended it, epoch milliseconds. */
  readonly at: number
  /** What its envelope says; null unless a key of the log signed it. */
  readonly claims: EnvelopeClaims | null
  /** Of copies: the place of the original, and why it was set aside. */
  readonly origin: string | null
  readonly reason: string | null
}

/** Reads what stands on job topics. */
export class JobReader {
  readonly #rings: readonly KeyRing[]
  readonly #openers: readonly Opener[]
  readonly #epsilonMs = 250

  /** @param rings of the signals logs; none: envelopes are not looked into. */
  constructor(rings: readonly KeyRing[]) {
    this.#rings = rings
    this.#openers = rings.map(() => new Opener())
  }

  /** All jobs and copies on the log, topic by topic. */
  async *all(log: EventLog, { entries }: Catalogue): AsyncGenerator<JobFound> {
    for (const { name, role, partitions } of entries) {
      if (role !== 'jobs' && role !== 'park' && role !== 'dead') continue
      for (let partition = 0; partition < partitions; partition++) {
        const { start, end } = await log.bounds(name, partition)
        if (start === end) continue
        for await (const chunk of log.read({ topic: name, partition, from: start, to: end })) {
          for (const record of chunk) yield this.#found(record, role)
        }
      }
    }
  }

  #found({ topic, partition, offset, timestamp: at, headers }: LogRecord, role: TopicRole): JobFound {
    const names = Object.fromEntries(headers)
    const claims = this.#claimsOf(headers, at)
    return {
      ...{ role, topic, partition, offset, at, claims },
      correlation: correlationOf(names),
      trace: traceOf(names)?.traceId ?? null,
      transaction: claims?.txn ?? null,
      request: claims?.rctx.request_id ?? null,
      origin: textOf(names[ORIGIN_HEADER]),
      reason: textOf(names[REASON_HEADER]),
    }
  }

  #claimsOf(headers: LogRecord['headers'], now: number): EnvelopeClaims | null {
    const found = headerOf(headers)
    if (!found.ok) return null
    for (const [i, ring] of this.#rings.entries()) {
      const proved = this.#openers[i]?.prove(found.bytes, { ring, now, epsilonMs: this.#epsilonMs })
      // Not views of the chunk it was read in, which the garbage collector is to have.
      if (proved?.ok) return structuredClone(proved.envelope.claims)
    }
    return null
  }
}

function textOf(value: Uint8Array | undefined): string | null {
  return value === undefined || value.length > 512 ? null : Buffer.from(value).toString()
}
