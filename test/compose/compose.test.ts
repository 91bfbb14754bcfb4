import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { generateEd25519 } from '@countersign/envelope'
import { parseSeed } from '@countersign/identity'
import { METRICS } from '@countersign/telemetry'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { routesTo } from '../day/routes.ts'

interface Service {
  readonly image?: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, unknown>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly depends_on?: readonly string[] | Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: object
}

const root = resolve(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'docker-compose.yml'), 'utf8')
const compose = parse(text, { merge: true }) as { services: Record<string, Service>; volumes: Record<string, object> }
const services = Object.entries(compose.services)
const servers = services.filter(([, one]) => one.command?.length === 1 && one.command[0]?.endsWith('/dist/main.js'))

describe('docker-compose.yml', () => {
  test('says that it is unproven', () => {
    expect(text).toContain('UNPROVEN')
  })

  test('has everything', () => {
    const wanted = [
      'kafka',
      'registry',
      'valkey',
      'identity',
      'notary',
      'gateway',
      'api',
      'worker-1',
      'audit',
      'console',
      'prometheus',
      'grafana',
    ]
    expect(Object.keys(compose.services)).toEqual(expect.arrayContaining(wanted))
  })

  test.each(services)('%s is pinned, published on loopback alone, and refers to what exists', (_, service) => {
    expect(service.image).toMatch(/:(local|v?\d[\w.-]*)$/)
    for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/)
    for (const volume of service.volumes ?? []) {
      const [source = ''] = volume.split(':')
      if (source.startsWith('.')) expect(existsSync(join(root, source)), source).toBe(true)
      else expect(Object.keys(compose.volumes)).toContain(source)
    }
    const needed = Array.isArray(service.depends_on) ? service.depends_on : Object.keys(service.depends_on ?? {})
    for (const name of needed) expect(Object.keys(compose.services)).toContain(name)
    for (const [name, { condition }] of Object.entries(
      Array.isArray(service.depends_on) ? {} : (service.depends_on ?? {}),
    )) {
      if (condition === 'service_healthy') expect(compose.services[name]?.healthcheck).toBeDefined()
    }
    if (service.build !== undefined) {
      expect(existsSync(join(root, service.build.context, service.build.dockerfile))).toBe(true)
    }
  })

  test('no volume is left over', () => {
    const used = new Set(services.flatMap(([, one]) => one.volumes?.map((volume) => volume.split(':')[0]) ?? []))
    expect(Object.keys(compose.volumes).filter((name) => !used.has(name))).toEqual([])
  })

  test('the store neither evicts nor forgets', () => {
    const command = compose.services.valkey?.command?.join(' ')
    expect(command).toContain('--maxmemory-policy noeviction')
    expect(command).toContain('--appendonly yes')
    for (const name of ['keys', 'identity', 'notary', 'notary-standby']) {
      expect(compose.services[name]?.environment).toMatchObject({
        COUNTERSIGN_STORE: 'redis',
        COUNTERSIGN_REDIS_URL: 'redis://valkey:6379',
      })
    }
  })

  test('one door: no port of this machine leads to the api, which takes nothing but what the gateway makes', () => {
    const { gateway, api } = compose.services
    expect(api?.ports).toBeUndefined()
    expect(api?.environment).toMatchObject({ COUNTERSIGN_CREDENTIALS: 'gateway' })
    expect(api?.environment?.COUNTERSIGN_TRUST_DOMAIN).toBe(gateway?.environment?.COUNTERSIGN_TRUST_DOMAIN)
    // What is inside is not published.
    const inside = gateway?.environment?.COUNTERSIGN_CHECK_PORT
    expect(gateway?.ports?.some((port) => port.endsWith(`:${inside}`))).toBe(false)
    const routes = JSON.parse(readFileSync(join(root, 'infra/docker/routes.json'), 'utf8'))
    expect(routes).toEqual(routesTo('http://api:8080'))
    // What services alone ask of identity.
    const posted = routes.filter(({ methods }: { methods: string[] }) => methods.includes('POST'))
    for (const { path } of posted) expect('/v1/sessions/resolve'.startsWith(path.replace(/\*$/, ''))).toBe(false)
    // Else whoever guesses at the door slows everybody, and the gateway itself.
    expect(compose.services.identity?.environment?.COUNTERSIGN_TRUSTED_PROXIES).toBe('uniquelocal')
  })

  test('the console is the client that identity is told of', () => {
    const { console: page } = compose.services
    const path = join(mkdtempSync(join(tmpdir(), 'countersign-compose-')), 'client-secret')
    writeFileSync(path, `${'s'.repeat(43)}\n`)
    const script = join(root, 'infra/docker/console-client.mjs')
    const { stdout } = spawnSync(process.execPath, [script, path], { encoding: 'utf8' })
    rmSync(dirname(path), { recursive: true })
    const [client] = parseSeed(stdout).clients
    expect(client).toMatchObject({ id: 'console', secret: 's'.repeat(43), authMethod: 'client_secret_basic' })
    expect(client?.redirectUris).toEqual([`${page?.environment?.COUNTERSIGN_PUBLIC_URL}/signed-in`])
    expect(page?.ports?.[0]).toBe(`${String(page?.environment?.COUNTERSIGN_PUBLIC_URL).replace('http://', '')}:8080`)
    expect(page?.environment?.COUNTERSIGN_ISSUER).toBe(compose.services.identity?.environment?.COUNTERSIGN_ISSUER)
  })

  test('a key is where its user finds it, and nowhere else', () => {
    const holders = (volume: string): string[] =>
      services.flatMap(([name, one]) => (one.volumes?.some((text) => text.startsWith(`${volume}:`)) ? [name] : []))
    expect(holders('keys-worker')).toEqual(['keys', 'worker-1', 'worker-2'])
    expect(holders('keys-audit')).toEqual(['keys', 'audit'])
    expect(holders('keys-console')).toEqual(['keys', 'console'])
    expect(holders('keys')).toEqual(['keys', 'identity', 'notary', 'notary-standby'])
  })

  test('a container engine client, where there is one, agrees', (context) => {
    if (spawnSync('docker', ['compose', 'version']).status !== 0) return context.skip()
    const { status, stderr } = spawnSync('docker', ['compose', 'config', '--quiet'], { cwd: root, encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })
})

describe('each server takes the configuration it is given', () => {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-compose-'))
  const keys = generateEd25519()
  beforeAll(() => {
    writeFileSync(join(dir, 'root.pub'), keys.publicKey.toString('base64'))
    for (const name of ['api', 'gateway', 'consumer', 'audit'])
      writeFileSync(join(dir, `${name}.key.pem`), keys.privateKeyPem)
    copyFileSync(join(root, 'infra/docker/routes.json'), join(dir, 'routes.json'))
    for (const name of ['identity-secret', 'operator-secret', 'client-secret'])
      writeFileSync(join(dir, name), 'x'.repeat(43))
  })
  afterAll(() => rmSync(dir, { recursive: true }))

  test.each(servers)('%s', (_, service) => {
    expect(service.healthcheck).toBeDefined()
    const env = Object.entries(service.environment ?? {}).map(([key, value]) => {
      const file = key.endsWith('_FILE') ? join(dir, String(value).split('/').at(-1) ?? '') : String(value)
      return [key, file]
    })
    const source = service.command?.[0]?.replace('/dist/main.js', '/src/main.ts') ?? ''
    const args = ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning', source, '--check-config']
    const { status, stderr } = spawnSync(process.execPath, args, {
      cwd: root,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...Object.fromEntries(env) },
    })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })
})

