/** Opens the log that settings name. */
import { type Clock, seconds } from '@countersign/kernel'
import type { KafkaConnection } from './kafka/client.ts'
import type { KafkaCatalogue } from './kafka/registry.ts'
import type { EventLog } from './port.ts'

/** Where a log is. */
export type LogPlace =
  /** File of the embedded log. */
  | { readonly logPath: string }
  /** Topics and schemas must exist there. */
  | ({ readonly kafkaBrokers: readonly string[]; readonly registryUrl: string } & LogAccess)

/** How brokers let a client in, as kafkajs takes it. */
export type LogAccess = Readonly<Pick<KafkaConnection, 'ssl' | 'sasl'>>

export interface OpenLogOptions {
  readonly catalogue: KafkaCatalogue
  /** Shows in broker logs and quotas. */
  readonly clientId: string
  /** What the retention rule `window` means in the embedded log, milliseconds. Default 7 days. */
  readonly windowMs?: number
  readonly clock?: Clock
}

const REGISTRY_DEADLINE = seconds(10)

/**
 * Opens a log, and loads only the adapter it needs.
 * @throws {EVENT_LOG_UNAVAILABLE} when it cannot be opened; the registry is waited for ten seconds.
 */
export async function openLog(place: LogPlace, { clientId, windowMs, ...options }: OpenLogOptions): Promise<EventLog> {
  if ('logPath' in place) {
    const { openSqliteLog } = await import('./sqlite/index.ts')
    return openSqliteLog({ path: place.logPath, ...(windowMs !== undefined && { windowMs }), ...options })
  }
  const { openKafkaLog } = await import('./kafka/index.ts')
  const { kafkaBrokers: brokers, ...access } = place
  return openKafkaLog({ brokers, ...access, clientId, registryDeadlineMs: REGISTRY_DEADLINE, ...options })
}
