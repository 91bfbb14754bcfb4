import { journeyLog } from '@countersign/journey'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import type { Account, Affiliation, SessionStore } from '@countersign/session-store'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import { expect, it } from 'vitest'
import { GRANTS } from '../people/grants.ts'
import { Logins } from './logins.ts'
import type { Sessions } from './sessions.ts'

const hash = { salt: Buffer.alloc(16), hash: Buffer.alloc(32), n: 2, r: 8, p: 1 }
const account: Account = {
  sub: 'sub_ann',
  principal: 'user',
  email: 'ann@example.test',
  password: hash,
  state: 'active',
  revision: 1,
  createdAt: 0,
}
const place: Affiliation = { tenant: 'acme', sub: 'sub_ann', roles: ['member'], state: 'active', revision: 1 }

/** Logs in against one account, or none; notes what was looked at. */
async function login({ found, matches, wait = 0 }: { found: Account | null; matches: boolean; wait?: number }) {
  const done: string[] = []
  const store = {
    admitAttempt: async ({ keys }: { keys: readonly { key: string }[] }) => {
      done.push(`admit ${keys.length}`)
      for (const { key } of keys) expect(key).not.toContain('ann')
      return wait
    },
    settleAttempt: async () => {},
    accountByEmail: async () => {
      done.push('look up')
      return found
    },
    affiliationsOf: async () => [place],
  } as unknown as SessionStore
  const random = new SeededRandom(1)
  const logins = new Logins({
    store,
    sessions: {
      known: async () => null,
      begin: async () => ({ ok: false, code: 'account_changed' }),
    } as unknown as Sessions,
    view: { floors: () => [], outboxSeq: 0, started: true, keyInForce: true },
    passwords: {
      hash: async () => hash,
      verify: async (_, against) => {
        done.push('verify')
        return matches && against !== null
      },
      load: 0,
    },
    clock: new FakeClock(),
    random,
    metrics: createMetrics(),
    journey: journeyLog(silentLogger),
    grants: GRANTS,
  })
  const request = { email: 'ann@example.test', password: 'x', tenant: null, source: '192.0.2.1', replacing: [] }
  return { result: await logins.login({ ...request, browser: null }), done }
}

it('does the same work and says the same for an unknown, suspended, voided and wrongly answered account', async () => {
  const cases = [
    { found: null, matches: false },
    { found: account, matches: false },
    { found: { ...account, state: 'suspended' as const }, matches: true },
    { found: { ...account, state: 'deleted' as const }, matches: true },
    { found: { ...account, password: null }, matches: true },
    { found: { ...account, principal: 'service' as const, password: null }, matches: true },
  ]
  for (const one of cases) {
    const { result, done } = await login(one)
    expect(result).toEqual({ ok: false, code: 'login_failed' })
    expect(done).toEqual(['admit 2', 'look up', 'verify'])
  }
})

it('says of an account changed between check and beginning what it says of a wrong password', async () => {
  expect((await login({ found: account, matches: true })).result).toEqual({ ok: false, code: 'login_failed' })
})

it('looks at no password while a guess is slowed', async () => {
  const { result, done } = await login({ found: account, matches: true, wait: 1_000 })
  expect(result).toEqual({ ok: false, code: 'login_slowed', retryAfterMs: 1_000 })
  expect(done).toEqual(['admit 2'])
})
