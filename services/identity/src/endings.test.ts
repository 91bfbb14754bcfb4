import { copyFileSync, rmSync } from 'node:fs'
import { REASONS, TARGET_KINDS } from '@countersign/revocation'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ENDINGS, type EndingPath, type EndingRow, type RaisesOf, raisesOf } from './endings.ts'
import { enrolApp } from './factors/testing.ts'
import { OAuthWorld, type Party } from './oauth/testing.ts'
import { removedScopes } from './people/grants.ts'
import { type Client, type Found, type Reply, until, World } from './testing.ts'

type Hit = Readonly<Record<'kind' | 'tenant' | 'id', string>>

/** What a driver did. */
interface Driven {
  /** One signal each, for each effect. */
  readonly hits: readonly Hit[]
  /** Effects the table leaves to the caller. */
  readonly effects?: readonly string[]
  readonly answer?: Reply
  /** Signals that were there before the path was taken; default: before the driver. */
  readonly before?: number
}
type Driver = () => Promise<Driven>

let world: World
let client: Client
let oauth: OAuthWorld
let clients = 0

/** The path whose emissions are planted away: all of them, or one. */
let missing: { readonly path: EndingPath; readonly what: 'all' | 'one' } | null = null
const planted: RaisesOf = (path, facts) => {
  const raises = raisesOf(path, facts)
  if (missing?.path !== path) return raises
  if (missing.what === 'all') return []
  missing = null
  return raises.slice(1)
}

const LIVES = {
  COUNTERSIGN_FAMILY_IDLE: '25m',
  COUNTERSIGN_REFRESH_GRACE: '1ms',
}

beforeAll(async () => {
  world = new World()
  world.raisesOf = planted
  client = await world.start(LIVES)
  oauth = await OAuthWorld.at(client)
})
afterAll(() => world.destroy())

const subject = (id: string): Hit => ({ kind: 'subject', tenant: '', id })
const affiliation = (tenant: string, id: string): Hit => ({ kind: 'affiliation', tenant, id })
const sessionOf = (reply: Reply): Hit => ({ kind: 'session', tenant: '', id: reply.json.session })
const named = (kind: string, id: string): Hit => ({ kind, tenant: '', id })

async function loggedIn(roles: readonly string[] = ['member']) {
  const { name, sub } = await client.person(roles)
  const browser = client.browser()
  const login = await browser.login(name)
  return { name, sub, browser, login, session: sessionOf(login) }
}

/** Somebody who has an authenticator app, and recovery codes with it, and showed the app. */
async function withApp() {
  const { browser, sub, session } = await loggedIn()
  const app = await enrolApp(browser, world.clock)
  expect((await browser.post('/step-up', { code: app.code() })).status).toBe(200)
  await settle()
  const [totp, recovery] = app.handles.map((id) => named('device', id)) as [Hit, Hit]
  return { sub, browser, session, totp, recovery, before: (await world.signals()).length }
}

async function withFamily(scope = 'invoices:read') {
  const { name, sub } = await client.person()
  const tokens = await oauth.tokens(name, oauth.web, { scope })
  return { name, sub, ...tokens, family: named('family', familyIn(tokens.refresh_token)) }
}

function newClient(): Promise<Party> {
  const terms = { authMethod: 'client_secret_basic', introspects: ['billing', 'mail'] }
  return oauth.client({ id: `client-${++clients}`, ...terms })
}

const familyIn = (refreshToken: string) => /^rt_(.+?)\./.exec(refreshToken)?.[1] ?? ''
const claimsIn = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())

// Time passes for identity as the log tells it: with the next checkpoint.
async function expire(): Promise<void> {
  world.clock.offset += 31 * 60_000
  await until(async () => ((await client.identity.sweeper?.sweep()) ?? 0) > 0)
}

/** Copies the store between two lives of identity. */
async function storeCopied(): Promise<string> {
  const copy = `${world.storePath}.${++clients}`
  await client.close()
  copyFileSync(world.storePath, copy)
  await startAgain()
  return copy
}

