import { createHash } from 'node:crypto'
import { journeyLog } from '@countersign/journey'
import { FakeClock } from '@countersign/kernel/testing'
import type { Client, Session } from '@countersign/session-store'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import { expect, it } from 'vitest'
import { GRANTS } from '../people/grants.ts'
import { SESSION_KINDS } from '../sessions/kinds.ts'
import { CodeGrant, type CodeGrantOptions } from './code.ts'
import type { PreparedGrant } from './grant.ts'
import { readParameters } from './parameters.ts'

const VERIFIER = 'v'.repeat(43)
const client = {
  id: 'app',
  redirectUris: ['https://app.example.test/'],
  grants: ['authorization_code', 'refresh_token'],
  scopes: ['invoices:read', 'offline_access'],
  audiences: ['billing'],
  tokenFormat: 'jwt',
  revision: 1,
} as unknown as Client
const session = { handle: 'ses_1', sub: 'sub_1', tenant: 'acme', targets: [] } as unknown as Session
const family = { ...session, handle: 'fam_1', scope: client.scopes, refresh: { keyId: 'k' } } as unknown as Session

/** Exchanges a code; `meanwhile` runs as the family begins. */
async function exchange(meanwhile: (now: { authorised: Session | null; client: Client }) => void): Promise<unknown> {
  const now = { authorised: session as Session | null, client }
  const code = {
    client: 'app',
    redirectUri: 'https://app.example.test/',
    challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
    session: 'ses_1',
    scope: client.scopes,
    audience: ['billing'],
    expiresAt: Number.MAX_SAFE_INTEGER,
    usedFor: null,
  }
  const grant = new CodeGrant({
    store: {
      code: async () => code,
      session: async () => now.authorised,
      client: async () => now.client,
      resolveHandle: async () => ({ session: family, account: {}, roles: ['member'], scopeVersion: 1 }),
    },
    families: {
      begin: async () => {
        meanwhile(now)
        return { ok: true, session: family, ended: [] }
      },
    },
    accessTokens: { issue: async () => ({ text: 'at', token: { ...family, scopes: [] }, expiresInS: 1 }) },
    refreshTokens: { format: () => 'rt' },
    view: { floors: () => [], outboxSeq: 0, started: true, keyInForce: true },
    clock: new FakeClock(),
    logger: silentLogger,
    metrics: createMetrics(),
    journey: journeyLog(silentLogger),
    grants: GRANTS,
    kinds: SESSION_KINDS,
  } as unknown as CodeGrantOptions)
  const asked = { code: 'ac_x', redirect_uri: code.redirectUri, code_verifier: VERIFIER }
  const parameters = readParameters(new URLSearchParams(asked).toString())
  if (parameters === null) throw new Error('no form')
  const answer = await (grant.prepare(parameters) as PreparedGrant).begin()
  const request = { id: 'r', authorization: undefined, parameters, source: '::1', began: 0 }
  const result = await answer(client, request)
  return 'error' in result ? result.error : result.response.refresh_token
}

it('gives nothing when what it was authorised by ends as the family begins, which nothing else would tell of', async () => {
  expect(await exchange(() => {})).toBe('rt')
  expect(
    await exchange((now) => {
      now.authorised = null
    }),
  ).toBe('invalid_grant')
  expect(
    await exchange((now) => {
      now.client = { ...client, revision: 2 }
    }),
  ).toBe('invalid_grant')
})
