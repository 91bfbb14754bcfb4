/** The container-engine rung: one Kafka, registry and Redis through testcontainers. */

import { createServer } from 'node:net'
import type { StartedTestContainer } from 'testcontainers'
import type { Brokers } from '../brokers.ts'

export interface StartedContainers {
  readonly brokers: Brokers
  stop(): Promise<void>
}

/** An engine whose socket accepts and never answers would hang the run, so the question has an end. */
const ENGINE_DEADLINE_MS = 3_000

/** Starts the three containers; null where no container engine answers. */
export async function startContainers(): Promise<StartedContainers | null> {
  const { GenericContainer, Wait, getContainerRuntimeClient } = await import('testcontainers')
  const engine = await within(ENGINE_DEADLINE_MS, getContainerRuntimeClient())
  if (engine === null) return null

  const kafkaPort = await freePort()
  const starting = [
    // Kafka names its own address to clients, so the port outside has to be known before it starts.
    new GenericContainer('apache/kafka:4.3.1')
      .withExposedPorts({ container: kafkaPort, host: kafkaPort })
      .withEnvironment({
        KAFKA_NODE_ID: '1',
        KAFKA_PROCESS_ROLES: 'broker,controller',
        KAFKA_LISTENERS: `PLAINTEXT://:${kafkaPort},CONTROLLER://:29093`,
        KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${kafkaPort}`,
        KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
        KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:29093',
        KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
        KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: '1',
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
        KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: '1000',
        KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS: '1000',
      })
      .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/)),
    new GenericContainer('apicurio/apicurio-registry-mem:2.6.13.Final')
      .withExposedPorts(8080)
      .withWaitStrategy(Wait.forHttp('/apis/ccompat/v7/subjects', 8080)),
    new GenericContainer('valkey/valkey:8.1')
      .withCommand(['valkey-server', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'])
      .withExposedPorts(6379),
  ].map((container) => container.withStartupTimeout(120_000).start())

  const settled = await Promise.allSettled(starting)
  const started = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((container) => container.stop()))
  }
  const [, registry, redis] = started
  if (started.length !== starting.length || registry === undefined || redis === undefined) {
    await stop()
    throw new Error('a container did not start', { cause: settled.find((one) => one.status === 'rejected')?.reason })
  }
  return {
    brokers: {
      brokers: [`127.0.0.1:${kafkaPort}`],
      registryUrl: `http://${at(registry, 8080)}/apis/ccompat/v7`,
      redisUrl: `redis://${at(redis, 6379)}`,
    },
    stop,
  }
}

const at = (container: StartedTestContainer, port: number): string =>
  `${container.getHost()}:${container.getMappedPort(port)}`

async function within<T>(ms: number, work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const end = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms)
  })
  try {
    return await Promise.race([work.catch(() => null), end])
  } finally {
    clearTimeout(timer)
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