async function storePutBack(copy: string): Promise<void> {
  await client.close()
  for (const suffix of ['-wal', '-shm']) rmSync(world.storePath + suffix, { force: true })
  copyFileSync(copy, world.storePath)
  await startAgain()
}

async function startAgain(): Promise<void> {
  client = await world.start(LIVES)
  oauth = OAuthWorld.on(client, oauth)
}

// Drivers for each row, one per way it is taken: adding a path without saying how does not compile.
const DRIVERS: Readonly<Record<EndingPath, Readonly<Record<string, Driver>>>> = {
  logout: {
    'log out': async () => {
      const { browser, session } = await loggedIn()
      return { hits: [session], answer: await browser.post('/logout') }
    },
  },
  relogin: {
    'another person logs in': async () => {
      const { browser, session } = await loggedIn()
      await browser.login((await client.person()).name)
      return { hits: [session] }
    },
    're-authentication': async () => {
      const { browser, session } = await loggedIn()
      expect((await browser.post('/reauthenticate', { password: 'canary password 0' })).status).toBe(200)
      return { hits: [session] }
    },
    'step-up': async () => ({ hits: [(await withApp()).session] }),
  },
  session_end: {
    'one session': async () => {
      const { session, name } = await loggedIn()
      const other = client.browser()
      await other.login(name)
      return { hits: [session], answer: await other.send('DELETE', `/v1/sessions/${session.id}`, {}) }
    },
    'one family': async () => {
      const { browser, family } = await withFamily()
      return { hits: [family], answer: await browser.send('DELETE', `/v1/sessions/${family.id}`, {}) }
    },
    'all others': async () => {
      const { name, session } = await loggedIn()
      const { browser, refresh_token } = await oauth.tokens(name)
      const hits = [session, named('family', familyIn(refresh_token))]
      return { hits, answer: await browser.post('/v1/sessions/end-others') }
    },
  },
  sessions_end_all: {
    'end all': async () => {
      const { browser, sub } = await loggedIn()
      return { hits: [subject(sub)], answer: await browser.post('/v1/sessions/end-all') }
    },
  },
  session_end_by_administrator: {
    'a session, by an administrator': async () => {
      const { sub, session } = await loggedIn()
      const { browser } = await loggedIn(['admin'])
      const path = `/v1/subjects/${sub}/sessions/${session.id}`
      return { hits: [session], answer: await browser.send('DELETE', path, {}) }
    },
    'a family, by an operator': async () => {
      const { sub, family } = await withFamily()
      const answer = await client.operate('DELETE', `/v1/subjects/${sub}/sessions/${family.id}`)
      return { hits: [family], answer }
    },
  },
  session_limit: {
    'one administrator session too many': async () => {
      const { name, session } = await loggedIn(['admin'])
      for (let i = 0; i < 3; i++) await client.browser().login(name)
      return { hits: [session] }
    },
    'one family too many': async () => {
      const { name, family } = await withFamily()
      const browser = client.browser()
      await browser.login(name)
      for (let i = 0; i < 20; i++) {
        const exchanged = await oauth.exchange(oauth.web, await oauth.authorize(browser, oauth.web))
        expect(exchanged.status).toBe(200)
      }
      return { hits: [family] }
    },
  },
  reauthentication_forced: {
    'in a tenant, by its administrator': async () => {
      const { sub, family, browser } = await withFamily()
      const own = (await browser.get('/session')).json.session
      const admin = await loggedIn(['admin'])
      const answer = await admin.browser.post(`/v1/subjects/${sub}/reauthenticate`)
      return { hits: [family, named('session', own)], answer }
    },
    'everywhere, by an operator': async () => {
      const { sub } = await loggedIn()
      return { hits: [subject(sub)], answer: await client.operate('POST', `/v1/subjects/${sub}/reauthenticate`) }
    },
  },
  expiry: {
    'a session idle for too long': async () => {
      await loggedIn()
      await expire()
      const before = (await world.signals()).length
      const { session } = await loggedIn()
      await expire()
      return { hits: [session], before }
    },
    'a family idle for too long': async () => {
      await loggedIn()
      await expire()
      const { family, browser } = await withFamily('invoices:read offline_access')
      expect((await browser.post('/logout')).status).toBe(200)
      await settle()
      const before = (await world.signals()).length
      await expire()
      return { hits: [family], before }
    },
  },
  password_reset: {
    'a reset code is used': async () => {
      const { sub } = await loggedIn()
      const { json } = await client.operate('POST', `/v1/subjects/${sub}/password-reset-codes`)
      const body = { code: json.code, password: 'a new password' }
      return { hits: [subject(sub)], answer: await client.browser().post('/password-reset', body) }
    },
  },
  account_suspension: {
    'an operator suspends': async () => {
      const { sub } = await loggedIn()
      return { hits: [subject(sub)], answer: await client.operate('POST', `/v1/subjects/${sub}/suspend`) }
    },
  },
  account_deletion: {
    'an operator deletes': async () => {
      const { sub } = await loggedIn()
      return { hits: [subject(sub)], answer: await client.operate('DELETE', `/v1/subjects/${sub}`) }
    },
  },
  affiliation_suspension: {
    'an administrator suspends': async () => {
      const [{ sub }, { browser }] = [await loggedIn(), await loggedIn(['admin'])]
      return { hits: [affiliation('acme', sub)], answer: await browser.post(`/v1/subjects/${sub}/suspend`) }
    },
  },
  affiliation_removal: {
    'an administrator removes': async () => {
      const [{ sub }, { browser }] = [await loggedIn(), await loggedIn(['admin'])]
      const answer = await browser.send('DELETE', `/v1/affiliations/acme/${sub}`, {})
      return { hits: [affiliation('acme', sub)], answer }
    },
  },
  role_change: {
    'roles that grant less': async () => {
      const { sub } = await loggedIn()
      const answer = await client.operate('PUT', `/v1/affiliations/acme/${sub}/roles`, { roles: ['viewer'] })
      const effects = ['scope:emails:send', 'scope:invoices:export', 'scope:reports:build']
      expect(effects).toEqual(removedScopes(['member'], ['viewer']).map((scope) => `scope:${scope}`))
      return { hits: [affiliation('acme', sub)], effects, answer }
    },
  },
  device_loss: {
    'a device is given up': async () => {
      const { browser } = await loggedIn()
      const { device } = (await browser.get('/v1/devices')).json.devices[0]
      return { hits: [named('device', device)], answer: await browser.post(`/v1/devices/${device}/lost`) }
    },
  },
  factor_removal: {
    'the last, and recovery codes with it': async () => {
      const { browser, totp, recovery, before } = await withApp()
      return { hits: [totp, recovery], answer: await browser.send('DELETE', `/v1/factors/${totp.id}`, {}), before }
    },
    'recovery codes alone': async () => {
      const { browser, recovery, before } = await withApp()
      return { hits: [recovery], answer: await browser.send('DELETE', `/v1/factors/${recovery.id}`, {}), before }
    },
  },
  factors_removal_by_administrator: {
    'by an administrator of all their tenants': async () => {
      const { sub, totp, recovery, before } = await withApp()
      const { browser } = await loggedIn(['admin'])
      const answer = await browser.send('DELETE', `/v1/subjects/${sub}/factors`, {})
      return { hits: [totp, recovery, subject(sub)], answer, before }
    },
  },
  client_disable: {
    'an operator disables': async () => {
      const { id } = await newClient()
      return { hits: [named('client', id)], answer: await client.operate('POST', `/v1/clients/${id}/disable`) }
    },
  },
  client_secret_rotation: {
    'an operator rotates the secret': async () => {
      const { id } = await newClient()
      return { hits: [named('client', id)], answer: await client.operate('POST', `/v1/clients/${id}/secret`) }
    },
  },
  client_narrowing: {
    'an operator takes something': async () => {
      const { id } = await newClient()
      const answer = await client.operate('PATCH', `/v1/clients/${id}`, { introspects: ['mail'] })
      return { hits: [named('client', id)], answer }
    },
  },
  key_compromise: {
    'an operator gives up a key of tokens': async () => {
      const { id } = (await client.operate('GET', '/v1/keys')).json.keys.at(-1)
      return { hits: [named('client', `key:${id}`)], answer: await client.operate('POST', `/v1/keys/${id}/compromise`) }
    },
  },
  token_revocation: {
    'an access token is given back': async () => {
      const { access_token } = await withFamily()
      expect((await oauth.revoke(access_token)).status).toBe(200)
      return { hits: [named('token', claimsIn(access_token).jti)] }
    },
    'a refresh token is given back': async () => {
      const { refresh_token, family } = await withFamily()
      expect((await oauth.revoke(refresh_token)).status).toBe(200)
      return { hits: [family] }
    },
  },
  token_reuse: {
    'a refresh token comes back': async () => {
      const { refresh_token, family } = await withFamily()
      const next = (await oauth.refresh(refresh_token)).json.refresh_token
      expect((await oauth.refresh(next)).status).toBe(200)
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect((await oauth.refresh(refresh_token)).status).toBe(400)
      return { hits: [family] }
    },
  },
  family_rollback: {
    'a store from before a rotation': async () => {
      const { refresh_token, family } = await withFamily()
      const copy = await storeCopied()
      const { status, json } = await oauth.refresh(refresh_token)
      expect(status).toBe(200)
      await storePutBack(copy)
      expect((await oauth.refresh(json.refresh_token)).status).toBe(400)
      return { hits: [family] }
    },
  },
  code_reuse: {
    'a code comes back': async () => {
      const { browser } = await loggedIn()
      const code = await oauth.authorize(browser, oauth.web)
      const { refresh_token } = (await oauth.exchange(oauth.web, code)).json
      expect((await oauth.exchange(oauth.web, code)).status).toBe(400)
      return { hits: [named('family', familyIn(refresh_token))] }
    },
  },
  revocation: {
    'by name': async () => {
      const id = `fam_${++clients}`
      const body = { target: { kind: 'family', id }, reason: 'token_reuse' }
      const answer = await client.operate('POST', '/v1/revocations', body)
      return { hits: [named('family', id)], effects: ['reason:token_reuse'], answer }
    },
  },
  store_rollback: {
    'a store from before': async () => {
      const { storePath } = world
      const { name } = await client.person()
      await client.close()
      copyFileSync(storePath, `${storePath}.backup`)
      const later = await world.start(LIVES)
      const lost = { target: { kind: 'token', id: `tok_${++clients}` }, reason: 'admin' }
      // Not by a path that may be planted away.
      await later.operate('POST', '/v1/revocations', lost)
      await later.close()
      for (const suffix of ['-wal', '-shm']) rmSync(storePath + suffix, { force: true })
      copyFileSync(`${storePath}.backup`, storePath)
      const before = (await world.signals()).length
      client = await world.start(LIVES, (log) => {
        log.hidden = () => true
      })
      await client.login(name)
      return { hits: [{ kind: 'tenant', tenant: 'acme', id: '' }], before }
    },
  },
}

