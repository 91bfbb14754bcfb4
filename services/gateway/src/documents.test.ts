import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CREDENTIALS } from './routes/route.ts'
import { Routes } from './routes/routes.ts'

const page = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
const block = (language: string): string =>
  new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(page)?.[1] ?? expect.fail(`no ${language}`)
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-gateway-'))
  mkdirSync(join(folder, 'keys'))
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const files = { 'root.pub': Buffer.alloc(32, 1).toString('base64'), 'gateway.pem': pem }
  for (const [name, text] of Object.entries({ ...files, 'gateway.secret': 's1', 'client.secret': 's2' }))
    writeFileSync(join(folder, 'keys', name), text)
  writeFileSync(join(folder, 'routes.json'), block('json'))
})
afterAll(() => rmSync(folder, { recursive: true }))

test('the command line of the README takes its routes', () => {
  const main = join(import.meta.dirname, 'main.ts')
  const command = block('sh').replace(
    / gateway --/,
    ` "${process.execPath}" --conditions=@countersign/source "${main}" --`,
  )
  const { stdout, stderr, status } = spawnSync('/bin/sh', ['-c', command], {
    cwd: folder,
    encoding: 'utf8',
    env: {},
  })
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toContain('COUNTERSIGN_ROUTES=login,assets,invoices,payments,ledger\n')
})

test('the routes of the first page are routes', () => {
  const first = readFileSync(join(import.meta.dirname, '../../../README.md'), 'utf8')
  const routes = Routes.read(/```json\n(.*?)```/s.exec(first)?.[1] ?? '')
  expect('faults' in routes ? routes.faults : []).toEqual([])
})

test('every member and kind is in the table', () => {
  const names = [
    'path',
    'methods',
    'upstream',
    'access',
    'audience',
    'scopes',
    'acr',
    'maxAuthAge',
    'credentials',
    'introspect',
  ]
  const more = ['rate', 'forward', 'upstreamAudience', 'websocket', 'timeout', 'bodyLimit', ...CREDENTIALS]
  for (const name of [...names, ...more]) expect(page, name).toContain(`\`${name}\``)
})
