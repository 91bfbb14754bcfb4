import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Service } from '../../day/processes.ts'
import { editedBy, type SourceEdit } from '../../identity/edited-source.ts'
import { REDIRECT_URI } from '../../identity/people.ts'
import { IdentitySite } from '../../identity/site.ts'
import { hasRedis } from '../../redis-server.ts'
import { RoundRobin } from './round-robin.ts'
import { Traffic } from './traffic.ts'

const PEOPLE = 10
const SECRET = 'client-secret-client-secret-0123456789'
const SCOPES = ['reports:read']
const AUDIENCE = 'https://resource.example'
const INSTANCES = 3

/** The next version: each record it writes says so, and has a member more. */
const NEXT_VERSION: readonly SourceEdit[] = [
  {
    file: 'libs/session-store/src/records.ts',
    find: 'export const RECORD_SCHEMA = 2',
    replace: 'export const RECORD_SCHEMA = 3',
  },
  {
    file: 'libs/session-store/src/steps/layout.ts',
    find: 'let kept: object = { ...record, schema }',
    replace: "let kept: object = { ...record, schema, addedLater: 'by the next version' }",
  },
]

describe.skipIf(!hasRedis())('three instances replaced one by one, and back, under load', () => {
  let site: IdentitySite
  let balancer: RoundRobin
  let traffic: Traffic
  const running: Service[] = []

  beforeAll(async () => {
    const client = { authMethod: 'client_secret_basic', secret: SECRET, scopes: SCOPES }
    const grants = ['authorization_code', 'refresh_token']
    site = await IdentitySite.start({
      store: 'redis',
      people: PEOPLE,
      clients: [
        {
          ...client,
          id: 'app',
          name: 'App',
          grants,
          redirectUris: [REDIRECT_URI],
          audiences: [AUDIENCE],
          tokenFormat: 'opaque',
        },
        { ...client, id: 'resource', name: 'Resource', grants: [], redirectUris: [], introspects: [AUDIENCE] },
      ],
    })
    balancer = await RoundRobin.start()
    for (let i = 0; i < INSTANCES; i++) running.push(await join(`first-${i}`, {}))
    const app = { id: 'app', secret: SECRET }
    traffic = new Traffic({ base: balancer.url, app, resource: { id: 'resource', secret: SECRET }, people: PEOPLE })
    await traffic.start()
  }, 120_000)

  afterAll(async () => {
    await traffic?.stop()
    await balancer?.stop()
    await site?.stop()
  })

  async function join(name: string, plain: Readonly<Record<string, string>>): Promise<Service> {
    const service = await site.identity(name, { plain })
    balancer.add(service.spec.port)
    return service
  }

  async function replaceAll(name: string, plain: Readonly<Record<string, string>>): Promise<void> {
    for (let i = 0; i < INSTANCES; i++) {
      running.push(await join(`${name}-${i}`, plain))
      const old = running.shift() as Service
      balancer.remove(old.spec.port)
      await old.stop()
      await traffic.passes(100)
    }
  }

  it('signs nobody out', async () => {
    await traffic.passes(100)
    await replaceAll('next', editedBy(NEXT_VERSION))
    const written = await records()
    expect(written.filter(isNext).length).toBeGreaterThanOrEqual(PEOPLE)

    await replaceAll('again', {})
    const { signedOut, ...counts } = traffic.counts
    console.log('rolling upgrade:', JSON.stringify({ ...counts, signedOut: signedOut.length }))
    expect(signedOut.slice(0, 5)).toEqual([])
    // The first version has written them again since, and left what it does not know.
    const families = (await records()).filter(({ kind, refresh }) => kind === 'family' && refresh)
    expect(families).toHaveLength(PEOPLE)
    expect(families.every(isNext)).toBe(true)
  }, 240_000)

  async function records(): Promise<Record<string, unknown>[]> {
    const redis = new Redis(site.redis?.port ?? 0)
    try {
      const keys = await redis.keys('*')
      // Records are strings, their text after the last line break; indexes are not.
      const values = await Promise.all(keys.map((key) => redis.get(key).catch(() => null)))
      const texts = values.map((value) => value?.slice(value.lastIndexOf('\n') + 1) ?? '')
      return texts.filter((text) => text.startsWith('{')).map((text) => JSON.parse(text) as Record<string, unknown>)
    } finally {
      redis.disconnect()
    }
  }
})

function isNext(record: Record<string, unknown>): boolean {
  return record.schema === 3 && record.addedLater === 'by the next version'
}
