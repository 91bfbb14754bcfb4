/** Puts the parts together: classes, handlers, the view's signals, and the drain. */
import { Opener } from '@countersign/envelope'
import type { EachBatchPayload, EachMessagePayload } from '@countersign/event-log'
import { Admission } from './admission.ts'
import { type ConsumeOptions, consuming } from './consuming.ts'
import { ofBatch, ofMessage, type Source } from './delivered.ts'
import { Deriver } from './deriving.ts'
import { miswired, workWaiting } from './errors.ts'
import { recordView } from './history.ts'
import { Item } from './item.ts'
import { Meters } from './meters.ts'
import type { EnforcerOptions, Settings } from './options.ts'
import { EXECUTED, type Settlement } from './outcomes.ts'
import type { ClassParts } from './parts.ts'
import { messageOf, ofJob, type PlainJob, type RunOptions } from './plain-job.ts'
import { type Pulse, STOPPING } from './pulse.ts'
import { Recorder } from './record.ts'
import { Recording, type RecordingState } from './recording.ts'
import { register } from './registering.ts'
import { RunningWork } from './running.ts'
import { Waiting } from './waiting.ts'
import type { Handler } from './work.ts'

/** The state a message would get if it came now; `executed` for one that would be handed to the handler. */
export interface Probe extends Settlement {
  /** The class only observes: the message would run whatever its state. */
  readonly observed: boolean
}

/** A handler for each class, by its name, or by a logical topic that has exactly one; one class for a topic. */
export type Handlers = Readonly<Record<string, Handler<never>>>

/** Decides, runs and records work around ordinary handlers. */
export interface Enforcer {
  /**
   * A kafkajs `eachMessage` handler: two records per message, so prefer `eachBatch` where there is load. It returns when
   * the message has its state, or when its partition is paused until it can be judged: `message.offset` is then one less,
   * so that kafkajs resolves what is before it.
   * @param jobClass name of a class, or a logical topic that has exactly one.
   * @throws {ENFORCER_CLASS_UNKNOWN}
   */
  eachMessage<T = unknown>(
    jobClass: string,
    handler: Handler<T>,
    options?: Omit<ConsumeOptions, 'concurrency'>,
  ): (payload: EachMessagePayload) => Promise<void>
  /** For a consumer of several topics. @throws {ENFORCER_CLASS_UNKNOWN} @throws {ENFORCER_CLASS_REPEATED} */
  eachMessage(
    handlers: Handlers,
    options?: Omit<ConsumeOptions, 'concurrency'>,
  ): (payload: EachMessagePayload) => Promise<void>
  /**
   * A kafkajs `eachBatch` handler: one admitted and one final record per batch. It resolves what has its state, whatever
   * `eachBatchAutoResolve` says, and pauses a partition until its next message can be judged.
   * @throws {ENFORCER_CLASS_UNKNOWN}
   */
  eachBatch<T = unknown>(
    jobClass: string,
    handler: Handler<T>,
    options?: ConsumeOptions,
  ): (payload: EachBatchPayload) => Promise<void>
  /** For a consumer of several topics. @throws {ENFORCER_CLASS_UNKNOWN} @throws {ENFORCER_CLASS_REPEATED} */
  eachBatch(handlers: Handlers, options?: ConsumeOptions): (payload: EachBatchPayload) => Promise<void>
  /**
   * The same for one message from anywhere else.
   * @returns its recorded state. @throws {ENFORCER_BATCH_INTERRUPTED} when it has none: deliver it again.
   * @throws {ENFORCER_WORK_WAITING} when it cannot be judged within `holdMs`: deliver it again later.
   */
  run<T = unknown>(jobClass: string, job: PlainJob, handler: Handler<T>, options?: RunOptions): Promise<Settlement>
  /**
   * Opens and decides one message as the first step of `run` does, and does nothing more: no handler is called,
   * nothing is recorded, nothing waited for. The payload is bound but not read.
   * @throws {ENFORCER_CLASS_UNKNOWN}
   */
  probe(jobClass: string, job: Pick<PlainJob, 'key' | 'value' | 'headers'>): Probe
  /** Whether decisions are recorded, and which classes start nothing because they are not. */
  recording(): RecordingState
  /**
   * Ends: nothing starts any more, running handlers get `graceMs` to finish and are then aborted, states are
   * recorded. Call it together with the consumer's own stop. Messages without a state are delivered again.
   * @param graceMs milliseconds, default 10,000.
   */
  stop(graceMs?: number): Promise<void>
}

/**
 * @throws {ENFORCER_CLASS_REPEATED} when two classes share a name.
 * @throws {ENFORCER_SPOOL_MISSING} when a class is spooled and there is no spool.
 * @throws {ENFORCER_TOPIC_UNKNOWN} when a class or the decisions have no topic in the catalogue.
 */