let sentinels = 0

/** Waits until all that was raised so far is on the log: rows are delivered in order. */
async function settle(): Promise<void> {
  const target = { kind: 'transaction', id: `sentinel_${++sentinels}` }
  expect((await client.operate('POST', '/v1/revocations', { target, reason: 'admin' })).json.state).toBe('acknowledged')
}

/** Takes a path, and finds what it raised. */
async function drive(driver: Driver): Promise<{ driven: Driven; found: Found[] }> {
  const start = (await world.signals()).length
  const driven = await driver()
  await settle()
  const all = (await world.signals()).slice(driven.before ?? start)
  return { driven, found: all.filter(({ signal }) => !signal.target.id.startsWith('sentinel_')) }
}

/** @throws {AssertionError} unless the signals found are exactly those the row names. */
function judge(name: EndingPath, { hits, effects, answer }: Driven, found: readonly Found[]): void {
  const row: EndingRow = ENDINGS[name]
  // A rolled-back store concerns every tenant.
  const mine = name === 'store_rollback' ? found.filter(({ signal }) => signal.target.tenant === 'acme') : found
  const fixed = row.effect === 'removed scopes' || row.effect === 'as asked' ? [] : [`reason:${row.effect}`]
  const expected = hits.flatMap((hit) => (effects ?? fixed).map((effect) => ({ ...hit, effect })))
  const raised = mine.map(({ signal }) => ({ ...signal.target, effect: signal.effect }))
  expect(raised.map(text).sort()).toEqual(expected.map(text).sort())
  for (const { signal } of mine) {
    expect(row.kinds).toContain(signal.target.kind)
    expect(signal.fallback).toBe(name === 'revocation' ? 'token_reuse' : row.fallback)
    expect(signal.cause).toBe(name)
  }
  if (!answer) return
  expect([answer.status, answer.json.state]).toEqual([200, 'acknowledged'])
  expect(answer.json.seq).toBe(mine.at(-1)?.signal.seq)
  expect(answer.json.position.offset).toBe(mine.at(-1)?.offset)
}

