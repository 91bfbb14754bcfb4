import { journeyLog } from '@countersign/journey'
import { FakeClock } from '@countersign/kernel/testing'
import { target } from '@countersign/revocation'
import {
  type Ended,
  type Refused,
  type Revocation,
  type SessionStore,
  SessionStoreError,
} from '@countersign/session-store'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import { expect, it } from 'vitest'
import { idText } from './answers.ts'
import { Authority } from './authority.ts'

const id = Buffer.alloc(16, 7)
const run = {
  id,
  request: Buffer.alloc(32),
  initiator: 'operator:ops',
  tenant: null,
  change: { kind: 'none' },
  facts: { target: target('token', 'tok_1'), effect: 'reason:admin' },
} as const
const position = { log_id: 'log', offset: 4 }
const pending: Revocation = { ...run, cause: 'revocation', seqs: [9], state: 'pending', position: null, createdAt: 1 }
const acknowledged: Revocation = { ...pending, state: 'acknowledged', position }

function away(outcome: 'none' | 'unknown'): Promise<never> {
  const parts = { code: 'SESSION_STORE_UNAVAILABLE', retriable: true, publicMessage: 'away' } as const
  return Promise.reject(new SessionStoreError({ ...parts, outcome }))
}

async function answer(store: { end: () => Promise<Ended | Refused>; revocation?: () => Promise<Revocation | null> }) {
  let repairs = 0
  const authority = new Authority({
    store: store as unknown as SessionStore,
    view: { floors: () => [], outboxSeq: 0, started: true, keyInForce: true },
    delivery: { settled: async () => true, kick: () => {} },
    clock: new FakeClock(),
    logger: silentLogger,
    metrics: createMetrics(),
    journey: journeyLog(silentLogger),
    ackDeadlineMs: 1000,
    repair: async () => {
      repairs++
    },
  })
  return { given: await authority.end('revocation', run), repairs }
}

it('answers acknowledged only with a position the store has', async () => {
  const end = async () => ({ revocation: pending, repeated: false })
  const { given } = await answer({ end, revocation: async () => acknowledged })
  expect(given).toEqual({ state: 'acknowledged', id: idText(id), seq: 9, position })
  expect((await answer({ end, revocation: async () => pending })).given).toEqual({
    state: 'pending',
    id: idText(id),
    seq: 9,
  })
})

it('stays with pending when the store goes away after the commit', async () => {
  const end = async () => ({ revocation: pending, repeated: false })
  expect((await answer({ end, revocation: () => away('none') })).given.state).toBe('pending')
})

it('answers refused when nothing happened, unknown when it may have', async () => {
  expect((await answer({ end: () => away('none') })).given).toEqual({
    state: 'refused',
    id: idText(id),
    code: 'store_unavailable',
  })
  expect((await answer({ end: () => away('unknown') })).given).toEqual({ state: 'unknown', id: idText(id) })
  expect((await answer({ end: async () => ({ refused: 'id_reused' }) })).given).toMatchObject({
    state: 'refused',
    code: 'id_reused',
  })
})

it('repairs a store that is behind its log once, then asks again', async () => {
  const behind = await answer({ end: async () => ({ refused: 'store_behind_log' }) })
  expect([behind.given.state, behind.repairs]).toEqual(['refused', 1])
  let asked = 0
  const end = async (): Promise<Ended | Refused> =>
    asked++ === 0 ? { refused: 'store_behind_log' } : { revocation: acknowledged, repeated: false }
  expect((await answer({ end })).given.state).toBe('acknowledged')
})
