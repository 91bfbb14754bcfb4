/** Giving up keys that sign for others: one signal, bundles without the key, tokens under another. */
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KeyRing } from '@countersign/envelope'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { signerTarget } from '@countersign/revocation'
import { exampleCatalogue, type TrustBundle, trustBundleCodec } from '@countersign/schemas'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { OAuthWorld } from './oauth/testing.ts'
import { type Client, until, World } from './testing.ts'

const ORDERS = ['api', 'gateway'].map((name) => ({ name, use: 'envelope', tenants: ['*'], topics: ['*'] }) as const)
let world: World
let client: Client
beforeAll(async () => {
  world = new World(ORDERS)
  client = await world.start()
})
afterAll(() => world.destroy())

const keys = async (): Promise<{ id: string; use: string; givenUp: boolean }[]> =>
  (await client.operate('GET', '/v1/keys')).json.keys
const giveUp = (id: string, body: object = {}) => client.operate('POST', `/v1/keys/${id}/compromise`, body)

async function bundles(): Promise<TrustBundle[]> {
  const log = await openSqliteLog({ path: world.logPath, catalogue: exampleCatalogue })
  const { start, end } = await log.bounds(SIGNALS_TOPIC)
  const found: TrustBundle[] = []
  for await (const records of log.read({ topic: SIGNALS_TOPIC, from: start, to: end })) {
    for (const record of records) {
      const read = readRecord(record, log.schemas)
      if (read?.kind === 'TrustBundle') found.push(trustBundleCodec.decode(read.body))
    }
  }
  await log.close()
  return found
}

it('lists every key that signs, for operators alone', async () => {
  expect((await keys()).map(({ id, use }) => (use === 'token' ? use : `${id} ${use}`))).toEqual([
    'signal signal',
    'checkpoint-1 checkpoint',
    'checkpoint-2 checkpoint',
    'consumer progress',
    'audit audit',
    'api envelope',
    'gateway envelope',
    'token',
  ])
  const admin = client.browser()
  await admin.login('ann')
  expect((await admin.get('/v1/keys')).status).toBe(403)
  expect((await admin.post('/v1/keys/api/compromise')).status).toBe(403)
  expect((await client.browser().get('/v1/keys')).status).toBe(401)
})

it('gives up a key of a boundary: a signal on it, and a bundle without it, whatever its file says', async () => {
  const before = (await bundles()).at(-1) as TrustBundle
  const id = '3f0a57c2-9d5e-4c3b-8f6e-0a1b2c3d4e5f'
  const answer = await giveUp('api', { id })
  expect([answer.status, answer.json.state]).toEqual([200, 'acknowledged'])
  expect(answer.json).toMatchObject({ key: { id: 'api', use: 'envelope' }, withdrawn: true })
  const key = before.keys.find(({ key_id }) => key_id === 'api')
  const { signal, offset } = (await world.signals()).at(-1) ?? { signal: null, offset: -1 }
  expect(signal).toMatchObject({
    target: signerTarget(key?.public_key as Uint8Array),
    effect: 'reason:compromise',
    cause: 'key_compromise',
    initiator: 'operator:ops',
  })
  expect(answer.json.position.offset).toBe(offset)
  const after = (await bundles()).at(-1) as TrustBundle
  expect(after.version).toBeGreaterThan(before.version)
  expect(new KeyRing(after).key('api')).toBeUndefined()
  expect(after.keys).toHaveLength(before.keys.length - 1)
  // Once more is no other revocation, also now that the key is gone; and nobody else's is.
  expect((await giveUp('api', { id })).json).toMatchObject({ state: 'acknowledged', id, withdrawn: true })
  expect((await giveUp('api')).json).toMatchObject({ status: 404, code: 'key_unknown' })
  expect((await world.signals()).filter(({ signal }) => signal.cause === 'key_compromise')).toHaveLength(1)
})

it('keeps it out of every later bundle, though its grant is in the file and the notary is another', async () => {
  const version = (await bundles()).at(-1)?.version ?? 0
  await client.close()
  client = await world.start({ COUNTERSIGN_CHECKPOINT_KEY: 'checkpoint-2', COUNTERSIGN_NOTARY_ID: 'other' })
  await until(async () => ((await bundles()).at(-1)?.version ?? 0) > version)
  const last = (await bundles()).at(-1) as TrustBundle
  expect(last.keys.map(({ key_id }) => key_id)).not.toContain('api')
  expect(readFileSync(join(world.folder, 'keys', 'keys.json'), 'utf8')).toContain('"api"')
})

it('takes another key of the same name for another', async () => {
  const path = join(world.folder, 'keys', 'keys.json')
  const file = JSON.parse(readFileSync(path, 'utf8'))
  const grant = file.keys.find(({ key_id }: { key_id: string }) => key_id === 'api')
  grant.public_key = Buffer.alloc(32, 9).toString('base64')
  writeFileSync(path, JSON.stringify(file))
  await client.close()
  client = await world.start()
  await until(async () => (await keys()).some(({ id }) => id === 'api'))
  expect((await keys()).find(({ id }) => id === 'api')).toMatchObject({ givenUp: false })
})

it('refuses the last key of a use that nothing works without', async () => {
  expect((await giveUp('signal')).json).toMatchObject({ status: 409, code: 'key_indispensable' })
  expect((await giveUp('root')).json).toMatchObject({ status: 404, code: 'key_unknown' })
  expect((await giveUp('checkpoint-2')).json).toMatchObject({ state: 'acknowledged', withdrawn: true })
  expect((await giveUp('checkpoint-1')).json).toMatchObject({ status: 409, code: 'key_indispensable' })
})

it('lets nobody end a key as if it were a client: that would pass by what is refused here, and by who may', async () => {
  const signal = (await bundles()).at(-1)?.keys.find(({ key_id }) => key_id === 'signal')
  const target = { kind: 'client', id: signerTarget(signal?.public_key as Uint8Array).id }
  const before = (await world.signals()).length
  for (const what of [{ reason: 'compromise' }, { effect: 'scope:invoices:read' }]) {
    const answer = await client.operate('POST', '/v1/revocations', { id: randomUUID(), target, ...what })
    expect(answer.json).toMatchObject({ status: 406, code: 'not_acceptable' })
  }
  expect(await world.signals()).toHaveLength(before)
})

it('gives up a key of tokens: it verifies nothing any more, and another signs at once', async () => {
  const published = async (): Promise<string[]> =>
    (await client.get('/jwks.json')).json.keys.map(({ kid }: { kid: string }) => kid)
  const oauth = await OAuthWorld.at(client)
  const issued = async (): Promise<string> => (await oauth.tokens('ann')).access_token
  const before = await issued()
  expect((await oauth.introspect(before)).json).toMatchObject({ active: true })
  const [kid = ''] = await published()
  expect((await giveUp(kid)).json).toMatchObject({ state: 'acknowledged', key: { use: 'token' }, withdrawn: true })
  expect((await world.signals()).at(-1)?.signal.target).toEqual({ kind: 'client', tenant: '', id: `key:${kid}` })
  const left = await published()
  expect(left).toHaveLength(1)
  expect(left).not.toContain(kid)
  expect((await oauth.introspect(before)).json).toEqual({ active: false })
  expect((await oauth.introspect(await issued())).json.active).toBe(true)
})
