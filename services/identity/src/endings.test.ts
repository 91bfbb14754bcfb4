import { copyFileSync, rmSync } from 'node:fs'
import { REASONS, TARGET_KINDS } from '@countersign/revocation'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ENDINGS, type EndingPath, type EndingRow } from './endings.ts'
import { removedScopes } from './grants.ts'
import { type Client, type Reply, until, World } from './testing.ts'

// One driver per row: adding a path without saying how it is taken does not compile.
interface Driven {
  readonly target: { kind: string; tenant: string; id: string }
  /** Effects the table leaves to the caller. */
  readonly effects?: readonly string[]
  readonly answer?: Reply
}
type Driver = (client: Client, world: World) => Promise<Driven>

let world: World
let client: Client
beforeAll(async () => {
  world = new World()
  client = await world.start()
})
afterAll(() => world.destroy())

const subject = (id: string) => ({ kind: 'subject', tenant: '', id })
const affiliation = (tenant: string, id: string) => ({ kind: 'affiliation', tenant, id })
const session = (reply: Reply) => ({ kind: 'session', tenant: '', id: reply.json.session as string })

const DRIVERS: Readonly<Record<EndingPath, Driver>> = {
  logout: async (browser) => {
    const login = await browser.login('bob')
    return { target: session(login), answer: await browser.post('/logout') }
  },
  relogin: async (browser) => {
    const login = await browser.login('eve')
    await browser.login('ann')
    return { target: session(login) }
  },
  expiry: async (browser, { clock }) => {
    const expire = async (): Promise<void> => {
      clock.offset += 31 * 60_000
      // Time passes for identity as the log tells it: with the next checkpoint.
      await until(async () => ((await browser.identity.sweeper?.sweep()) ?? 0) > 0)
    }
    await browser.browser().login('bob')
    await expire()
    before = (await world.signals()).length
    const login = await browser.login('fay')
    await expire()
    return { target: session(login) }
  },
  password_reset: async (browser) => {
    await browser.login('gus')
    const { json } = await browser.operate('POST', '/v1/subjects/sub_gus/password-reset-codes')
    const body = { code: json.code, password: 'a new password' }
    return { target: subject('sub_gus'), answer: await browser.browser().post('/password-reset', body) }
  },
  account_suspension: async (browser) => ({
    target: subject('sub_hal'),
    answer: await browser.operate('POST', '/v1/subjects/sub_hal/suspend'),
  }),
  account_deletion: async (browser) => ({
    target: subject('sub_ida'),
    answer: await browser.operate('DELETE', '/v1/subjects/sub_ida'),
  }),
  affiliation_suspension: async (browser) => {
    await browser.login('ann')
    return { target: affiliation('acme', 'sub_dan'), answer: await browser.post('/v1/subjects/sub_dan/suspend') }
  },
  affiliation_removal: async (browser) => {
    await browser.login('ann')
    return {
      target: affiliation('acme', 'sub_bob'),
      answer: await browser.send('DELETE', '/v1/affiliations/acme/sub_bob', {}),
    }
  },
  role_change: async (browser) => {
    const answer = await browser.operate('PUT', '/v1/affiliations/acme/sub_joe/roles', { roles: ['viewer'] })
    const effects = ['scope:emails:send', 'scope:invoices:export', 'scope:reports:build']
    expect(effects).toEqual(removedScopes(['member'], ['viewer']).map((scope) => `scope:${scope}`))
    return { target: affiliation('acme', 'sub_joe'), effects, answer }
  },
  revocation: async (browser) => {
    const body = { target: { kind: 'family', id: 'fam_1' }, reason: 'token_reuse' }
    const answer = await browser.operate('POST', '/v1/revocations', body)
    return { target: { kind: 'family', tenant: '', id: 'fam_1' }, effects: ['reason:token_reuse'], answer }
  },
  store_rollback: async (browser, { storePath }) => {
    await browser.close()
    copyFileSync(storePath, `${storePath}.backup`)
    const later = await world.start()
    await later.operate('POST', '/v1/revocations', { target: { kind: 'token', id: 'tok_1' }, reason: 'admin' })
    await later.close()
    for (const suffix of ['-wal', '-shm']) rmSync(storePath + suffix, { force: true })
    copyFileSync(`${storePath}.backup`, storePath)
    before = (await world.signals()).length
    const restored = await world.start({}, (log) => {
      log.hidden = () => true
    })
    await restored.login('eve')
    await until(async () => (await world.signals()).length >= before + 2)
    return { target: { kind: 'tenant', tenant: 'acme', id: '' } }
  },
}
let before = 0

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
  it(`${name}: ${row.when} — exactly the signals its row names`, async () => {
    before = (await world.signals()).length
    const { target, effects, answer } = await DRIVERS[name](client.browser(), world)
    const all = (await world.signals()).slice(before)
    // A rolled-back store concerns every tenant.
    const found = name === 'store_rollback' ? all.filter(({ signal }) => signal.target.tenant === 'acme') : all
    if (name === 'store_rollback')
      expect(new Set(all.map(({ signal }) => signal.target.tenant))).toEqual(new Set(['acme', 'beta']))
    // A reader that knows reasons but not this effect must come to the same one.
    if (row.effect !== 'removed scopes' && row.effect !== 'as asked') expect(row.fallback).toBe(row.effect)
    const fixed = row.effect === 'removed scopes' || row.effect === 'as asked' ? [] : [`reason:${row.effect}`]
    expect(found.map(({ signal }) => signal.effect)).toEqual(effects ?? fixed)
    for (const { signal } of found) {
      expect(signal.target).toEqual(target)
      expect(row.kinds).toContain(signal.target.kind)
      expect(signal.fallback).toBe(name === 'revocation' ? 'token_reuse' : row.fallback)
      expect(signal.cause).toBe(name)
    }
    if (!answer) return
    expect([answer.status, answer.json.state]).toEqual([200, 'acknowledged'])
    expect(answer.json.seq).toBe(found.at(-1)?.signal.seq)
    expect(answer.json.position.offset).toBe(found.at(-1)?.offset)
  })
}
