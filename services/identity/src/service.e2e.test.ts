import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '@countersign/kernel'
import { signalCodec } from '@countersign/schemas'
import { openSqliteStore } from '@countersign/session-store/sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { contradictions, identityConfig } from './config.ts'
import { type Client, OPERATOR_SECRET, PASSWORD, SERVICE_SECRET, until, World } from './testing.ts'

const HASTY = { COUNTERSIGN_ACK_DEADLINE: '500ms' }

let world: World
beforeEach(() => {
  world = new World()
})
afterEach(() => world.destroy())

const revoke = (client: Client, id: string, more: object = {}) =>
  client.operate('POST', '/v1/revocations', { id, target: { kind: 'token', id: 'tok_1' }, reason: 'admin', ...more })

describe('logging in', () => {
  it('gives a cookie that pages cannot read, and ends the session it replaces', async () => {
    const client = await world.start({ COUNTERSIGN_INSECURE_COOKIES: 'false' })
    const login = await client.login('bob')
    expect(login.headers.getSetCookie()[0]).toMatch(
      /^__Host-session=[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    )
    expect(login.headers.get('cache-control')).toBe('no-store')
    const first = client.cookie
    const again = await client.send(
      'POST',
      '/login',
      { email: 'bob@example.test', password: PASSWORD },
      { cookie: `__Host-session=${first}` },
    )
    expect(again.json.session).not.toBe(login.json.session)
    expect(client.cookie).not.toBe(first)
    expect((await client.resolve(first)).status).toBe(404)
    expect((await client.resolve()).status).toBe(200)
  })

  it('says the same of an unknown person, a wrong password and a suspended person', async () => {
    const client = await world.start()
    await client.operate('POST', '/v1/subjects/sub_bob/suspend')
    const answers = [
      await client.login('nobody'),
      await client.login('ann', { password: 'wrong password' }),
      await client.login('bob'),
      await client.login('ann', { tenant: 'beta' }),
    ]
    const told = answers.map(({ status, json }) => ({ status, ...json, instance: null }))
    expect(told[0]).toMatchObject({ status: 401, code: 'login_failed' })
    for (const one of told) expect(one).toEqual(told[0])
  })

  it('slows guesses at one account, and tells a person with several organisations to name one', async () => {
    const client = await world.start()
    const guesses = await Promise.all(
      Array.from({ length: 12 }, () => client.login('ann', { password: 'wrong password' })),
    )
    expect(guesses.filter(({ status }) => status === 401)).toHaveLength(5)
    const slowed = await client.login('ann')
    expect([slowed.status, slowed.json.code]).toEqual([429, 'login_slowed'])
    expect(Number(slowed.headers.get('retry-after'))).toBeGreaterThan(0)
    const dan = await client.login('dan')
    expect([dan.status, dan.json.tenants]).toEqual([409, ['acme', 'beta']])
    expect((await client.login('dan', { tenant: 'beta', email: ' Dan@Example.TEST' })).json.tenant).toBe('beta')
  })

  it('works from a form, without script, and refuses what another site sends', async () => {
    const client = await world.start()
    const page = await client.get('/login')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(page.text).toContain('<label for="password">')
    const form = `email=bob%40example.test&password=${encodeURIComponent(PASSWORD)}`
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.test' },
      { origin: 'null' },
    ]) {
      expect((await client.send('POST', '/login', form, headers)).json.code).toBe('cross_site')
    }
    const wrong = await client.send('POST', '/login', 'email=%3Cb%3E%22&password=x')
    expect(wrong.status).toBe(401)
    expect(wrong.text).toContain('role="alert"')
    expect(wrong.text).not.toContain('<b>"')
    const done = await client.send('POST', '/login', form, { 'sec-fetch-site': 'same-origin' })
    expect([done.status, done.headers.get('location')]).toEqual([303, '/session'])
    expect((await client.get('/session', { accept: 'text/html' })).text).toContain('bob@example.test')
    expect((await client.send('POST', '/logout', '', { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await client.send('POST', '/logout', '')).text).toContain('You are logged out.')
    expect((await client.get('/session')).status).toBe(401)
  })

  it('refuses the insecure cookie and a plain issuer in production, and lives that contradict one another', () => {
    const wrong = (more: Readonly<Record<string, string>>, nodeEnv?: string) =>
      contradictions(loadConfig(identityConfig, world.environment(more)), nodeEnv).map((text) => text.split(':')[0])
    const issuer = { COUNTERSIGN_ISSUER: 'https://id.example.test' }
    expect(wrong({})).toEqual([])
    expect(wrong(issuer, 'production')).toEqual(['COUNTERSIGN_INSECURE_COOKIES'])
    const secure = { COUNTERSIGN_INSECURE_COOKIES: 'false' }
    expect(wrong({ ...issuer, ...secure }, 'production')).toEqual([])
    expect(wrong(secure, 'production')).toEqual(['COUNTERSIGN_ISSUER'])
    const lives = { COUNTERSIGN_ACCESS_TOKEN_LIFE: '1s', COUNTERSIGN_TRANSACTION_TOKEN_LIFE: '1s' }
    expect(wrong({ ...issuer, COUNTERSIGN_PASSKEY_DOMAIN: 'example.test' })).toEqual([])
    expect(wrong({ ...issuer, COUNTERSIGN_PASSKEY_DOMAIN: 'evil.test' })).toEqual(['COUNTERSIGN_PASSKEY_ORIGINS'])
    const short = { COUNTERSIGN_MAX_STALENESS: '1s', COUNTERSIGN_EPSILON: '250ms', ...lives }
    expect(wrong({ ...short, COUNTERSIGN_WINDOW: '1250ms' })).toEqual(['COUNTERSIGN_WINDOW'])
    expect(wrong({ ...short, COUNTERSIGN_WINDOW: '1251ms' })).toEqual([])
    for (const life of ['ACCESS_TOKEN_LIFE', 'TRANSACTION_TOKEN_LIFE'])
      expect(wrong({ ...short, COUNTERSIGN_WINDOW: '2s', [`COUNTERSIGN_${life}`]: '2s' })).toEqual([
        `COUNTERSIGN_${life}`,
      ])
    expect(wrong({ COUNTERSIGN_TRANSACTION_TOKEN_LIFE: '301s' })).toEqual(['COUNTERSIGN_TRANSACTION_TOKEN_LIFE'])
    for (const kind of ['SESSION', 'ADMIN', 'API', 'FAMILY', 'DEVICE'])
      expect(wrong({ [`COUNTERSIGN_${kind}_IDLE`]: '200d' })).toEqual([`COUNTERSIGN_${kind}_IDLE`])
  })
})

describe('resolving a session', () => {
  it('is for services alone, and answers with versions, scopes and position until anything ends it', async () => {
    const client = await world.start()
    await client.login('bob')
    expect((await client.send('POST', '/v1/sessions/resolve', { cookie: client.cookie })).status).toBe(401)
    expect((await client.resolve(client.cookie, 'wrong secret')).json.code).toBe('credential_invalid')
    expect((await client.resolve(client.cookie, OPERATOR_SECRET)).json.code).toBe('not_permitted')
    const before = (await client.resolve()).json
    expect(before).toMatchObject({
      sub: 'sub_bob',
      tenant: 'acme',
      principal: 'user',
      credential: 'session_cookie',
      amr: ['pwd'],
      position: null,
    })
    expect(before.targets.map((t: { kind: string }) => t.kind)).toEqual([
      'tenant',
      'subject',
      'affiliation',
      'session',
      'device',
    ])

    const changed = await client.operate('PUT', '/v1/affiliations/acme/sub_bob/roles', { roles: ['viewer'] })
    const after = (await client.resolve()).json
    expect(after.scopes).toEqual(['invoices:read', 'reports:read'])
    expect(after.scopeVersion).toBeGreaterThan(before.scopeVersion)
    expect(after.position).toEqual(changed.json.position)
    expect(after.targets).toEqual(before.targets)

    await client.operate('POST', '/v1/revocations', {
      target: { kind: 'tenant', tenant: 'acme' },
      reason: 'compromise',
    })
    expect((await client.resolve()).json.code).toBe('session_unknown')
    expect((await client.resolve(`${client.cookie}A`)).status).toBe(404)
  })
})

describe('administering', () => {
  it('ends at the tenant of the administrator', async () => {
    const client = await world.start()
    await client.login('ann')
    const member = client.browser()
    await member.login('bob')
    const attempts = [
      await member.post('/v1/subjects/sub_bob/suspend'),
      await client.send('PUT', '/v1/affiliations/beta/sub_cid/roles', { roles: [] }),
      await client.send('DELETE', '/v1/affiliations/beta/sub_cid', {}),
      await client.send('DELETE', '/v1/subjects/sub_bob', {}),
      await client.post('/v1/subjects/sub_dan/password-reset-codes'),
      await client.post('/v1/revocations', { target: { kind: 'tenant', tenant: 'beta' }, reason: 'admin' }),
      await client.post('/v1/revocations', { target: { kind: 'subject', id: 'sub_bob' }, reason: 'admin' }),
    ]
    expect(attempts.map(({ status, json }) => [status, json.code])).toEqual(attempts.map(() => [403, 'not_permitted']))
    expect((await client.post('/v1/subjects/sub_cid/suspend')).json.code).toBe('affiliation_unknown')
    expect((await client.post('/v1/subjects/sub_cid/password-reset-codes')).json.code).toBe('account_unknown')
    // Every floor takes room in the view of every consumer, so only what can be there gets one.
    const bob = { kind: 'affiliation', tenant: 'acme', id: 'sub_bob' }
    const nobody = await client.post('/v1/revocations', { target: { ...bob, id: 'sub_cid' }, reason: 'admin' })
    expect([nobody.status, nobody.json.code]).toEqual([404, 'affiliation_unknown'])
    const nothing = await client.post('/v1/revocations', { target: bob, effect: 'scope:made:up' })
    expect([nothing.status, nothing.json.code]).toEqual([406, 'not_acceptable'])
    expect(await world.signals()).toEqual([])

    // In acme alone: dan's session in beta lives on.
    const dan = client.browser()
    await dan.login('dan', { tenant: 'beta' })
    expect((await client.post('/v1/subjects/sub_dan/suspend')).status).toBe(200)
    expect((await dan.resolve()).status).toBe(200)
    expect((await client.browser().login('dan', { tenant: 'acme' })).status).toBe(401)
  })

  it('shows a revocation to its own tenant and to operators', async () => {
    const client = await world.start()
    const id = crypto.randomUUID()
    await client.login('ann')
    expect(
      (
        await client.post('/v1/revocations', {
          id,
          target: { kind: 'affiliation', tenant: 'acme', id: 'sub_bob' },
          reason: 'policy',
        })
      ).json.id,
    ).toBe(id)
    const other = client.browser()
    await other.login('cid')
    expect((await client.get(`/v1/revocations/${id}`)).json.state).toBe('acknowledged')
    expect((await client.operate('GET', `/v1/revocations/${id}`)).json.state).toBe('acknowledged')
    expect((await other.get(`/v1/revocations/${id}`)).json.code).toBe('revocation_unknown')
    expect((await client.get('/v1/revocations/not-an-id')).status).toBe(404)
  })

  it('asks for a new session after a suspension, and for the new password after a reset', async () => {
    const client = await world.start()
    await client.login('bob')
    await client.operate('POST', '/v1/subjects/sub_bob/suspend')
    expect((await client.operate('POST', '/v1/subjects/sub_bob/unsuspend')).json).toEqual({
      sub: 'sub_bob',
      state: 'active',
    })
    expect((await client.resolve()).status).toBe(404)
    await client.login('bob')
    expect((await client.resolve()).status).toBe(200)

    const { json } = await client.operate('POST', '/v1/subjects/sub_bob/password-reset-codes')
    const body = { code: json.code, password: 'another password' }
    const [first, second] = [await client.post('/password-reset', body), await client.post('/password-reset', body)]
    expect(second.json).toEqual(first.json)
    expect((await client.resolve()).status).toBe(404)
    expect((await client.login('bob')).status).toBe(401)
    expect((await client.login('bob', { password: 'another password' })).status).toBe(200)
    expect((await client.post('/password-reset', { code: 'wrong', password: 'another password' })).json.code).toBe(
      'reset_code_unknown',
    )
  })

  it('refuses bodies that are wrong by naming fields, never values', async () => {
    const client = await world.start()
    const bad = [
      { target: { kind: 'canary-4711' }, reason: 'admin' },
      { target: { kind: 'token', id: 'x' }, reason: 'canary-4711' },
      { target: { kind: 'token', id: 'x' } },
      { target: { kind: 'token', tenant: 'x', id: 'x' }, reason: 'admin' },
      { target: { kind: 'token', id: 'x' }, reason: 'admin', extra: 'canary-4711' },
      { id: 'canary-4711', target: { kind: 'token', id: 'x' }, reason: 'admin' },
    ]
    for (const body of bad) {
      const reply = await client.operate('POST', '/v1/revocations', body)
      expect([reply.status, reply.json.code]).toEqual([422, 'body_invalid'])
      expect(reply.text).not.toContain('4711')
    }
    expect((await client.operate('PUT', '/v1/affiliations/acme/sub_bob/roles', { roles: ['emperor'] })).status).toBe(
      422,
    )
    expect(await world.signals()).toEqual([])
  })
})

describe('the four answers', () => {
  it('answers a repeated id with the first answer, and another request under it with a refusal', async () => {
    const client = await world.start(HASTY)
    const id = crypto.randomUUID()
    const answers = await Promise.all(Array.from({ length: 5 }, () => revoke(client, id)))
    for (const answer of answers) expect(answer.json).toEqual(answers[0]?.json)
    const other = await revoke(client, id, { reason: 'policy' })
    expect([other.status, other.json.state, other.json.code]).toEqual([409, 'refused', 'id_reused'])
    expect(await world.signals()).toHaveLength(1)
  })

  it('is pending while the log is away, and acknowledged once it is back, without a restart', async () => {
    const client = await world.start(HASTY)
    await client.login('bob')
    if (world.log) world.log.mode = 'away'
    const logout = await client.post('/logout')
    expect([logout.status, logout.json.state]).toEqual([202, 'pending'])
    expect(client.cookie).toBeNull()
    const status = () => client.operate('GET', `/v1/revocations/${logout.json.id}`)
    expect((await status()).json.state).toBe('pending')
    expect(await world.signals()).toEqual([])
    if (world.log) world.log.mode = 'present'
    await until(async () => (await status()).json.state === 'acknowledged')
    const [found] = await world.signals()
    expect((await status()).json).toMatchObject({ seq: 1, position: { offset: found?.offset } })
  })

  it('sends the same bytes again when the log took them without saying so', async () => {
    const client = await world.start(HASTY)
    if (world.log) world.log.mode = 'takes it and does not say so'
    const id = crypto.randomUUID()
    expect((await revoke(client, id)).json.state).toBe('pending')
    if (world.log) world.log.mode = 'present'
    await until(async () => (await revoke(client, id)).json.state === 'acknowledged')
    const records = await world.records()
    expect(records.length).toBeGreaterThan(1)
    for (const { signal } of records) expect(signal).toEqual(records[0]?.signal)
  })

  it('never says that something happened while the store is away', async () => {
    const client = await world.start(HASTY)
    await client.login('bob')
    const away = [world.storePath, `${world.storePath}-wal`, `${world.storePath}-shm`]
    for (const file of away) renameSync(file, `${file}.away`)
    const answers = [
      await client.post('/logout'),
      await revoke(client, crypto.randomUUID()),
      await client.login('ann'),
      await client.resolve(),
    ]
    for (const { status, json } of answers) expect([status, json.state ?? 'refused']).toEqual([503, 'refused'])
    expect((await client.get('/readyz')).json.reasons).toContain('store_away')
    for (const file of away) renameSync(`${file}.away`, file)
    expect((await client.resolve()).status).toBe(200)
    expect((await client.post('/logout')).json.state).toBe('acknowledged')
  })

  it('delivers after a crash between commit and delivery what was committed, once by id', async () => {
    const client = await world.start(HASTY)
    if (world.log) world.log.mode = 'away'
    const id = crypto.randomUUID()
    expect((await revoke(client, id)).json.state).toBe('pending')
    await client.close()
    const again = await world.start(HASTY)
    await until(async () => (await again.operate('GET', `/v1/revocations/${id}`)).json.state === 'acknowledged')
    expect((await revoke(again, id)).json.state).toBe('acknowledged')
    const found = await world.signals()
    expect(found).toHaveLength(1)
    const store = await openSqliteStore({ path: world.storePath })
    const rows = await store.keptRows(1, 10)
    expect(rows.map((row) => signalCodec.decode(row.body))).toEqual([found[0]?.signal])
    await store.close()
  })

  it('keeps sessions over a restart, and serves one session from two instances', async () => {
    const first = await world.start(HASTY)
    await first.login('bob')
    const second = await world.start(HASTY)
    expect((await second.resolve(first.cookie)).status).toBe(200)
    await first.close()
    const third = await world.start(HASTY)
    expect((await third.resolve(first.cookie)).status).toBe(200)
    third.cookie = first.cookie
    expect((await third.post('/logout')).json.state).toBe('acknowledged')
    expect((await second.resolve(first.cookie)).status).toBe(404)
  })
})

it('runs its roles apart: one process notarises, another answers people', async () => {
  const notary = await world.start({ COUNTERSIGN_ROLES: 'notary' })
  const client = await world.start({ COUNTERSIGN_ROLES: 'http' })
  expect((await notary.get('/login')).status).toBe(404)
  expect((await notary.get('/metrics')).text).toContain('countersign_notary_epoch 1')
  expect((await revoke(client, crypto.randomUUID())).json.state).toBe('acknowledged')
})

describe('a store that was rolled back', () => {
  it('takes back what the log holds before it issues anything', async () => {
    const client = await world.start()
    await client.login('bob')
    const cookie = client.cookie
    await client.close()
    copyFileSync(world.storePath, `${world.storePath}.backup`)
    const later = await world.start()
    for (const path of ['/v1/subjects/sub_bob/suspend', '/v1/subjects/sub_ann/suspend'])
      await later.operate('POST', path)
    await later.operate('PUT', '/v1/affiliations/acme/sub_dan/roles', { roles: ['viewer'] })
    const reset = await later.operate('POST', '/v1/subjects/sub_cid/password-reset-codes')
    await later.browser().post('/password-reset', { code: reset.json.code, password: 'changed it since' })
    const before = await world.signals()
    await later.close()
    for (const suffix of ['-wal', '-shm']) rmSync(world.storePath + suffix, { force: true })
    copyFileSync(`${world.storePath}.backup`, world.storePath)

    const restored = await world.start()
    expect((await restored.login('bob')).status).toBe(401)
    expect((await restored.resolve(cookie)).status).toBe(404)
    expect((await restored.browser().login('cid')).status).toBe(401)
    const dan = restored.browser()
    expect((await dan.login('dan', { tenant: 'acme' })).json.scopes).toEqual([])
    const next = await revoke(restored, crypto.randomUUID())
    expect(next.json).toMatchObject({ state: 'acknowledged', seq: before.length + 1 })
    expect(world.lines.join('')).toContain('the session store is behind the signals log')
  })

  it('takes its log up again when the store was wiped', async () => {
    const client = await world.start()
    await revoke(client, crypto.randomUUID())
    await client.close()
    for (const suffix of ['', '-wal', '-shm']) rmSync(world.storePath + suffix, { force: true })
    const again = await world.start()
    const next = await revoke(again, crypto.randomUUID())
    expect(next.json).toMatchObject({ state: 'acknowledged', seq: 2 })
  })
})

it('lets no secret, address or password into a log line, the signals log or the store', async () => {
  const client = await world.start(HASTY)
  await client.login('bob')
  const cookie = client.cookie as string
  await client.login('canary-unknown', { password: 'canary-typed-password' })
  await client.resolve()
  await client.resolve('canary-not-a-cookie')
  const { json } = await client.operate('POST', '/v1/subjects/sub_bob/password-reset-codes')
  await client.browser().post('/password-reset', { code: json.code, password: 'canary-next-password' })
  await client.send('POST', '/login', '{"canary-broken', { 'content-type': 'application/json' })
  await client.post('/logout')
  await client.close()
  const secrets = [cookie, PASSWORD, SERVICE_SECRET, OPERATOR_SECRET, json.code, 'canary']
  const text = [world.lines.join('')]
  for (const file of readdirSync(world.folder)) {
    if (/\.db/.test(file)) text.push(readFileSync(join(world.folder, file), 'latin1'))
  }
  expect(world.lines.length).toBeGreaterThan(5)
  for (const secret of secrets) for (const where of text) expect(where.includes(secret)).toBe(false)
  const [lines, ...files] = text
  expect(lines).not.toContain('example.test')
  expect(files.find((file) => file.includes('countersign.signals.v1'))).not.toContain('example.test')
})
