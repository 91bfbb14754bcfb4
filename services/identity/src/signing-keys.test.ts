/** Which keys may be given up, when several are asked for at once or the log is slow to say so. */
import { randomUUID } from 'node:crypto'
import { KeyRing } from '@countersign/envelope'
import { millis } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import { type Target, targetKey } from '@countersign/revocation'
import type { KeyGrant, TrustBundle } from '@countersign/schemas'
import type { Revocation } from '@countersign/session-store'
import { beforeEach, expect, it } from 'vitest'
import { parseId } from './answers.ts'
import { SigningKeys, type SigningKeysOptions } from './signing-keys.ts'

let keys: SigningKeys
let ended: string[]
let asked: Map<string, string>
const by = (id: string | null = null) => ({ id: id === null ? null : parseId(id), initiator: 'operator:ops' })

beforeEach(() => {
  const clock = new FakeClock()
  const names = ['signal', 'signal-2', 'checkpoint-1', 'checkpoint-2', 'api']
  const grants = names.map(
    (key_id, i): KeyGrant => ({
      ...{ key_id, public_key: Buffer.alloc(32, i + 1), tenants: ['*'], topics: ['*'] },
      ...{ use: key_id === 'api' ? 'envelope' : (key_id.split('-')[0] as KeyGrant['use']) },
      ...{ not_before: 0, not_after: clock.now() + 1e9 },
    }),
  )
  const bundle: TrustBundle = {
    ...{ version: 1, log_id: 'log_1', predecessor: null, issued_at: 0, expires_at: clock.now() + 1e9 },
    ...{ window_ms: 1e6, max_staleness_ms: 1e4, checkpoint_interval_ms: 1e3, keys: grants },
  }
  const ring = new KeyRing(bundle)
  ended = []
  asked = new Map()
  keys = new SigningKeys({
    // Nothing of it comes back over the log: whoever asks next must not depend on that.
    view: { floors: () => [], ring: () => ring, fresh: true, outboxSeq: 0, started: true, keyInForce: true },
    store: { target: async (target) => ({ target, version: 0, endedBelow: ended.includes(idOf(target)) ? 1 : 0 }) },
    authority: {
      end: async (_path, { id, facts }) => {
        await Promise.resolve()
        ended.push(idOf(facts.target))
        return { state: 'pending', id: Buffer.from(id).toString('hex'), seq: 1 }
      },
      status: async (id) => {
        const cause = asked.get(id.toString('hex'))
        return cause === undefined ? null : ({ id, cause, seqs: [1], state: 'acknowledged' } as unknown as Revocation)
      },
    } as SigningKeysOptions['authority'],
    tokenKeys: { published: [], giveUp: async () => {} },
    ...{ clock, random: new SeededRandom(1), withdrawnWithinMs: millis(0) },
  })
})

function idOf(target: Target): string {
  return targetKey(target).toString('hex')
}

it('keeps one checkpoint key, when both are asked for at once', async () => {
  const answers = await Promise.all(['checkpoint-1', 'checkpoint-2'].map((id) => keys.giveUp(id, by())))
  expect(answers).toMatchObject([{ answer: { state: 'pending' } }, {}])
  expect(answers[1]).toBe('key_indispensable')
  expect(ended).toHaveLength(1)
})

it('keeps one checkpoint key, though the log has not said yet that the other was given up', async () => {
  expect(await keys.giveUp('checkpoint-2', by())).toMatchObject({ answer: { state: 'pending' } })
  expect(await keys.giveUp('checkpoint-1', by())).toBe('key_indispensable')
})

it('keeps the key that identity signs with, whatever other signal keys there are', async () => {
  expect(await keys.giveUp('signal', by())).toBe('key_indispensable')
  expect(await keys.giveUp('signal-2', by())).toMatchObject({ answer: { state: 'pending' } })
})

it('does not take the answer to another act for its own', async () => {
  const id = randomUUID()
  asked.set(id.replaceAll('-', ''), 'logout')
  expect(await keys.giveUp('no-such-key', by(id))).toBe('key_unknown')
  asked.set(id.replaceAll('-', ''), 'key_compromise')
  expect(await keys.giveUp('gone', by(id))).toMatchObject({ answer: { state: 'acknowledged' }, withdrawn: true })
})
