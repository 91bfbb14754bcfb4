import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { KAFKA_VERSION } from './artifacts.ts'
import { describeCluster } from './describe-cluster.ts'
import { brokerProperties } from './kafka.ts'
import { freePorts } from './ports.ts'
import { isAlive, kill, type ProcessIdentity, startDetached } from './process.ts'
import { assertRequirements, StackRequirementsError } from './requirements.ts'

let server: Server | undefined
afterEach(() => {
  server?.close()
  server = undefined
})

test('the version that is cached is the version that is fetched', () => {
  const pom = readFileSync(join(import.meta.dirname, 'java/pom.xml'), 'utf8')
  expect(pom).toContain(`<artifactId>kafka_2.13</artifactId>\n      <version>${KAFKA_VERSION}</version>`)
})

test('all that is missing is named at once, with the command that installs it', () => {
  const nothing = (): boolean => false
  expect(() => assertRequirements(true, nothing)).toThrow(
    /lacks java, redis-server, mvn\b[\s\S]*(default-jre-headless redis-server maven|openjdk redis maven)/,
  )
  expect(() => assertRequirements(false, (one) => one.command === 'java')).toThrow(StackRequirementsError)
  expect(() => assertRequirements(false, (one) => one.command !== 'mvn')).not.toThrow()
})

test('ports are all different and outside the ephemeral range', async () => {
  const ports = await freePorts(20)
  expect(new Set(ports).size).toBe(20)
  expect(ports.every((port) => port >= 15_000 && port < 30_000)).toBe(true)
})

test('three brokers keep two copies of what they acknowledge, one broker one', () => {
  const plans = [1, 2, 3].map((id) => ({ id, port: 20_000 + id, controllerPort: 21_000 + id }))
  const [first] = plans
  if (first === undefined) throw new Error('unreachable')
  const three = brokerProperties(first, plans, '/d')
  expect(three).toContain('min.insync.replicas=2\n')
  expect(three).toContain('controller.quorum.voters=1@127.0.0.1:21001,2@127.0.0.1:21002,3@127.0.0.1:21003\n')
  expect(brokerProperties(first, [first], '/d')).toContain('min.insync.replicas=1\n')
})

test('only exactly the process that was started is ended', async () => {
  const started = startDetached(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
    cwd: import.meta.dirname,
    logFile: '/dev/null',
  })
  const laterOfSamePid: ProcessIdentity = { ...started, startedAt: 'another time' }
  expect(isAlive(started)).toBe(true)
  expect(isAlive(laterOfSamePid)).toBe(false)
  await kill(laterOfSamePid)
  expect(isAlive(started)).toBe(true)
  await kill(started)
  expect(isAlive(started)).toBe(false)
})

test('a command that does not exist is an error', () => {
  expect(() => startDetached('/nowhere/at-all', [], { cwd: '/', logFile: '/dev/null' })).toThrow('could not be started')
})

/** A server that answers every request with these bytes. */
async function answering(answer: Buffer): Promise<string> {
  const listening = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer))
  })
  server = listening
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  const address = listening.address()
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}

/** A DescribeCluster answer by hand: two brokers, 1 at "h" and 3 at "h" in rack "r". */
function clusterAnswer(error: number, controller: number): Buffer {
  const i32 = (value: number): number[] => [...Buffer.from(new Int32Array([value]).buffer).reverse()]
  const broker = (id: number, rack: number[]): number[] => [...i32(id), 2, 0x68, ...i32(9092), ...rack, 0]
  const body = [
    ...i32(1),
    0,
    ...i32(0),
    0,
    error,
    0,
    3,
    0x69,
    0x64,
    ...i32(controller),
    3,
    ...broker(1, [0]),
    ...broker(3, [2, 0x72]),
    ...i32(0),
    0,
  ]
  return Buffer.from([...i32(body.length), ...body])
}

test('the brokers that serve are read from the answer', async () => {
  expect(await describeCluster(await answering(clusterAnswer(0, 1)))).toEqual([1, 3])
})

test('an error, a cluster without controller, or silence is not ready', async () => {
  expect(await describeCluster(await answering(clusterAnswer(15, 1)))).toBeNull()
  server?.close()
  expect(await describeCluster(await answering(clusterAnswer(0, -1)))).toBeNull()
  server?.close()
  expect(await describeCluster(await answering(Buffer.alloc(0)))).toBeNull()
})