describe('what is watched exists', () => {
  test('Prometheus asks exactly the servers there are', () => {
    const { rule_files, scrape_configs } = parse(
      readFileSync(join(root, 'infra/docker/prometheus/prometheus.yml'), 'utf8'),
    ) as {
      rule_files: string[]
      scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[]
    }
    for (const file of rule_files) expect(existsSync(join(root, 'infra/docker/prometheus', file))).toBe(true)
    expect(scrape_configs.map(({ job_name }) => job_name)).toEqual(['countersign'])
    const targets = scrape_configs.flatMap((job) => job.static_configs.flatMap((one) => one.targets))
    const port = ([, { environment }]: (typeof servers)[number]): unknown =>
      environment?.COUNTERSIGN_CHECK_PORT ?? '8080'
    expect(targets.sort()).toEqual(servers.map((one) => `${one[0]}:${port(one)}`).sort())
  })

  test('Prometheus, where it is installed, takes its configuration', (context) => {
    if (spawnSync('promtool', ['--version']).status !== 0) return context.skip()
    const config = join(root, 'infra/docker/prometheus/prometheus.yml')
    const { status, stderr } = spawnSync('promtool', ['check', 'config', config], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  test('Grafana draws only metrics and labels there are', () => {
    const board = readFileSync(join(root, 'infra/docker/grafana/dashboards/countersign.json'), 'utf8')
    const names = [...board.matchAll(/countersign_[a-z_]+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, ''))
    expect(new Set(names).size).toBeGreaterThan(5)
    expect(names.filter((name) => !Object.hasOwn(METRICS, name))).toEqual([])
  })
})
