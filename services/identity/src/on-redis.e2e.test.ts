/** Sessions, people and ending paths once more, with the store on a Redis of their own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'
import { until, World } from './testing.ts'

const isInstalled = spawnSync('redis-server', ['--version']).status === 0
if (!isInstalled) console.log('No Redis: skipping identity on Redis. Debian: apt-get install -y redis-server')

const folder = mkdtempSync(join(tmpdir(), 'countersign-identity-redis-'))
const port = await freePort()
let server: ChildProcess | null = null

beforeAll(async () => {
  if (!isInstalled) return
  const settings = { port: String(port), bind: '127.0.0.1', dir: folder, appendonly: 'yes', save: '' }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  server = spawn('redis-server', args, { stdio: 'ignore' })
  await until(isListening)
})
afterAll(() => {
  server?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

describe.skipIf(!isInstalled)('on Redis', async () => {
  World.redisUrl = `redis://127.0.0.1:${port}`
  // Each registers its tests when it is read.
  await describe('sessions', () => import('./sessions/sessions.e2e.test.ts').then(() => {}))
  await describe('impersonation', () => import('./sessions/impersonation.e2e.test.ts').then(() => {}))
  await describe('people', () => import('./people/accounts.e2e.test.ts').then(() => {}))
  await describe('other providers', () => import('./people/foreign.e2e.test.ts').then(() => {}))
  await describe('authorization', () => import('./oauth/authorization.e2e.test.ts').then(() => {}))
  await describe('tokens', () => import('./oauth/token-endpoint.e2e.test.ts').then(() => {}))
  await describe('exchange', () => import('./oauth/exchange.e2e.test.ts').then(() => {}))
  await describe('transactions', () => import('./oauth/transaction-tokens.e2e.test.ts').then(() => {}))
  await describe('tokens of boundaries', () => import('./oauth/boundary-tokens.e2e.test.ts').then(() => {}))
  await describe('refresh', () => import('./oauth/refresh.e2e.test.ts').then(() => {}))
  await describe('revocation', () => import('./oauth/revocation.e2e.test.ts').then(() => {}))
  await describe('clients', () => import('./oauth/clients.e2e.test.ts').then(() => {}))
  await describe('lasting authority', () => import('./sessions/lasting-authority.e2e.test.ts').then(() => {}))
  await describe('factors', () => import('./factors/factors.e2e.test.ts').then(() => {}))
  await describe('passkeys', () => import('./factors/passkeys.e2e.test.ts').then(() => {}))
  await describe('attacks on factors', () => import('./factors/attacks.e2e.test.ts').then(() => {}))
  await describe('clock steps', () => import('./log/clock-steps.e2e.test.ts').then(() => {}))
  await describe('ending paths', () => import('./endings.test.ts').then(() => {}))
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function isListening(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.end()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