const text = (of: object) => JSON.stringify(Object.entries(of).sort())

it('revokes every kind of target for every reason, one signal each, and scopes from affiliations alone', async () => {
  const before = (await world.signals()).length
  const asked: string[] = []
  for (const [i, kind] of TARGET_KINDS.entries()) {
    const tenant = kind === 'tenant' || kind === 'affiliation' ? { tenant: 'gamma' } : {}
    const id = kind === 'tenant' ? {} : { id: `${kind}_1` }
    const reasons = i === 0 ? REASONS : REASONS.slice(0, 2)
    for (const reason of reasons) {
      const answer = await client.operate('POST', '/v1/revocations', {
        target: { kind, ...tenant, ...id },
        reason,
        cause: 'drill',
      })
      expect(answer.json.state).toBe('acknowledged')
      asked.push(`${kind} reason:${reason}`)
    }
    const scoped = await client.operate('POST', '/v1/revocations', {
      target: { kind, ...tenant, ...id },
      effect: 'scope:payments:run',
    })
    expect(scoped.status).toBe(kind === 'affiliation' ? 200 : 406)
    if (kind === 'affiliation') asked.push(`${kind} scope:payments:run`)
  }
  const found = (await world.signals()).slice(before)
  expect(found.map(({ signal }) => `${signal.target.kind} ${signal.effect}`)).toEqual(asked)
  expect(
    found.filter(({ signal }) => signal.cause !== 'revocation:drill' && !signal.effect.startsWith('scope:')),
  ).toEqual([])
})

