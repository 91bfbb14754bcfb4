/** What both roles stand on, opened from the configuration. */
import { signRecord } from '@countersign/envelope'
import { type EventLog, openLog as openLogAt } from '@countersign/event-log'
import type { Clock, Random } from '@countersign/kernel'
import { type Catalogue, catalogue, exampleJobTopics, type SignalsLog, signalCodec } from '@countersign/schemas'
import { type OutboxPort, outboxOf, type Sealer, type SessionStore } from '@countersign/session-store'
import { openSqliteStore } from '@countersign/session-store/sqlite'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { IdentityConfig, StoreConfig } from './config.ts'
import type { RaisesOf } from './endings.ts'
import { readSigningKey, SIGNAL_KEY } from './key-files.ts'

/** Functions that let go of what was opened; called in reverse. */
export type Closers = (() => Promise<unknown>)[]

export interface Parts {
  readonly config: IdentityConfig
  readonly catalogue: Catalogue
  readonly log: EventLog
  readonly store: SessionStore
  readonly clock: Clock
  readonly random: Random
  readonly rootKeys: readonly Buffer[]
  readonly logger: Logger
  readonly metrics: Metrics
  /** Default: the table of ending paths. */
  readonly raisesOf?: RaisesOf
}

/** A signals log with its outbox; `logName` where there are several. */
export interface OutboxLog extends Pick<SignalsLog, 'topic' | 'tenants'> {
  readonly store: OutboxPort
  readonly logName?: string
}

/** @returns every signals log, `main` first. */
export function logsOf({ catalogue, store }: Pick<Parts, 'catalogue' | 'store'>): readonly OutboxLog[] {
  const { signalsLogs } = catalogue
  return signalsLogs.map(({ name, topic, tenants }) => {
    const named = signalsLogs.length > 1 && { logName: name }
    return { topic, tenants, store: outboxOf(store, tenants === null ? undefined : name), ...named }
  })
}

/** The catalogue with the signals logs the configuration names. */
export function catalogueOf({ signalsLogs: logs }: Pick<IdentityConfig, 'signalsLogs'>): Catalogue {
  return catalogue(exampleJobTopics, { logs })
}

/** Opens the log the configuration names; on Kafka topics and schemas must exist. */
export function openLog(config: IdentityConfig, clock: Clock): Promise<EventLog> {
  const { log, logPath = '', kafkaBrokers = [], registryUrl = '', window: windowMs } = config
  const place = log === 'sqlite' ? { logPath } : { kafkaBrokers, registryUrl }
  return openLogAt(place, { catalogue: catalogueOf(config), clientId: 'countersign-identity', windowMs, clock })
}

/** Opens the store the configuration names. @param seal without it nothing can be raised. */
export async function openStore(
  config: StoreConfig,
  { seal, ...ports }: { seal?: Sealer; clock: Clock; random: Random; logger?: Logger },
): Promise<SessionStore> {
  const sealing = seal && { seal }
  if (config.store === 'sqlite') return openSqliteStore({ path: config.storePath ?? '', ...sealing })
  const { openRedisStore } = await import('@countersign/session-store/redis')
  const { redisUrl = '', redisUsername, redisPassword, redisPrefix, storeTimeout } = config
  return openRedisStore({
    url: redisUrl,
    prefix: redisPrefix,
    timeoutMs: storeTimeout,
    ...(redisUsername && { username: redisUsername }),
    ...(redisPassword && { password: redisPassword.reveal() }),
    ...sealing,
    ...ports,
  })
}

/** Signs what steps raise. Only the http role raises anything: only it reads the signal key. */
export function sealer(keysDir: string): Sealer {
  const key = readSigningKey(keysDir, SIGNAL_KEY)
  return (signal) => {
    const body = signalCodec.encode(signal)
    return { body, signature: signRecord('Signal', body, key) }
  }
}
