/**
 * A real Apache Kafka, a Confluent-compatible schema registry and Redis as local processes on loopback ports.
 *
 * The stack is throw-away: `down` deletes its data. Every process it starts is recorded with its start time, and only
 * exactly these processes are ever signalled.
 */

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { alone } from '../setup/lock.mjs'
import { type Artifacts, artifactsCached, fetchArtifacts } from './artifacts.ts'
import { describeCluster } from './describe-cluster.ts'
import { type BrokerPlan, startBrokerProcess } from './kafka.ts'
import { freePorts } from './ports.ts'
import { isAlive, kill, type ProcessIdentity } from './process.ts'
import { redisReady, startRedis } from './redis.ts'
import { CONFLUENT_PATH, registryReady, startRegistry } from './registry.ts'
import { assertRequirements } from './requirements.ts'
import {
  type BrokerMember,
  defaultStackDir,
  forgetState,
  type Member,
  readState,
  type StackState,
  writeState,
} from './state.ts'

export { StackRequirementsError } from './requirements.ts'

export interface StackOptions {
  /** Folder of the stack's state, data and logs; `.stack` of the project by default. */
  readonly dir?: string
  /** Told what is happening, one line at a time; silent by default. */
  readonly say?: (line: string) => void
}

export interface UpOptions extends StackOptions {
  /** 1 or 3. Default: as many as the running stack has, else 1. */
  readonly brokers?: number
}

/** Addresses of a stack that is up. */
export interface Stack {
  /** `host:port` of each broker, by id from 1. */
  readonly brokers: readonly string[]
  /** With the path of the Confluent API. */
  readonly registryUrl: string
  readonly redisUrl: string
  readonly dir: string
}

export interface MemberStatus {
  readonly name: string
  readonly address: string
  readonly pid: number | null
  readonly alive: boolean
}

const READY_WITHIN_MS = 60_000
const POLL_MS = 50

/**
 * Brings the stack up and returns once every part answers. Starts only what is not running, on the ports recorded
 * before; a registry that had died comes back empty.
 *
 * @throws {StackRequirementsError} when the machine lacks a command.
 */
export function up(options: UpOptions = {}): Promise<Stack> {
  return locked(options, async (dir, say) => {
    const before = readState(dir)
    const count = options.brokers ?? before?.brokers.length ?? 1
    if (count !== 1 && count !== 3) throw new Error('a stack has 1 broker or 3')
    if (before !== null && before.brokers.length !== count) {
      throw new Error(
        `a stack with ${before.brokers.length} broker(s) is up in ${dir}; end it first: npm run stack -- down`,
      )
    }
    if (before === null) clear(dir)
    const state = before ?? (await plan(count))
    if (members(state).some(({ member }) => !isAlive(member.process))) {
      assertRequirements(!artifactsCached())
      const artifacts = await fetchArtifacts(say)
      say(`starting ${count} broker(s), the registry and Redis in ${dir}`)
      await startMissing(dir, state, artifacts)
    }
    const started = readState(dir) ?? state
    await allReady(dir, started)
    return addresses(dir, started)
  })
}

/** Ends every process of the stack and deletes its data. @returns how many processes it ended, 0 when none ran. */
export function down(options: StackOptions = {}): Promise<number> {
  return locked(options, async (dir) => {
    const state = readState(dir)
    if (state === null) return 0
    const alive = members(state).flatMap(({ member }) => (isAlive(member.process) ? [member.process] : []))
    await Promise.all(alive.map(kill))
    forgetState(dir)
    clear(dir)
    return alive.length
  })
}

/** What was started here and whether it still runs; null when nothing was. */
export function status(options: StackOptions = {}): (Stack & { readonly members: readonly MemberStatus[] }) | null {
  const dir = options.dir ?? defaultStackDir()
  const state = readState(dir)
  if (state === null) return null
  const list = members(state).map(({ name, member }) => ({
    name,
    address: member.address,
    pid: member.process?.pid ?? null,
    alive: isAlive(member.process),
  }))
  return { ...addresses(dir, state), members: list }
}

/** Ends one broker with SIGKILL, as a crash would; its data stays. @param id from 1 */
export function killBroker(id: number, options: StackOptions = {}): Promise<void> {
  return locked(options, async (dir) => {
    const state = existing(dir)
    await kill(brokerOf(state, id).process)
    writeState(dir, withBroker(state, id, null))
  })
}

function locked<T>(o: StackOptions, work: (dir: string, say: (line: string) => void) => Promise<T>): Promise<T> {
  const dir = o.dir ?? defaultStackDir()
  const say = o.say ?? (() => {})
  return alone(
    join(dir, 'lock'),
    () => work(dir, say),
    () => say('another command is at work on this stack, waiting for it'),
  )
}

