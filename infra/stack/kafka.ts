/** One Kafka broker as a local process: its properties, its storage, its start. KRaft, broker and controller in one. */

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { log4jFile } from './artifacts.ts'
import { type ProcessIdentity, startDetached } from './process.ts'

const run = promisify(execFile)

export interface BrokerPlan {
  readonly id: number
  readonly port: number
  readonly controllerPort: number
}

/** Small, quick to start, and, from three brokers on, quick to fail over. */
export function brokerProperties(self: BrokerPlan, all: readonly BrokerPlan[], dir: string): string {
  const voters = all.map((one) => `${one.id}@127.0.0.1:${one.controllerPort}`).join(',')
  const replicas = Math.min(3, all.length)
  const inSync = Math.min(2, replicas)
  const properties: Record<string, string | number | boolean> = {
    'process.roles': 'broker,controller',
    'node.id': self.id,
    listeners: `PLAINTEXT://127.0.0.1:${self.port},CONTROLLER://127.0.0.1:${self.controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${self.port}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.quorum.voters': voters,
    'log.dirs': join(dir, 'data'),
    'auto.create.topics.enable': false,
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': 1,
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'share.coordinator.state.topic.num.partitions': 1,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    'log.cleaner.dedupe.buffer.size': 4_194_304,
    'log.cleaner.io.buffer.size': 65_536,
    'log.cleaner.backoff.ms': 200,
    'log.initial.task.delay.ms': 500,
    'log.retention.check.interval.ms': 1000,
    'log.index.size.max.bytes': 1_048_576,
    'num.network.threads': 2,
    'num.io.threads': 4,
    'controlled.shutdown.enable': false,
    'unclean.leader.election.enable': false,
  }
  if (all.length > 1) {
    Object.assign(properties, {
      'broker.session.timeout.ms': 3000,
      'broker.heartbeat.interval.ms': 500,
      'controller.quorum.election.timeout.ms': 500,
      'controller.quorum.fetch.timeout.ms': 1000,
      'controller.quorum.election.backoff.max.ms': 300,
      'replica.lag.time.max.ms': 3000,
    })
  }
  return `${Object.entries(properties)
    .map(([key, value]) => `${key}=${value}`)
    .join('\n')}\n`
}

export interface BrokerStart {
  readonly self: BrokerPlan
  readonly all: readonly BrokerPlan[]
  /** The broker's own folder: properties, data and log. */
  readonly dir: string
  readonly kafkaLibs: string
  /** 22 characters of base64, the same for every broker of the cluster. */
  readonly clusterId: string
}

/** Formats the storage unless it is formatted already, then starts the broker. It is not ready yet. */
export async function startBrokerProcess(o: BrokerStart): Promise<ProcessIdentity> {
  const properties = join(o.dir, 'server.properties')
  const classpath = ['-cp', join(o.kafkaLibs, '*')]
  const quick = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Dlog4j2.configurationFile=${log4jFile}`]
  mkdirSync(o.dir, { recursive: true })
  writeFileSync(properties, brokerProperties(o.self, o.all, o.dir))
  if (!existsSync(join(o.dir, 'data', 'meta.properties'))) {
    const format = ['kafka.tools.StorageTool', 'format', `--cluster-id=${o.clusterId}`, '-c', properties]
    await run('java', ['-Xmx128m', ...quick, ...classpath, ...format])
  }
  const heap = ['-Xms64m', o.all.length > 1 ? '-Xmx384m' : '-Xmx512m']
  return startDetached('java', [...heap, ...quick, ...classpath, 'kafka.Kafka', properties], {
    cwd: o.dir,
    logFile: join(o.dir, 'broker.log'),
  })
}
