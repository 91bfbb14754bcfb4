/** kafkajs clients as this adapter wants them. The only place that configures kafkajs. */
import kafkajs, { type Kafka as KafkaClient, type KafkaConfig, type SASLOptions } from 'kafkajs'
import { boundGzip } from './bounded-gzip.ts'
import { readFetchesFast } from './fast-fetch.ts'
import { writeProducesFast } from './fast-produce.ts'
import { stopIdleTimers } from './idle-timers.ts'

/** How to reach the brokers. */
export interface KafkaConnection {
  /** `host:port` of at least one broker. */
  brokers: readonly string[]
  /** Shows in broker logs and quotas, and begins the names of ephemeral groups. */
  clientId: string
  ssl?: KafkaConfig['ssl']
  sasl?: SASLOptions
}

/** Longest a single request may take. Broker-side waits are set below it. */
export const REQUEST_TIMEOUT_MS = 8_000

/**
 * A client with retries given in full, because kafkajs has other defaults under NODE_ENV=test, and silent,
 * because every failure comes back as an error or an event.
 */
export function kafkaClient(connection: KafkaConnection, purpose: string): KafkaClient {
  boundGzip()
  stopIdleTimers()
  readFetchesFast()
  writeProducesFast()
  return new kafkajs.Kafka({
    clientId: `${connection.clientId}.${purpose}`,
    brokers: [...connection.brokers],
    connectionTimeout: 2_000,
    authenticationTimeout: 5_000,
    requestTimeout: REQUEST_TIMEOUT_MS,
    enforceRequestTimeout: true,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, factor: 0.2, multiplier: 2, retries: 3 },
    logLevel: kafkajs.logLevel.NOTHING,
    ...(connection.ssl === undefined ? {} : { ssl: connection.ssl }),
    ...(connection.sasl === undefined ? {} : { sasl: connection.sasl }),
  })
}