async function plan(count: number): Promise<StackState> {
  const ports = await freePorts(2 * count + 2)
  const address = (): string => `127.0.0.1:${ports.shift()}`
  const brokers = Array.from({ length: count }, (_, i) => ({
    id: i + 1,
    address: address(),
    controllerPort: ports.shift() ?? 0,
    process: null,
  }))
  const registry = { address: address(), process: null }
  const redis = { address: address(), process: null }
  return {
    clusterId: randomBytes(16).toString('base64url'),
    brokers,
    registryUrl: `http://${registry.address}${CONFLUENT_PATH}`,
    registry,
    redisUrl: `redis://${redis.address}`,
    redis,
  }
}

/** Starts what is not alive and records it, even when one of them cannot be started. */
async function startMissing(dir: string, state: StackState, artifacts: Artifacts): Promise<void> {
  const failures: unknown[] = []
  const started = async <M extends Member>(member: M, start: () => Promise<ProcessIdentity>): Promise<M> => {
    if (isAlive(member.process)) return member
    try {
      return { ...member, process: await start() }
    } catch (error) {
      failures.push(error)
      return { ...member, process: null }
    }
  }
  const [redis, registry, ...brokers] = await Promise.all([
    started(state.redis, async () =>
      startRedis({ port: portOf(state.redis), dir: join(dir, 'redis'), logFile: join(dir, 'redis.log') }),
    ),
    started(state.registry, async () =>
      startRegistry({
        port: portOf(state.registry),
        dir,
        jar: artifacts.registryJar,
        logFile: join(dir, 'registry.log'),
      }),
    ),
    ...state.brokers.map((broker) => started(broker, () => launchBroker(dir, state, broker.id, artifacts))),
  ])
  writeState(dir, { ...state, redis, registry, brokers: brokers as BrokerMember[] })
  if (failures.length > 0) throw failures[0]
}

function launchBroker(dir: string, state: StackState, id: number, artifacts: Artifacts): Promise<ProcessIdentity> {
  const all = state.brokers.map((one) => ({ id: one.id, port: portOf(one), controllerPort: one.controllerPort }))
  const self = all.find((one) => one.id === id) as BrokerPlan
  return startBrokerProcess({
    self,
    all,
    dir: brokerDir(dir, id),
    kafkaLibs: artifacts.kafkaLibs,
    clusterId: state.clusterId,
  })
}

async function allReady(dir: string, state: StackState): Promise<void> {
  await Promise.all([
    ready('Redis', state.redis, join(dir, 'redis.log'), () => redisReady(portOf(state.redis))),
    ready('the registry', state.registry, join(dir, 'registry.log'), () => registryReady(state.registryUrl)),
    ...state.brokers.map((broker) => brokerReady(dir, state, broker)),
  ])
}

/** A broker is ready when it lists as serving every broker that should be alive. */
function brokerReady(dir: string, state: StackState, broker: BrokerMember): Promise<void> {
  const expected = state.brokers.filter((one) => isAlive(one.process)).map((one) => one.id)
  const log = join(brokerDir(dir, broker.id), 'broker.log')
  return ready(`broker ${broker.id}`, broker, log, async () => {
    const serving = await describeCluster(broker.address)
    return serving !== null && expected.every((id) => serving.includes(id))
  })
}

async function ready(name: string, member: Member, logFile: string, answers: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS
  while (!(await answers())) {
    const ended = !isAlive(member.process)
    if (ended || performance.now() > deadline) {
      const tail = existsSync(logFile) ? readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-8).join('\n') : ''
      throw new Error(`${name} ${ended ? 'ended' : 'was not ready in 60 s'}; ${logFile} ends with:\n${tail}`)
    }
    await sleep(POLL_MS)
  }
}

/** Deletes all of the folder but the lock held by this very command. */
function clear(dir: string): void {
  for (const entry of existsSync(dir) ? readdirSync(dir) : []) {
    if (entry !== 'lock') rmSync(join(dir, entry), { recursive: true, force: true })
  }
}

function existing(dir: string): StackState {
  const state = readState(dir)
  if (state === null) throw new Error(`no stack is up in ${dir}; start one: npm run stack -- up`)
  return state
}

function brokerOf(state: StackState, id: number): BrokerMember {
  const broker = state.brokers.find((one) => one.id === id)
  if (broker === undefined) throw new Error(`the stack has brokers 1 to ${state.brokers.length}, not ${id}`)
  return broker
}

const withBroker = (state: StackState, id: number, process: ProcessIdentity | null): StackState => ({
  ...state,
  brokers: state.brokers.map((one) => (one.id === id ? { ...one, process } : one)),
})

const members = (state: StackState): { name: string; member: Member }[] => [
  ...state.brokers.map((member) => ({ name: `broker ${member.id}`, member })),
  { name: 'registry', member: state.registry },
  { name: 'redis', member: state.redis },
]

const addresses = (dir: string, state: StackState): Stack => ({
  brokers: state.brokers.map((broker) => broker.address),
  registryUrl: state.registryUrl,
  redisUrl: state.redisUrl,
  dir,
})

const brokerDir = (dir: string, id: number): string => join(dir, `broker-${id}`)
const portOf = (member: Member): number => Number(member.address.split(':')[1])
