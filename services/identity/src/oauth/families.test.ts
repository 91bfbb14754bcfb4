import { systemRandom } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { type Client, type Session, SessionStoreError } from '@countersign/session-store'
import { expect, it } from 'vitest'
import type { Beginning, Begun } from '../sessions/sessions.ts'
import { Families } from './families.ts'

const clock = new FakeClock()
const client = { id: 'app', name: 'App', sessionKind: 'family', grants: ['refresh_token'] } as unknown as Client
const authorised = {
  handle: 'ses_1',
  sub: 'sub_1',
  tenant: 'acme',
  device: 'dev_1',
  authTime: 1,
  amr: ['pwd'],
  acr: null,
  absoluteExpiresAt: clock.now() + 9,
  targets: ['dev_1', 'fac_1'].map((id) => ({ kind: 'device', tenant: '', id, version: 1 })),
} as unknown as Session
const begun: Begun = { ok: true, session: authorised, ended: [] }

function away(outcome: 'none' | 'unknown'): SessionStoreError {
  const parts = { code: 'SESSION_STORE_UNAVAILABLE', retriable: true, publicMessage: 'away' } as const
  return new SessionStoreError({ ...parts, outcome })
}

function families(...answers: (Begun | Error)[]): { families: Families; asked: Beginning[] } {
  const asked: Beginning[] = []
  const begin = async (beginning: Beginning): Promise<Begun> => {
    asked.push(beginning)
    const answer = answers.shift() ?? begun
    if (answer instanceof Error) throw answer
    return answer
  }
  const refreshTokens = { begin: () => ({ keyId: 'k', nonce: systemRandom.bytes(16) }) }
  return {
    families: new Families({ sessions: { begin }, refreshTokens, clock, random: systemRandom, unrefreshedMs: 5 }),
    asked,
  }
}

const how = { scope: ['a'], codeHash: Buffer.alloc(32) }

it('asks with the same family again when it may have begun, and only then', async () => {
  const unknown = families(away('unknown'))
  expect(await unknown.families.begin(client, authorised, how)).toBe(begun)
  expect(unknown.asked).toHaveLength(2)
  expect(unknown.asked[1]).toEqual(unknown.asked[0])
  const none = families(away('none'))
  await expect(none.families.begin(client, authorised, how)).rejects.toThrow()
  expect(none.asked).toHaveLength(1)
})

it('binds a family to the session it is from, unless it may be offline; and to its one token, unless it may refresh', async () => {
  const { families: all, asked } = families()
  await all.begin(client, authorised, how)
  await all.begin(client, authorised, { ...how, scope: ['a', 'offline_access'] })
  await all.begin({ ...client, grants: ['authorization_code'] }, authorised, how)
  await all.begin({ ...client, sessionKind: 'device' }, authorised, how)
  const now = clock.now()
  expect(
    asked.map(({ parent, notAfter, device }) => [
      parent,
      notAfter,
      device?.secretHash === null ? device.handle : device?.name,
    ]),
  ).toEqual([
    ['ses_1', now + 9, 'dev_1'],
    [null, Number.POSITIVE_INFINITY, 'dev_1'],
    ['ses_1', now + 5, 'dev_1'],
    ['ses_1', now + 9, 'App'],
  ])
  // What ends with the factor it was begun with, ends so by whatever client.
  for (const { factor } of asked) expect(factor).toEqual({ handle: 'fac_1', use: null })
})
