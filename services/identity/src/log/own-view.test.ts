import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { type FloorEntry, target, targetKey } from '@countersign/revocation'
import type { ResolvedSession, SessionStore } from '@countersign/session-store'
import { expect, it } from 'vitest'
import type { Authority } from '../authority.ts'
import { SESSION_KINDS } from '../sessions/kinds.ts'
import { Sessions } from '../sessions/sessions.ts'
import { highestFloor, type OwnView, scopesLeft, seenVersions } from './own-view.ts'

const ann = target('subject', 'sub_ann')

function viewOf(floors: readonly Omit<FloorEntry, 'lower' | 'fallback'>[]): OwnView {
  const key = targetKey(ann)
  const entries = floors.map((floor) => ({ ...floor, lower: 0, fallback: 'admin' as const }))
  return { floors: (asked) => (key.equals(asked) ? entries : []), outboxSeq: 0, started: true, keyInForce: true }
}

it('takes the highest floor of any effect, 0 where the log has shown none', () => {
  const view = viewOf([
    { effect: 'scope:x', higher: 30 },
    { effect: 'reason:admin', higher: 20 },
  ])
  expect(highestFloor(view, ann)).toBe(30)
  expect(seenVersions(view, [ann, target('subject', 'sub_bob')]).map((seen) => seen.version)).toEqual([30, 0])
})

it('leaves no scope that the log has taken since the store read its roles', () => {
  const view = viewOf([
    { effect: 'scope:x', higher: 30 },
    { effect: 'reason:admin', higher: 30 },
  ])
  expect(scopesLeft(view, ann, 29, ['w', 'x'])).toEqual(['w'])
  expect(scopesLeft(view, ann, 30, ['w', 'x'])).toEqual(['w', 'x'])
  expect(scopesLeft(view, target('subject', 'sub_bob'), 0, ['x'])).toEqual(['x'])
})

it('knows no session that the log has ended, whatever the store says', async () => {
  const session = {
    handle: 'ses_1',
    kind: 'browser' as const,
    client: null,
    act: [],
    parent: null,
    scope: null,
    newDevice: false,
    refresh: null,
    sub: 'sub_ann',
    tenant: 'acme',
    device: null,
    createdAt: 10,
    lastSeenAt: new FakeClock().now(),
    idleExpiresAt: 1e15,
    absoluteExpiresAt: 1e15,
    authTime: 10,
    amr: [],
    acr: null,
    targets: [{ ...ann, version: 10 }],
  }
  const resolved: ResolvedSession = {
    session,
    account: { sub: 'sub_ann', email: 'a', principal: 'user' },
    roles: [],
    scopeVersion: 10,
  }
  const random = new SeededRandom(1)
  const known = (floors: Parameters<typeof viewOf>[0]) =>
    new Sessions({
      store: { resolveSession: async () => resolved } as unknown as SessionStore,
      view: viewOf(floors),
      authority: {} as Authority,
      delivery: { kick: () => {} },
      clock: new FakeClock(),
      random,
      kinds: SESSION_KINDS,
      grants: {},
      repair: async () => {},
    }).known({ as: 'cookie', value: random.bytes(32).toString('base64url') })
  expect(await known([])).not.toBeNull()
  expect(await known([{ effect: 'reason:suspension', higher: 10 }])).not.toBeNull()
  expect(await known([{ effect: 'scope:x', higher: 11 }])).not.toBeNull()
  expect(await known([{ effect: 'reason:suspension', higher: 11 }])).toBeNull()
  expect(await known([{ effect: 'reason:not_known_here', higher: 11 }])).toBeNull()
})
