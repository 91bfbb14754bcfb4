import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { TestProject } from 'vitest/node'
import { writeState } from '../../infra/stack/state.ts'
import setup from './brokers.setup.ts'
import { type StartedContainers, startContainers } from './containers.ts'

vi.mock('./containers.ts', () => ({ startContainers: vi.fn(async () => null) }))

const given = { KAFKA_BROKERS: 'a:1, b:2', SCHEMA_REGISTRY_URL: 'http://r/api', REDIS_URL: 'redis://s' }

let dir: string
let server: Server
let address: string

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'countersign-rungs-'))
  for (const name of [...Object.keys(given), 'REQUIRE_KAFKA']) vi.stubEnv(name, undefined)
  vi.stubEnv('STACK_DIR', dir)
  vi.spyOn(console, 'log').mockImplementation(() => {})
  server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  address = `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`
})

afterEach(() => {
  server.close()
  rmSync(dir, { recursive: true })
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

/** Runs the setup; gives what it provided and what it printed last. */
async function chosen(): Promise<{ kafka: unknown; said: unknown }> {
  let kafka: unknown
  const project = { provide: (_: string, value: unknown) => (kafka = value) }
  await setup(project as unknown as TestProject)
  return { kafka, said: vi.mocked(console.log).mock.lastCall?.[0] }
}

function stackAt(at: string): void {
  const member = { address: at, process: null }
  const urls = { registryUrl: 'http://stack', redisUrl: 'redis://stack' }
  const broker = { ...member, id: 1, controllerPort: 1 }
  writeState(dir, { clusterId: 'x', brokers: [broker], registry: member, redis: member, ...urls })
}

const containers: StartedContainers = {
  brokers: { brokers: ['container:1'], registryUrl: 'http://container', redisUrl: 'redis://container' },
  stop: async () => {},
}

describe('a broker is looked for in order', () => {
  test('an address given comes first', async () => {
    for (const [name, value] of Object.entries(given)) vi.stubEnv(name, value)
    stackAt(address)
    expect(await chosen()).toEqual({
      kafka: { brokers: ['a:1', 'b:2'], registryUrl: 'http://r/api', redisUrl: 'redis://s' },
      said: 'Kafka: address given, a:1, b:2',
    })
  })

  test('an address without its registry is refused by name', async () => {
    vi.stubEnv('KAFKA_BROKERS', 'a:1')
    await expect(chosen()).rejects.toThrow('SCHEMA_REGISTRY_URL')
  })

  test('a container engine comes before the stack', async () => {
    vi.mocked(startContainers).mockResolvedValueOnce(containers)
    stackAt(address)
    expect(await chosen()).toEqual({ kafka: containers.brokers, said: 'Kafka: container engine' })
  })

  test('the stack comes last, if it answers', async () => {
    stackAt(address)
    expect((await chosen()).kafka).toEqual({
      brokers: [address],
      registryUrl: 'http://stack',
      redisUrl: 'redis://stack',
    })
    stackAt('127.0.0.1:1')
    expect((await chosen()).kafka).toBeNull()
  })

  test('none is said, and is a failure where one is required', async () => {
    expect(await chosen()).toEqual({ kafka: null, said: 'Kafka: none (tests that need one are skipped)' })
    vi.stubEnv('REQUIRE_KAFKA', '1')
    await expect(chosen()).rejects.toThrow('npm run stack -- up')
  })
})
