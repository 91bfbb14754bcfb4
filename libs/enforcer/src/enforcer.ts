/** Puts the parts together: classes, handlers, the view's signals, and the drain. */
import { Opener } from '@countersign/envelope'
import type { EachBatchPayload, EachMessagePayload, JobMessage } from '@countersign/event-log'
import { Admission } from './admission.ts'
import { processBatch } from './batch.ts'
import { batchInterrupted, miswired } from './errors.ts'
import { recordView } from './history.ts'
import { Item } from './item.ts'
import { Meters } from './meters.ts'
import type { EnforcerOptions, Settings } from './options.ts'
import { EXECUTED, type Settlement } from './outcomes.ts'
import { type Membership, Pulse } from './pulse.ts'
import { Recorder } from './record.ts'
import { RunningWork } from './running.ts'
import type { Handler } from './work.ts'

/** A message that no group delivered. */
export interface PlainJob {
  readonly topic: string
  readonly partition: number
  readonly offset: number | string
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Readonly<Record<string, Uint8Array | string | undefined>>
}

/** The state a message would get if it came now; `executed` for one that would be handed to the handler. */
export interface Probe extends Settlement {
  /** The class only observes: the message would run whatever its state. */
  readonly observed: boolean
}

/** Decides, runs and records work around ordinary handlers. */
export interface Enforcer {
  /**
   * A kafkajs `eachMessage` handler: two records per message, so prefer `eachBatch` where there is load.
   * @param jobClass name of a class, or a logical topic that has exactly one.
   * @throws {ENFORCER_CLASS_UNKNOWN}
   */
  eachMessage<T = unknown>(jobClass: string, handler: Handler<T>): (payload: EachMessagePayload) => Promise<void>
  /**
   * A kafkajs `eachBatch` handler: one admitted and one final record per batch.
   * @param options `concurrency`: handlers at once, default 1; work of one key keeps its order.
   * @throws {ENFORCER_CLASS_UNKNOWN}
   */
  eachBatch<T = unknown>(
    jobClass: string,
    handler: Handler<T>,
    options?: { readonly concurrency?: number },
  ): (payload: EachBatchPayload) => Promise<void>
  /**
   * The same for one message from anywhere else.
   * @returns its recorded state. @throws {ENFORCER_BATCH_INTERRUPTED} when it has none: deliver it again.
   */
  run<T = unknown>(jobClass: string, job: PlainJob, handler: Handler<T>): Promise<Settlement>
  /**
   * Opens and decides one message as the first step of `run` does, and does nothing more: no handler is called,
   * nothing is recorded, nothing waited for. The payload is bound but not read.
   * @throws {ENFORCER_CLASS_UNKNOWN}
   */
  probe(jobClass: string, job: Pick<PlainJob, 'key' | 'value' | 'headers'>): Probe
  /**
   * Ends: nothing starts any more, running handlers get `graceMs` to finish and are then aborted, states are
   * recorded. Call it together with the consumer's own stop. Messages without a state are delivered again.
   * @param graceMs milliseconds, default 10,000.
   */
  stop(graceMs?: number): Promise<void>
}

/**
 * @throws {ENFORCER_CLASS_REPEATED} when two classes share a name.
 * @throws {ENFORCER_TOPIC_UNKNOWN} when a class or the decisions have no topic in the catalogue.
 */