export function createEnforcer(options: EnforcerOptions): Enforcer {
  const settings = settingsOf(options)
  const { replica, clock, metrics, history, consumer } = settings
  const opener = new Opener({
    onVerified: (envelopes) => settings.metrics?.observe('countersign_envelopes_per_signature', {}, envelopes),
  })
  const running = new RunningWork(settings)
  const classes = new Map<string, ClassParts>()
  for (const rules of settings.classes) {
    if (classes.has(rules.name)) throw miswired('ENFORCER_CLASS_REPEATED', `class ${rules.name} is given twice`)
    const admission = new Admission(settings, rules, opener)
    const meters = new Meters(metrics, rules.name)
    meters.runningFrom(() => running.count(rules.name))
    const recorder = new Recorder(settings, admission)
    const waiting = new Waiting(settings, admission, meters)
    classes.set(rules.name, { settings, running, admission, recorder, meters, waiting })
  }
  register(replica, settings.classes, settings.epsilonMs, consumer)
  const active = new Map<Pulse, Promise<unknown>>()
  let stopping = false
  const consumption = { active, isStopping: () => stopping }

  // Before the listeners below, so that a signal is told before what it ends.
  const endHistory = history ? recordView(history, replica, clock, consumer) : () => {}
  const offSignal = replica.onSignal(() => running.viewChanged())
  const offCheckpoint = replica.onCheckpoint(() => running.viewChanged())

  function classFor(name: string): ClassParts {
    const byTopic = [...classes.values()].filter(({ admission }) => admission.rules.topic === name)
    const found = classes.get(name) ?? (byTopic.length === 1 ? byTopic[0] : undefined)
    if (!found) throw miswired('ENFORCER_CLASS_UNKNOWN', `${name} is no class, and no topic with exactly one`)
    return found
  }

  /** @returns what takes the deliveries of each logical topic. */
  function routes(handlers: Handlers, options?: ConsumeOptions): (source: Source) => Promise<unknown> {
    const byTopic = new Map<string, (source: Source) => Promise<unknown>>()
    const heard = { at: clock.monotonic() }
    for (const [name, handler] of Object.entries(handlers)) {
      const parts = classFor(name)
      const { topic } = parts.admission.rules
      if (byTopic.has(topic)) throw miswired('ENFORCER_CLASS_REPEATED', `two classes for ${topic} in one consumer`)
      byTopic.set(topic, consuming(parts, handler, consumption, options, heard))
    }
    return async (source) => {
      const take = byTopic.get(settings.catalogue.logicalOf(source.topic) ?? '')
      if (take) return take(source)
      throw miswired('ENFORCER_TOPIC_MISMATCH', `${source.topic} is of none of ${Object.keys(handlers).join(', ')}`)
    }
  }

  return {
    eachMessage(first: string | Handlers, second?: Handler<never> | ConsumeOptions, third?: ConsumeOptions) {
      const take = routes(...given(first, second, third))
      return async (payload: EachMessagePayload) => void (await take(ofMessage(payload)))
    },
    eachBatch(first: string | Handlers, second?: Handler<never> | ConsumeOptions, third?: ConsumeOptions) {
      const take = routes(...given(first, second, third))
      return async (payload: EachBatchPayload) => void (await take(ofBatch(payload)))
    },
    async run(name, job, handler, options = {}) {
      const [item] = await consuming(classFor(name), handler, consumption)(ofJob(job, options, clock))
      if (!item?.settlement) throw workWaiting()
      return item.settlement
    },
    probe(name, job) {
      const { admission } = classFor(name)
      const { rules, topic } = admission
      const item = new Item(topic.name, 0, messageOf({ ...job, offset: 0 }, clock.now()), null)
      return { ...(admission.authorise(item)?.settlement ?? EXECUTED), observed: rules.observe }
    },
    recording: () => settings.recording.state(),
    async stop(graceMs = 10_000) {
      stopping = true
      for (const { waiting } of classes.values()) waiting.stop()
      for (const pulse of active.keys()) pulse.interrupt(STOPPING)
      const ended = Promise.allSettled(active.values())
      const grace = new AbortController()
      await Promise.race([ended, clock.sleep(graceMs, grace.signal)])
      grace.abort()
      running.stopAll()
      await ended
      await settings.recording.stop()
      offSignal()
      offCheckpoint()
      endHistory()
    },
  }
}

function given(
  first: string | Handlers,
  second?: Handler<never> | ConsumeOptions,
  third?: ConsumeOptions,
): [Handlers, ConsumeOptions | undefined] {
  if (typeof first === 'string') return [{ [first]: second as Handler<never> }, third]
  return [first, second as ConsumeOptions | undefined]
}

function settingsOf(options: EnforcerOptions): Settings {
  const decisions = options.catalogue.entries.find((entry) => entry.role === 'decisions')
  if (!decisions) throw miswired('ENFORCER_TOPIC_UNKNOWN', 'the catalogue has no decisions topic')
  const { epsilonMs = 250, recordWithinMs = 20_000, heartbeatMs = 1_000, holdMs = 50, admitAtMost = 256 } = options
  const { endWithinMs = 10_000 } = options
  const { name: topic, partitions } = decisions
  const waits = { recordWithinMs, heartbeatMs, holdMs, endWithinMs }
  const deriver = options.deriving ? new Deriver(options, options.deriving) : null
  const spooled = options.classes.find(({ audit }) => audit === 'spooled')
  if (spooled && !options.spool) {
    throw miswired('ENFORCER_SPOOL_MISSING', `class ${spooled.name} is spooled, and there is no spool`)
  }
  const recording = new Recording({ ...options, recordWithinMs }, topic)
  return { ...options, epsilonMs, ...waits, admitAtMost, deriver, recording, decisions: { topic, partitions } }
}
