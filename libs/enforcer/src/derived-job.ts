/** Further work: what a consumer needs to start it, and how a handler says what it is to be. */
import type { SigningKey } from '@countersign/envelope'
import type { Appended } from '@countersign/event-log'
import type { Actor } from '@countersign/schemas'
import type { Item } from './item.ts'
import type { Run } from './running.ts'
import type { Successors } from './successors.ts'

/** What a consumer needs to start further work. */
export interface DerivingOptions {
  /** Seals what is derived; its public half stands in the trust bundle with use `derive` (or `envelope`). */
  readonly key: SigningKey
  /** Name of this workload in envelopes. */
  readonly workload: string
  /** Recorded in front of those who act already. @defaultValue the workload, as a service; null adds nobody */
  readonly actor?: Actor | null
  /** Longest life of a derived envelope, milliseconds. @defaultValue what is left to the one it came from */
  readonly maxLifeMs?: number
  /** Asked when the work has outlived its envelope. @defaultValue nobody: then nothing can be derived of it any more */
  readonly successors?: Successors
}

/** A job for the next actor. */
export interface DerivedJob {
  /** Logical topic. */
  readonly topic: string
  /** Jobs of one key stay in order. @defaultValue none */
  readonly key?: string | Uint8Array | null
  /** As the topic's payload schema says. */
  readonly value: unknown
  /** What it may do. @defaultValue everything this work may still do */
  readonly scope?: readonly string[]
  /** Shorter than what is left, milliseconds. */
  readonly expiresInMs?: number
  /**
   * 16 bytes. @defaultValue made of this event, the class, the topic and how many were derived before in this attempt: a
   * handler that is tried again and derives in the same order sends the same events again, by which theirs know them.
   */
  readonly eventId?: Uint8Array
  /** Evidence of earlier steps it depends on, beside those this work does. */
  readonly reliesOn?: readonly Uint8Array[]
}

/** Where a derived job stands. */
export interface Derived extends Appended {
  readonly eventId: Buffer
  /** Its envelope, and what that relies on, for a later step to rely on. */
  readonly evidence: () => Buffer
}

/** Starts further work of an attempt under way; see `Work.derive`. */
export interface JobDeriver {
  /** @param nth how many this attempt derived before. */
  derive(item: Item, run: Run, job: DerivedJob, nth: number): Promise<Derived>
}
