/** The whole of a consumer's side in one call: log, view of the signals, and enforcer. */
import { type EventLog, type LogAccess, type LogPlace, openLog } from '@countersign/event-log'
import { systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass, type JobClassInput } from '@countersign/policy'
import { type FollowedLogs, type FollowLogsOptions, followLogs } from '@countersign/replica'
import type { Catalogue } from '@countersign/schemas'
import { createLogger, type Logger } from '@countersign/telemetry'
import { createEnforcer, type Enforcer } from './enforcer.ts'
import type { EnforcerOptions } from './options.ts'

/** How the log is reached. */
export type StartPlace =
  /** File of the embedded log. */
  | { readonly logPath: string }
  /** Brokers as `host:port`, and the base URL of the registry. */
  | ({ readonly brokers: readonly string[]; readonly registryUrl: string } & LogAccess)

export type StartOptions = StartPlace & {
  /** Root public keys, 32 bytes each, or base64 of them; pinned, never from the log. */
  readonly rootKeys: readonly (Uint8Array | string)[]
  readonly catalogue: Catalogue
  /** As written, or from `defineJobClass`. */
  readonly classes: readonly JobClassInput[]
  /** Name of this consumer instance in decisions and receipts; distinct. */
  readonly consumer: string
  /** @defaultValue one that writes JSON lines to standard output, named after the consumer */
  readonly logger?: Logger
  /** Between progress records, by which receipts name this consumer, milliseconds; 0 for none. @defaultValue 2000 */
  readonly progressEveryMs?: number
} & Partial<Omit<EnforcerOptions, 'replica' | 'log' | 'classes' | 'consumer' | 'catalogue' | 'logger'>> &
  Pick<FollowLogsOptions, 'snapshots' | 'maxBytes' | 'minBundleVersion' | 'voucher'>

/** What was started. */
export interface Started {
  readonly enforcer: Enforcer
  readonly replica: FollowedLogs
  readonly log: EventLog
  /**
   * Ends the enforcer, the view and the log. Call it together with the consumer's own stop.
   * @param graceMs for running handlers, milliseconds, default 10,000.
   */
  stop(graceMs?: number): Promise<void>
}

/**
 * Opens the log and starts to follow its signals. Returns before the view is proven: until then work waits, or is
 * parked, as its class says.
 * @throws {POLICY_CLASS_INVALID}, {ENFORCER_CLASS_REPEATED}, {ENFORCER_TOPIC_UNKNOWN} for classes that cannot be.
 * @throws {EVENT_LOG_UNAVAILABLE} when the log cannot be opened.
 */
export async function startEnforcer(options: StartOptions): Promise<Started> {
  const { clock = systemClock, random = systemRandom, catalogue, consumer, metrics } = options
  const { epsilonMs = 250, progressEveryMs = 2_000, snapshots, maxBytes, minBundleVersion, voucher } = options
  const logger = options.logger ?? createLogger({ name: consumer })
  const classes = options.classes.map((written) => defineJobClass(written, { epsilonMs }))
  const log = await openLog(placeOf(options), { catalogue, clientId: consumer, clock })
  const maxStalenessMs = Math.max(0, ...classes.map((rules) => rules.stalenessBudgetMs))
  const replica = followLogs({
    catalogue,
    log,
    rootKeys: options.rootKeys.map((key) => (typeof key === 'string' ? Buffer.from(key, 'base64') : key)),
    clock,
    logger: logger.child({ component: 'replica' }),
    consumer,
    epsilonMs,
    ...(metrics && { metrics }),
    random,
    ...(snapshots && { snapshots }),
    ...(voucher && { voucher }),
    ...(maxBytes !== undefined && { maxBytes }),
    ...(minBundleVersion !== undefined && { minBundleVersion }),
    ...(progressEveryMs > 0 && { progress: { everyMs: progressEveryMs, maxStalenessMs } }),
  })
  const shared = { clock, random, epsilonMs, replica, log, classes, logger: logger.child({ component: 'enforcer' }) }
  let enforcer: Enforcer
  try {
    enforcer = createEnforcer({ ...options, ...shared })
    await replica.start()
  } catch (error) {
    await log.close()
    throw error
  }
  return {
    enforcer,
    replica,
    log,
    async stop(graceMs) {
      await enforcer.stop(graceMs)
      await replica.stop()
      await log.close()
    },
  }
}

function placeOf(options: StartPlace): LogPlace {
  if ('logPath' in options) return { logPath: options.logPath }
  const { brokers, registryUrl, ssl, sasl } = options
  return {
    kafkaBrokers: brokers,
    registryUrl,
    ...(ssl !== undefined && { ssl }),
    ...(sasl !== undefined && { sasl }),
  }
}
