import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { OPERATOR_SECRET, until, World } from './testing.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const node = ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning', main]
const bare = { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? '' }

let world: World
beforeEach(() => {
  world = new World()
})
afterEach(() => world.destroy())

const run = (args: string[], env: Record<string, string> = {}) =>
  spawnSync(process.execPath, [...node, ...args], { env: { ...bare, ...env }, encoding: 'utf8' })

it('explains itself, prints its configuration without secrets, and refuses what it does not know by name', () => {
  const help = run(['--help'])
  expect([help.status, help.stdout]).toEqual([0, expect.stringContaining('COUNTERSIGN_STORE_PATH')])
  const shown = run(['--check-config'], world.environment())
  expect([shown.status, shown.stderr]).toEqual([0, ''])
  expect(shown.stdout).toContain('COUNTERSIGN_SEED=[secret]')
  const wrong = run(['--check-config'], {
    ...world.environment({ COUNTERSIGN_STOREPATH: 'x' }),
    NODE_ENV: 'production',
  })
  expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining('COUNTERSIGN_STOREPATH: unknown')])
  const insecure = run(['--check-config'], { ...world.environment(), NODE_ENV: 'production' })
  expect([insecure.status, insecure.stderr]).toEqual([2, expect.stringContaining('COUNTERSIGN_INSECURE_COOKIES')])
  expect(run(['frobnicate']).status).toBe(2)
})

it('makes keys, and a secret that is printed once', () => {
  const made = run(['keys', 'init', '--dir', join(world.folder, 'more'), '--envelope', 'api=acme,beta:invoices.export'])
  expect(made.stdout).toContain('root, signal, checkpoint-1, checkpoint-2, consumer, audit, api')
  const secret = run(['secrets', 'add', 'api', '--use', 'service'], { COUNTERSIGN_STORE_PATH: world.storePath })
  expect(secret.stdout).toMatch(/^[\w-]{43}\n$/)
  const wrong = run(['keys', 'init'])
  expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringContaining('--dir')])
})

it('seeds at no other cost of passwords than it may run at', () => {
  const file = join(world.folder, 'seed.json')
  writeFileSync(file, '{}')
  const seed = (cost: string) =>
    run(['seed', file], { COUNTERSIGN_STORE_PATH: world.storePath, COUNTERSIGN_PASSWORD_COST: cost })
  for (const cost of ['9', '21', '10.5', 'canary', '']) {
    const { status, stderr } = seed(cost)
    expect([cost, status, stderr]).toEqual([cost, 1, expect.stringContaining('COUNTERSIGN_PASSWORD_COST')])
  }
  expect(seed('10').stdout).toBe('0 accounts made\n')
})

it('loses no acknowledged revocation when it is killed, and knows every id it committed', async () => {
  const start = async () => {
    const child = spawn(process.execPath, node, {
      env: { ...bare, ...world.environment() },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let out = ''
    child.stdout.on('data', (chunk) => {
      out += String(chunk)
    })
    const exited = new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)))
    const address = () => /"address":"([^"]+)"/.exec(out)?.[1]
    await until(async () => {
      const url = address()
      return url !== undefined && (await fetch(`${url}/readyz`).catch(() => null))?.status === 200
    })
    return { child, exited, url: address() as string }
  }
  const headers = { authorization: `Bearer ${OPERATOR_SECRET}`, 'content-type': 'application/json' }
  const first = await start()
  const acknowledged: string[] = []
  const ids = Array.from({ length: 60 }, () => crypto.randomUUID())
  const asked = ids.map(async (id, i) => {
    const body = JSON.stringify({ id, target: { kind: 'token', id: `tok_${i}` }, reason: 'admin' })
    const answer = await fetch(`${first.url}/v1/revocations`, { method: 'POST', headers, body })
    if (answer.status === 200) acknowledged.push(id)
    if (acknowledged.length === 5) first.child.kill('SIGKILL')
  })
  await Promise.allSettled(asked)
  await first.exited

  const second = await start()
  const states = new Map<string, string>()
  await until(async () => {
    for (const id of ids) {
      const answer = await fetch(`${second.url}/v1/revocations/${id}`, { headers })
      states.set(id, answer.status === 404 ? 'never happened' : ((await answer.json()) as { state: string }).state)
    }
    return ![...states.values()].includes('pending')
  })
  const onLog = new Set((await world.signals()).map(({ signal }) => Buffer.from(signal.id).toString('hex')))
  for (const id of ids) expect(onLog.has(id.replaceAll('-', ''))).toBe(states.get(id) === 'acknowledged')
  for (const id of acknowledged) expect(states.get(id)).toBe('acknowledged')
  expect(acknowledged.length).toBeGreaterThanOrEqual(5)
  second.child.kill('SIGTERM')
  expect(await second.exited).toBe(0)
})