for (const [name, row] of Object.entries(ENDINGS) as [EndingPath, EndingRow][]) {
  // A store is put back here by its file; test/e2e/14-store-rollback puts back a Redis.
  const elsewhere = name.endsWith('_rollback') && World.redisUrl !== null
  describe.skipIf(elsewhere)(`${name}: ${row.when}`, () => {
    it('gives a reason that a reader without this effect comes to as well', () => {
      if (row.effect !== 'removed scopes' && row.effect !== 'as asked') expect(row.fallback).toBe(row.effect)
    })

    const hit = new Set<string>()
    for (const [way, driver] of Object.entries(DRIVERS[name])) {
      it(`${way}: exactly the signals its row names`, async () => {
        const { driven, found } = await drive(driver)
        judge(name, driven, found)
        for (const { kind } of driven.hits) hit.add(kind)
        if (name !== 'store_rollback') return
        const tenants = found.map(({ signal }) => signal.target.tenant)
        expect(tenants).toContain('beta')
        expect(new Set(tenants).size).toBe(tenants.length)
      })

      it(`${way}: a missing emission is noticed`, async () => {
        missing = { path: name, what: 'all' }
        const none = await drive(driver).finally(() => {
          missing = null
        })
        expect(none.found).toEqual([])
        expect(() => judge(name, none.driven, none.found)).toThrow()
        const signals = none.driven.hits.length * (none.driven.effects?.length ?? 1)
        if (signals === 1) return
        missing = { path: name, what: 'one' }
        const fewer = await drive(driver)
        expect(missing).toBeNull()
        expect(fewer.found).toHaveLength(signals - 1)
        expect(() => judge(name, fewer.driven, fewer.found)).toThrow()
      })
    }

    it('is driven at every kind of target it hits', () => {
      if (name !== 'revocation') expect([...hit].sort()).toEqual([...row.kinds].sort())
    })
  })
}
