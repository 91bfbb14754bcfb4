import { systemClock } from '@countersign/kernel'
import { type Session, SessionStoreError } from '@countersign/session-store'
import { expect, it } from 'vitest'
import type { Answer } from '../answers.ts'
import type { ClientsAsking, OAuthRequest } from './asking.ts'
import { readParameters } from './parameters.ts'
import { Revocations } from './revocation.ts'

const id = '00000000-0000-4000-8000-000000000000'
const family = { handle: 'fam_1', kind: 'family', client: 'web', tenant: 'acme', sub: 'sub_1' } as unknown as Session
const parameters = readParameters('token=rt')
if (parameters === null) throw new Error('no parameters')
const request: OAuthRequest = { id, authorization: undefined, parameters, source: '::1', began: 0 }
const away = new SessionStoreError({
  code: 'SESSION_STORE_UNAVAILABLE',
  retriable: true,
  publicMessage: 'away',
  outcome: 'none',
})

function revocations(answer: Answer, session: () => Promise<Session | null> = async () => family): Revocations {
  return new Revocations({
    store: { session },
    asking: {
      by: async (_: OAuthRequest, begin: () => Promise<unknown>) => ({ client: { id: 'web' }, read: await begin() }),
    } as unknown as ClientsAsking,
    authority: { end: async () => answer },
    accessTokens: { resolve: async () => null },
    transactionTokens: { resolve: async () => null },
    refreshTokens: { parse: () => ({ handle: 'fam_1', generation: 1, mac: Buffer.alloc(32) }), isGenuine: () => true },
    clock: systemClock,
  })
}

it.each<[Answer, string | null]>([
  [{ state: 'acknowledged', id, seq: 1, position: null }, null],
  [{ state: 'pending', id, seq: 1 }, null],
  [{ state: 'refused', id, code: 'session_unknown' }, null],
  [{ state: 'refused', id, code: 'store_unavailable' }, 'temporarily_unavailable'],
  [{ state: 'refused', id, code: 'store_behind_log' }, 'temporarily_unavailable'],
  [{ state: 'refused', id, code: 'view_starting' }, 'temporarily_unavailable'],
  [{ state: 'unknown', id }, 'temporarily_unavailable'],
])('CVE-2020-15223: says done only of what is: %o', async (answer, error) => {
  expect((await revocations(answer).answer(request))?.error ?? null).toBe(error)
})

it('CVE-2020-15223: a store that cannot be read is no token that is unknown', async () => {
  const read = async (): Promise<never> => {
    throw away
  }
  await expect(revocations({ state: 'unknown', id }, read).answer(request)).rejects.toBe(away)
})
