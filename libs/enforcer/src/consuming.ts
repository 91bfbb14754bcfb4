/**
 * Takes the deliveries of one job class and one handler. Invariant: a delivery that returns has told its group how far
 * it came; it throws only when something is wrong that the group has to act on.
 */
import { isCountersignError } from '@countersign/kernel'
import { processBatch } from './batch.ts'
import type { Source } from './delivered.ts'
import { batchInterrupted, miswired, nameOf } from './errors.ts'
import type { Item } from './item.ts'
import type { ClassParts } from './parts.ts'
import { type Heard, MOVED, Pulse, REBALANCING, STOPPING } from './pulse.ts'
import { tracedDelivery } from './tracing.ts'
import type { GivenBack } from './waiting.ts'
import type { Handler } from './work.ts'

/** Where a group goes on. */
export interface NextOffset {
  readonly topic: string
  readonly partition: number
  /** Of the next message, as kafkajs commits it. */
  readonly offset: string
}

/** How deliveries are taken. */
export interface ConsumeOptions {
  /** Handlers at once, for `eachBatch`; work of one key keeps its order. @defaultValue 1 */
  readonly concurrency?: number
  /**
   * For consumers with `autoCommit: false`: called with what may be committed, when states have become durable, at the
   * end of a delivery and about every second in a slow one. Rejecting gives the delivery back.
   */
  readonly commit?: (offsets: NextOffset[]) => Promise<unknown>
}

/** What all deliveries of an enforcer share. */
export interface Consumption {
  /** Deliveries under way. */
  readonly active: Map<Pulse, Promise<unknown>>
  readonly isStopping: () => boolean
}

/** @returns what takes deliveries of this class, each with its items if all have their state. */
export function consuming<T>(
  parts: ClassParts,
  handler: Handler<T>,
  { active, isStopping }: Consumption,
  { concurrency = 1, commit }: ConsumeOptions = {},
  heard: Heard = { at: parts.settings.clock.monotonic() },
): (source: Source) => Promise<readonly Item[]> {
  const { settings, admission, waiting } = parts
  const { rules } = admission
  const { catalogue, clock, logger, heartbeatMs } = settings
  const handlers = Math.max(1, Math.floor(concurrency))

  return async (source) => {
    const { topic, partition, messages, group } = source
    if (catalogue.logicalOf(topic) !== rules.topic) {
      throw miswired('ENFORCER_TOPIC_MISMATCH', `class ${rules.name} is for ${rules.topic}, not for ${topic}`)
    }
    const reached = new Reached(source, commit)
    parts.meters.batch(messages.length)
    const goBackTo = group && waiting.passedBy(topic, partition, group.fetch)
    if (isStopping()) {
      if (group === null) throw batchInterrupted(STOPPING)
      reached.leave(goBackTo ?? reached.next)
      return []
    }
    if (group && goBackTo !== null) {
      group.endBefore(goBackTo)
      return []
    }
    const before = group ? waiting.take(topic, partition) : waitedBefore(source)
    const pulse = new Pulse(source.membership, clock, heartbeatMs, heard)
    const role = catalogue.byName(topic)?.role
    const delivery = {
      ...source,
      redriven: role === 'park' || role === 'dead',
      resolve: (offset: string) => reached.resolve(offset),
      commit: () => reached.commit(),
      isShared: group !== null,
      pausable: group !== null || source.patience !== undefined,
      before,
    }
    const traced = tracedDelivery(rules.name, source, handler)
    const called = traced?.handler ?? handler
    const work = processBatch({ ...parts, handler: called, concurrency: handlers, pulse }, delivery)
    active.set(pulse, work)
    try {
      const { items, cut } = await work
      traced?.end(items)
      await reached.finish()
      if (cut && group) {
        group.endBefore(reached.next)
        waiting.giveBack(cut, Number(messages.at(-1)?.offset), group)
      }
      return items
    } catch (error) {
      traced?.end([], nameOf(error) ?? 'unknown')
      const harmless = error === pulse.interruption && (pulse.why === STOPPING || pulse.why === MOVED)
      if (harmless && group) {
        if (pulse.why === STOPPING) reached.leave()
        else group.endBefore(reached.next)
        return []
      }
      logger.warn({ class: rules.name, topic, partition, error }, 'batch given back')
      throw group ? causeForGroup(error, pulse) : error
    } finally {
      pulse.finish()
      active.delete(pulse)
    }
  }
}

/** One that has no group says itself since when it waits. */
function waitedBefore({ patience, messages }: Source): GivenBack | null {
  if (patience === undefined) return null
  const offset = Number(messages[0]?.offset)
  return { first: offset, last: offset, since: patience.since, attempts: 0, recorded: new Set() }
}

/** How far a delivery is done: the offset of the first message without a durable state. */
class Reached {
  next: number
  readonly #source: Source
  readonly #commit: ConsumeOptions['commit']
  #committed: number

  constructor(source: Source, commit: ConsumeOptions['commit']) {
    this.#source = source
    this.#commit = commit
    this.next = Number(source.messages[0]?.offset)
    this.#committed = this.next
  }

  resolve(offset: string): void {
    this.next = Number(offset) + 1
    this.#source.resolve(offset)
  }

  async commit(): Promise<void> {
    if (this.#commit) await this.finish()
    else await this.#source.commit()
  }

  /** Commits, where that is not the group's business. */
  async finish(): Promise<void> {
    const { topic, partition } = this.#source
    const { next } = this
    if (!this.#commit || next === this.#committed) return
    await this.#commit([{ topic, partition, offset: String(next) }])
    this.#committed = next
  }

  /** Nothing more of this partition: it is paused for good, so that the group does not hand it over again and again. */
  leave(from = this.next): void {
    const { group } = this.#source
    group?.endBefore(from)
    group?.pause()
  }
}

/**
 * A client that is told of a rebalance by its own error joins again at once; any other it tries again after a while. One that
 * says it is not to be tried again ends a kafkajs consumer for good, and what the log refuses today it may take tomorrow:
 * a topic that was deleted, a right that was taken.
 */
function causeForGroup(error: unknown, pulse: Pulse): unknown {
  if (error === pulse.interruption && pulse.why === REBALANCING) {
    const { cause } = pulse.interruption as Error
    return cause instanceof Error && cause.name.startsWith('KafkaJS') ? cause : error
  }
  const isFinal = isCountersignError(error) && !error.retriable
  return isFinal ? batchInterrupted('the log refuses what has to be recorded', error) : error
}
