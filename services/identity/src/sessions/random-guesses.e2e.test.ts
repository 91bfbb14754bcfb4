/** Ten thousand texts that look like credentials: each gets the one answer for it, and nothing is left of them. */
import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { OAuthWorld, type Party } from '../oauth/testing.ts'
import { type Client, type Reply, SERVICE_SECRET, World } from '../testing.ts'

let world: World
let identity: Client
let oauth: OAuthWorld
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: 'https://id.example.test', COUNTERSIGN_LOG_LEVEL: 'error' })
  oauth = await OAuthWorld.at(identity)
})
afterAll(() => world.destroy())

const random = (bytes = 32): string => randomBytes(bytes).toString('base64url')

/** Records of each kind in the store. */
function rows(): Record<string, number> {
  const database = new DatabaseSync(world.storePath, { readOnly: true })
  const found = database.prepare(
    "SELECT substr(key, 1, instr(key || ':', ':') - 1) AS kind, count(*) AS n FROM record GROUP BY 1",
  )
  const counts = Object.fromEntries(found.all().map(({ kind, n }) => [String(kind), Number(n)]))
  database.close()
  return counts
}

async function answers(count: number, ask: () => Promise<Reply>): Promise<readonly string[]> {
  const seen = new Set<string>()
  const workers = Array.from({ length: 16 }, async () => {
    for (let i = 0; i < count / 16; i++) {
      const { status, json } = await ask()
      seen.add(`${status} ${json?.active ?? json?.error ?? json?.code}`)
    }
  })
  await Promise.all(workers)
  return [...seen].sort()
}

it('answers each guess alike, and keeps nothing of it', async () => {
  const { access_token } = await oauth.tokens('bob')
  const [, payload, signature] = access_token.split('.')
  const withKid = (): string => {
    const header = { alg: 'ES256', typ: 'at+jwt', kid: random() }
    return [Buffer.from(JSON.stringify(header)).toString('base64url'), payload, signature].join('.')
  }
  const service = { authorization: `Bearer ${SERVICE_SECRET}` }
  const resolve = (body: object) => identity.browser().send('POST', '/v1/sessions/resolve', body, service)
  const before = rows()
  expect(await answers(2_000, () => oauth.introspect(withKid()))).toEqual(['200 false'])
  expect(await answers(2_000, () => oauth.introspect(`at_${random()}`))).toEqual(['200 false'])
  const refreshToken = () => `rt_fam_${random(16)}.1.${random()}`
  expect(await answers(2_000, () => oauth.refresh(refreshToken(), oauth.spa))).toEqual(['400 invalid_grant'])
  expect(await answers(2_000, () => resolve({ cookie: random() }))).toEqual(['404 session_unknown'])
  expect(await answers(2_000, () => resolve({ bearer: `api_${random()}` }))).toEqual(['404 session_unknown'])
  expect(rows()).toEqual(before)
}, 120_000)

it('counts guesses at clients, codes and passwords, up to a bound for each source', async () => {
  const guesser = (): Party => ({ id: random(), secret: random() })
  const code = () => oauth.exchange(oauth.spa, { code: `ac_${random()}`, verifier: random() })
  const login = () => identity.browser().post('/login', { email: `${random()}@example.test`, password: 'x' })
  expect(await answers(304, () => oauth.introspect('x', guesser()))).toEqual(['401 invalid_client'])
  expect(await answers(160, code)).toEqual(['400 invalid_grant', '429 slow_down'])
  expect(await answers(160, login)).toEqual(['401 login_failed', '429 login_slowed'])
  // A key for each client and account tried while its source was free, and those of the source.
  expect(rows().attempt).toBeLessThan(170)
}, 120_000)
