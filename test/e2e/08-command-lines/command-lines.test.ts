/** Every command explains itself and refuses by name what it does not know. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { generateEd25519 } from '@countersign/envelope'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')
const bare = { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: join(root, '.cache/compile') }

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function run(file: string, args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const node = ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning', join(root, file), ...args]
  return new Promise((resolve) =>
    execFile(process.execPath, node, { env: { ...bare, ...env } }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr }),
    ),
  )
}

const { publicKey, privateKeyPem } = generateEd25519()
const log = { COUNTERSIGN_LOG_PATH: '/nowhere/log.db', COUNTERSIGN_ROOT_KEY: publicKey.toString('base64') }

/** Each server with the least it needs. */
const servers: [string, Record<string, string>][] = [
  [
    'identity',
    {
      COUNTERSIGN_LOG_PATH: '/nowhere/log.db',
      COUNTERSIGN_STORE_PATH: '/nowhere/s.db',
      COUNTERSIGN_KEYS_DIR: '/nowhere',
    },
  ],
  [
    'api',
    {
      ...log,
      COUNTERSIGN_ENVELOPE_KEY: privateKeyPem,
      COUNTERSIGN_IDENTITY_URL: 'http://127.0.0.1:1',
      COUNTERSIGN_IDENTITY_SECRET: 'x'.repeat(43),
    },
  ],
  [
    'gateway',
    {
      ...log,
      COUNTERSIGN_ENVELOPE_KEY: privateKeyPem,
      COUNTERSIGN_IDENTITY_URL: 'http://127.0.0.1:1',
      COUNTERSIGN_IDENTITY_SECRET: 'x'.repeat(43),
      COUNTERSIGN_TRUST_DOMAIN: 'example',
      COUNTERSIGN_ROUTES: '[{"name":"page","path":"/","upstream":"http://127.0.0.1:1","access":"public"}]',
    },
  ],
  ['worker', { ...log, COUNTERSIGN_CONSUMER: 'w1' }],
]

/** Needed unless another is given, which is told once the rest is right. */
function conditional(name: string, key: string): boolean {
  const either: Readonly<Record<string, string>> = { api: 'IDENTITY_SECRET', gateway: 'TRUST_DOMAIN' }
  return /_(LOG|STORE)_PATH$/.test(key) || key === `COUNTERSIGN_${either[name]}`
}

describe.each(servers)('%s', (name, least) => {
  const main = `services/${name}/src/main.ts`

  test('prints its configuration without secrets, and starts nothing', async () => {
    const { code, stdout, stderr } = await run(main, ['--check-config'], least)
    expect([code, stderr]).toEqual([0, ''])
    for (const key of Object.keys(least)) expect(stdout).toContain(key)
    for (const secret of ['x'.repeat(43), privateKeyPem.split('\n')[1] ?? '']) expect(stdout).not.toContain(secret)
  })

  test('does not start with keys it does not know, or without what it needs: all are named, no value is', async () => {
    const unknown = { COUNTERSIGN_HTTP_PROT: 'canary-1', COUNTERSIGN_COLOUR: 'canary-2' }
    const { code, stdout, stderr } = await run(main, [], unknown)
    expect([code, stdout]).toEqual([2, ''])
    for (const key of Object.keys(unknown)) expect(stderr).toContain(`${key}: unknown`)
    for (const key of Object.keys(least)) if (!conditional(name, key)) expect(stderr).toContain(`${key}: `)
    expect(stderr).not.toContain('canary')
  })

  test('does not start because of one unknown key alone', async () => {
    const { code, stderr } = await run(main, ['--check-config'], { ...least, COUNTERSIGN_COLOUR: 'red' })
    expect([code, stderr]).toEqual([2, expect.stringContaining('COUNTERSIGN_COLOUR: unknown')])
  })
})

const mains: [string, string][] = [
  ...servers.map(([name]): [string, string] => [name, `services/${name}/src/main.ts`]),
  ['ops', 'services/ops/src/main.ts'],
  ['npm start', 'test/day/main.ts'],
  ['npm run stack', 'infra/stack/main.ts'],
  ['npm run bench', 'test/bench/main.ts'],
  ['npm run sim', 'test/sim/main.ts'],
]

test.each(mains)(
  '%s explains itself, and refuses by name an option it does not know, without a stack',
  async (_, main) => {
    const [help, wrong] = await Promise.all([run(main, ['--help']), run(main, ['--frobnicate'])])
    expect([help.code, help.stderr]).toEqual([0, ''])
    expect(help.stdout.trim().split('\n').length).toBeGreaterThan(2)
    expect([wrong.code, wrong.stdout, wrong.stderr]).toEqual([2, '', expect.stringContaining('--frobnicate')])
    expect(wrong.stderr).not.toMatch(/^ +at /m)
  },
)