export function createEnforcer(options: EnforcerOptions): Enforcer {
  const settings = settingsOf(options)
  const { replica, clock, logger, metrics, history, consumer } = settings
  const opener = new Opener()
  const running = new RunningWork()
  const classes = new Map<string, { admission: Admission; recorder: Recorder; meters: Meters }>()
  for (const rules of settings.classes) {
    if (classes.has(rules.name)) throw miswired('ENFORCER_CLASS_REPEATED', `class ${rules.name} is given twice`)
    const admission = new Admission(settings, rules, opener)
    const meters = new Meters(metrics, rules.name)
    meters.runningFrom(() => running.count(rules.name))
    classes.set(rules.name, { admission, recorder: new Recorder(settings, admission), meters })
  }
  const active = new Map<Pulse, Promise<unknown>>()
  let stopping = false

  // Before the listeners below, so that a signal is told before what it ends.
  const endHistory = history ? recordView(history, replica, clock, consumer) : () => {}
  const offSignal = replica.onSignal(() => running.viewChanged())
  const offCheckpoint = replica.onCheckpoint(() => running.viewChanged())

  function classFor(name: string): { admission: Admission; recorder: Recorder; meters: Meters } {
    const byTopic = [...classes.values()].filter(({ admission }) => admission.rules.topic === name)
    const found = classes.get(name) ?? (byTopic.length === 1 ? byTopic[0] : undefined)
    if (!found) throw miswired('ENFORCER_CLASS_UNKNOWN', `${name} is no class, and no topic with exactly one`)
    return found
  }

  function prepare<T>(name: string, handler: Handler<T>, concurrency: number) {
    const parts = { settings, running, handler, concurrency, ...classFor(name) }
    const { rules } = parts.admission
    return async (source: Source): Promise<readonly Item[]> => {
      const { topic } = source
      if (settings.catalogue.logicalOf(topic) !== rules.topic) {
        throw miswired('ENFORCER_TOPIC_MISMATCH', `class ${rules.name} is for ${rules.topic}, not for ${topic}`)
      }
      if (stopping) throw batchInterrupted('the consumer is stopping')
      const pulse = new Pulse(source.membership, clock, settings.heartbeatMs)
      const role = settings.catalogue.byName(topic)?.role
      const redriven = role === 'park' || role === 'dead'
      const work = processBatch({ ...parts, pulse }, { ...source, redriven })
      active.set(pulse, work)
      try {
        return await work
      } catch (error) {
        logger.warn({ class: rules.name, topic, partition: source.partition, error }, 'batch given back')
        throw error
      } finally {
        pulse.finish()
        active.delete(pulse)
      }
    }
  }

  return {
    eachMessage(name, handler) {
      const process = prepare(name, handler, 1)
      return async ({ topic, partition, message, heartbeat }) => {
        const membership = { ...ALONE, heartbeat }
        await process({ topic, partition, messages: [message], membership, ...ITSELF })
      }
    },
    eachBatch(name, handler, { concurrency = 1 } = {}) {
      const process = prepare(name, handler, Math.max(1, Math.floor(concurrency)))
      return async (payload) => {
        const { topic, partition, messages } = payload.batch
        const resolve = (offset: string): void => payload.resolveOffset(offset)
        const commit = (): Promise<void> => payload.commitOffsetsIfNecessary()
        await process({ topic, partition, messages, membership: payload, resolve, commit })
      }
    },
    async run(name, { topic, partition, ...job }, handler) {
      const messages = [messageOf(job, clock.now())]
      const items = await prepare(name, handler, 1)({ topic, partition, messages, membership: ALONE, ...ITSELF })
      return items[0]?.settlement as Settlement
    },
    probe(name, job) {
      const { admission } = classFor(name)
      const { rules, topic } = admission
      const item = new Item(topic.name, 0, messageOf({ ...job, offset: 0 }, clock.now()), null)
      return { ...(admission.authorise(item)?.settlement ?? EXECUTED), observed: rules.observe }
    },
    async stop(graceMs = 10_000) {
      stopping = true
      for (const pulse of active.keys()) pulse.interrupt('the consumer is stopping')
      const ended = Promise.allSettled(active.values())
      const grace = new AbortController()
      await Promise.race([ended, clock.sleep(graceMs, grace.signal)])
      grace.abort()
      running.stopAll()
      await ended
      offSignal()
      offCheckpoint()
      endHistory()
    },
  }
}

interface Source {
  readonly topic: string
  readonly partition: number
  readonly messages: readonly JobMessage[]
  readonly membership: Membership
  readonly resolve: (offset: string) => void
  readonly commit: () => Promise<void>
}

/** One message has no offsets to tell: returning resolves it, throwing does not. */
const ITSELF = { resolve: (): void => {}, commit: async (): Promise<void> => {} }

/** Membership of a message without a group, or of one whose group says no more. */
const ALONE: Membership = { heartbeat: async () => {}, isRunning: () => true, isStale: () => false }

function messageOf(job: Omit<PlainJob, 'topic' | 'partition'>, now: number): JobMessage {
  const bytes = (b: Uint8Array | null): Buffer | null => b && Buffer.from(b.buffer, b.byteOffset, b.byteLength)
  const headers: JobMessage['headers'] = {}
  for (const [name, value] of Object.entries(job.headers)) {
    headers[name] = value instanceof Uint8Array ? (bytes(value) as Buffer) : value
  }
  const { key, value, offset } = job
  return { key: bytes(key), value: bytes(value), headers, offset: String(offset), timestamp: String(now) }
}

function settingsOf(options: EnforcerOptions): Settings {
  const decisions = options.catalogue.entries.find((entry) => entry.role === 'decisions')
  if (!decisions) throw miswired('ENFORCER_TOPIC_UNKNOWN', 'the catalogue has no decisions topic')
  const { epsilonMs = 250, recordWithinMs = 20_000, heartbeatMs = 1_000, admitAtMost = 256 } = options
  const { name: topic, partitions } = decisions
  return { ...options, epsilonMs, recordWithinMs, heartbeatMs, admitAtMost, decisions: { topic, partitions } }
}
