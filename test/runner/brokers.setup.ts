/** Finds a Kafka for the whole run: an address given, a container engine, a local stack that is up, none. */

import { connect } from 'node:net'
import type { TestProject } from 'vitest/node'
import { defaultStackDir, readState } from '../../infra/stack/state.ts'
import type { Brokers } from '../brokers.ts'
import { type StartedContainers, startContainers } from './containers.ts'

interface Rung {
  readonly name: string
  readonly found: Brokers
  readonly stop?: () => Promise<void>
}

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const rung = fromEnvironment() ?? (await fromContainers()) ?? (await fromStack())
  if (rung === null && process.env.REQUIRE_KAFKA === '1') {
    throw new Error('REQUIRE_KAFKA=1, but there is no Kafka. Set KAFKA_BROKERS, or run `npm run stack -- up`.')
  }
  console.log(rung === null ? 'Kafka: none (tests that need one are skipped)' : `Kafka: ${rung.name}`)
  project.provide('kafka', rung?.found ?? null)
  return rung?.stop
}

function fromEnvironment(): Rung | null {
  const brokers = process.env.KAFKA_BROKERS
  if (brokers === undefined || brokers === '') return null
  const given = (name: string): string => {
    const value = process.env[name]
    if (value === undefined || value === '') throw new Error(`KAFKA_BROKERS is set, so ${name} must be set too.`)
    return value
  }
  const found = {
    brokers: brokers.split(',').map((address) => address.trim()),
    registryUrl: given('SCHEMA_REGISTRY_URL'),
    redisUrl: given('REDIS_URL'),
  }
  return { name: `address given, ${brokers}`, found }
}

async function fromContainers(): Promise<Rung | null> {
  const started: StartedContainers | null = await startContainers()
  return started && { name: 'container engine', found: started.brokers, stop: started.stop }
}

async function fromStack(): Promise<Rung | null> {
  const dir = defaultStackDir()
  const state = readState(dir)
  if (state === null) return null
  const addresses = [...state.brokers, state.registry, state.redis].map((member) => member.address)
  if (!(await Promise.all(addresses.map(answers))).every(Boolean)) {
    console.log(`Kafka: the stack in ${dir} does not answer; \`npm run stack -- up\` repairs it`)
    return null
  }
  const brokers = state.brokers.map((broker) => broker.address)
  return {
    name: `local stack in ${dir}, ${brokers.length} broker(s)`,
    found: { brokers, registryUrl: state.registryUrl, redisUrl: state.redisUrl },
  }
}

function answers(address: string): Promise<boolean> {
  const [host, port] = address.split(':')
  return new Promise((resolve) => {
    const socket = connect({ host: host ?? '127.0.0.1', port: Number(port), timeout: 2_000 })
    const settle = (value: boolean): void => {
      socket.destroy()
      resolve(value)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
    socket.once('timeout', () => settle(false))
  })
}
