import { openSqliteLog } from '@countersign/event-log/sqlite'
import { JOURNEY_TOPIC } from '@countersign/journey'
import { exampleCatalogue, type JourneyEvent, journeyEventCodec, unframe } from '@countersign/schemas'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { OAuthWorld } from './oauth/testing.ts'
import { type Client, PASSWORD, until, World } from './testing.ts'

let world: World
let client: Client
beforeAll(async () => {
  world = new World()
  client = await world.start({ COUNTERSIGN_REFRESH_GRACE: '1ms' })
})
afterAll(() => world.destroy())

/** Everything on the topic, and its bytes. */
async function journey(): Promise<{ events: JourneyEvent[]; bytes: string; keys: Map<string, string> }> {
  const log = await openSqliteLog({ path: world.logPath, catalogue: exampleCatalogue, create: false })
  const [events, chunks, keys] = [[] as JourneyEvent[], [] as string[], new Map<string, string>()]
  for (let partition = 0; partition < 6; partition++) {
    const { start, end } = await log.bounds(JOURNEY_TOPIC, partition)
    for await (const records of log.read({ topic: JOURNEY_TOPIC, partition, from: start, to: end })) {
      for (const { key, value } of records) {
        const event = journeyEventCodec.decode(unframe(value)?.body as Buffer)
        events.push(event)
        chunks.push(Buffer.from(value as Uint8Array).toString('latin1'))
        keys.set(Buffer.from(event.id).toString('hex'), String(key))
      }
    }
  }
  await log.close()
  return { events, bytes: chunks.join('\n'), keys }
}

it('tells every step of an identity, by subject, without a secret', async () => {
  const oauth = await OAuthWorld.at(client)
  const secrets: string[] = [PASSWORD]
  const [admin, person] = [await client.person(['admin']), await client.person()]
  const browser = client.browser()
  await browser.post('/login', { email: `${person.name}@example.test`, password: 'canary wrong password' })
  await browser.login(person.name)
  await browser.post('/reauthenticate', { password: PASSWORD })
  const { bearer } = (await browser.post('/v1/api-sessions', { name: 'a program' })).json
  secrets.push(...browser.jar.values(), bearer)

  const first = await oauth.tokens(person.name)
  const { json: second } = await oauth.refresh(first.refresh_token)
  expect((await oauth.introspect(second.access_token, oauth.mail)).json).toEqual({ active: false })
  await oauth.refresh(first.refresh_token, { id: 'web', secret: 'canary-wrong-secret-canary-wrong-secret' })
  // Wherever the grace ends, the token before the last is reused once its successor has been.
  const { json: third } = await oauth.refresh(second.refresh_token)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect((await oauth.refresh(first.refresh_token)).json.error).toBe('invalid_grant')
  const { id: client_id, secret: client_secret } = oauth.robot
  const robot = await oauth.token({ grant_type: 'client_credentials', client_id, client_secret }, null)
  expect(robot.status).toBe(200)
  for (const tokens of [first, second, third]) secrets.push(tokens.access_token, tokens.refresh_token)
  secrets.push(robot.json.access_token, first.browser.cookie ?? '')

  const desk = client.browser()
  await desk.login(admin.name)
  expect((await desk.post('/v1/impersonations', { sub: person.sub })).status).toBe(201)
  await desk.post('/v1/impersonations/end')
  await browser.post('/logout')

  await until(async () => (await journey()).events.some(({ action, sub }) => action === 'logout' && sub === person.sub))
  const { events, bytes, keys } = await journey()
  const told = new Set(
    events
      .filter(({ sub }) => sub === person.sub || sub === null)
      .map(({ action, actor, outcome, cause }) =>
        [action, actor.replace(person.sub, 'person').replace(admin.sub, 'admin'), outcome, cause ?? '']
          .join(' ')
          .trim(),
      ),
  )
  for (const line of [
    'login_failed unknown login_failed',
    'issuance person issued',
    'new_device person issued',
    'reauthentication person issued',
    'issuance client:web issued',
    'refresh client:web rotated',
    'reuse client:web acknowledged refresh_token',
    'revocation system:tokens acknowledged token_reuse',
    'introspection_denied client:mail not_for_this_client',
    'client_refused unknown invalid_client',
    'impersonation admin issued',
    'logout person acknowledged logout',
  ])
    expect([...told]).toContain(line)
  expect(events.some(({ actor, sub }) => actor === 'client:robot' && sub !== null)).toBe(true)
  for (const { id, sub } of events) expect(keys.get(Buffer.from(id).toString('hex'))).toBe(String(sub))
  expect(bytes).toContain(person.sub)
  for (const secret of [...secrets, 'canary', '@example.test']) {
    expect(secret.length).toBeGreaterThan(5)
    expect(bytes.includes(secret), secret.slice(0, 6)).toBe(false)
  }
})

it('waits for a log that is away, and delays nobody', async () => {
  const { name, sub } = await client.person()
  if (world.log) world.log.mode = 'away'
  const browser = client.browser()
  expect((await browser.login(name)).status).toBe(200)
  expect((await browser.post('/logout')).status).toBe(202)
  expect((await journey()).events.filter((event) => event.sub === sub)).toEqual([])
  if (world.log) world.log.mode = 'present'
  const mine = async () => (await journey()).events.filter((event) => event.sub === sub)
  await until(async () => (await mine()).some(({ action }) => action === 'logout'))
  expect((await mine()).map(({ action }) => action)).toEqual(['issuance', 'new_device', 'logout'])
})
