/** What a handler is given, made as it is asked for: most handlers look at little of it, and there is one for each message. */
import { evidenceOf, packEvidence } from '@countersign/envelope'
import { correlationOf, type TraceContext, traceOf } from '@countersign/telemetry'
import { notDeriving } from './deriving.ts'
import type { CommitIfAllowed } from './effects.ts'
import { deriveRefused } from './errors.ts'
import type { Item } from './item.ts'
import type { AttemptParts } from './parts.ts'
import { type Recheck, recheck } from './recheck.ts'
import type { Run } from './running.ts'
import { type Identity, identityOf, UNVERIFIED, type Work, type WorkEvent } from './work.ts'

export class JobWork<T> implements Work<T> {
  readonly value: T
  readonly #parts: AttemptParts
  readonly #item: Item
  readonly #run: Run
  readonly #beat: () => Promise<void>
  readonly #attempt: number
  readonly #scopes: readonly string[]
  #identity: Identity | null = null
  #event: WorkEvent | null = null
  #derived = 0

  constructor(parts: AttemptParts, item: Item, run: Run, beat: () => Promise<void>) {
    this.value = item.value as T
    this.#parts = parts
    this.#item = item
    this.#run = run
    this.#beat = beat
    this.#attempt = item.attempts
    this.#scopes = item.scopes
  }

  get identity(): Identity {
    this.#identity ??= identityWith(this.#item, this.#scopes)
    return this.#identity
  }

  get signal(): AbortSignal {
    return this.#run.signal
  }

  get event(): WorkEvent {
    this.#event ??= eventOf(this.#parts, this.#item, this.#attempt)
    return this.#event
  }

  get key(): Uint8Array | null {
    return this.#item.message.key
  }

  get envelope(): Work<T>['envelope'] {
    const { opened, header } = this.#item
    return opened === null || header === null ? null : { header, opened }
  }

  get trace(): TraceContext | null {
    return traceOf(this.#item.message.headers)
  }

  get correlationId(): string | null {
    return correlationOf(this.#item.message.headers)
  }

  get earlier(): readonly Identity[] {
    return this.#item.opened?.relied.map((step) => identityOf(step, step.scopes)) ?? []
  }

  // Functions are properties, so that a handler may take them out.

  get recheck(): () => Recheck {
    return () => recheck(this.#run)
  }

  get commitIfAllowed(): CommitIfAllowed {
    return (commit) => this.#run.effects.commit(this.#parts, this.#run, commit)
  }

  get noEffect(): () => void {
    return () => this.#run.effects.nothing(this.#run)
  }

  get derive(): Work<T>['derive'] {
    return async (job) => {
      const { deriver } = this.#parts.settings
      if (!deriver) throw notDeriving(this.#parts.admission.rules)
      return deriver.derive(this.#item, this.#run, job, this.#derived++)
    }
  }

  get evidence(): () => Buffer {
    return () => {
      const { header, opened, message } = this.#item
      if (header === null || opened === null) throw deriveRefused('envelope_missing', false)
      return packEvidence([header, ...(opened.relied.length === 0 ? [] : (evidenceOf(message.headers) ?? []))])
    }
  }

  get heartbeat(): () => Promise<void> {
    return this.#beat
  }
}

/** Whose work it is, with the scopes left at the last judgement. */
export function identityWith({ opened }: Item, scopes: readonly string[]): Identity {
  return opened === null ? UNVERIFIED : identityOf(opened, scopes)
}

export function eventOf({ admission }: AttemptParts, item: Item, attempt: number): WorkEvent {
  const { topic, partition, offset } = item
  return { id: item.workId.toString('hex'), logical: admission.rules.topic, topic, partition, offset, attempt }
}
