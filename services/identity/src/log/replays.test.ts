import { FakeClock } from '@countersign/kernel/testing'
import { Follower, readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { MemoryLog, Scribe, testKeys, testSchemas } from '@countersign/replica/testing'
import { View } from '@countersign/revocation'
import { ORIGIN_HEADER, ORIGINAL_TIMESTAMP_HEADER, REPLAY_HEADER } from '@countersign/schemas'
import { beforeEach, describe, expect, it } from 'vitest'
import { Replays } from './replays.ts'

const SESSION = { kind: 'session', tenant: '', id: 's1' } as const
const REPLAY = 'rpl_1'

let clock: FakeClock
let log: MemoryLog
let scribe: Scribe
let follower: Follower
let replays: Replays

beforeEach(async () => {
  clock = new FakeClock()
  log = new MemoryLog(clock)
  scribe = new Scribe(log)
  scribe.bundle()
  scribe.begin()
  scribe.checkpoint()
  follower = new Follower({
    schemas: testSchemas,
    rootKeys: [scribe.keys.rootPublic],
    epsilonMs: 250,
    minBundleVersion: 1,
    newView: () => new View(),
    end: 0,
    trustHistory: false,
    complete: true,
  })
  const view = {
    floors: (key: Uint8Array) => follower.floors(key),
    freshness: () => follower.freshness(clock),
    position: () => ({ log_id: follower.logId ?? '', offset: follower.position }),
    ring: () => follower.ring,
    get view() {
      return follower.view
    },
  }
  replays = new Replays({ log, clock, logs: [{ topic: SIGNALS_TOPIC, view }] })
  await pass()
})

/** A second and a checkpoint, read. */
async function pass(): Promise<void> {
  await clock.advance(1000)
  scribe.checkpoint()
  for (const record of log.partition().records) follower.fold(record, { monotonic: clock.monotonic() })
}

const replay = (...offsets: number[]) => replays.replay({ replay: REPLAY, logId: 'log-1', offsets })

describe('a copy', () => {
  it('is the same signed record, says of which it is, and changes no view, however often it is made', async () => {
    const { offset, timestamp } = scribe.signal({ target: SESSION })
    const other = scribe.signal({ target: SESSION, effect: 'scope:pay' })
    await pass()
    const before = follower.view.digest()
    const first = await replay(offset, other.offset)
    const again = await replay(offset, other.offset)
    expect([first, again].map((done) => typeof done === 'object' && done.appended.length)).toEqual([2, 2])
    const { records } = log.partition()
    const copy = records.at(-4)
    const original = records[offset]
    expect(copy?.value).toEqual(original?.value)
    expect(copy && readRecord(copy, testSchemas)?.signature).toEqual(original?.headers[0]?.[1])
    expect(copy?.headers.slice(1).map(([name, value]) => [name, Buffer.from(value).toString()])).toEqual([
      [REPLAY_HEADER, REPLAY],
      [ORIGIN_HEADER, `${SIGNALS_TOPIC}/0/${offset}`],
      [ORIGINAL_TIMESTAMP_HEADER, String(timestamp)],
    ])
    await pass()
    expect(follower.view.digest()).toEqual(before)
    expect([follower.freshness(clock).proven, follower.agrees]).toEqual([true, true])
    expect(await replay(records.length - 5)).toMatchObject({ appended: [] })
  })

  it('of an older floor brings back nobody', async () => {
    const low = scribe.signal({ target: SESSION })
    await clock.advance(10)
    scribe.signal({ target: SESSION })
    await clock.advance(10)
    scribe.signal({ target: SESSION })
    await pass()
    const before = follower.view.digest()
    expect(await replay(low.offset)).toMatchObject({ skipped: [] })
    await pass()
    expect(follower.view.digest()).toEqual(before)
  })
})

describe('refuses', () => {
  it('what was no signal where it stands, though it would be one now', async () => {
    const record = (key = scribe.keys.signal) =>
      log.write(scribe.signalRecord(scribe.makeSignal({ target: SESSION, floor: clock.now() + 5000 }), key))
    const future = record()
    const forged = record(testKeys(2).signal)
    const { offset: checkpoint } = scribe.checkpoint()
    await pass()
    await clock.advance(10_000)
    await pass()
    expect(await replay(future.offset, forged.offset, checkpoint, 9_999)).toEqual({
      appended: [],
      skipped: [
        { origin: future.offset, code: 'not_in_view' },
        { origin: forged.offset, code: 'key_not_in_force' },
        { origin: checkpoint, code: 'not_a_signal' },
        { origin: 9_999, code: 'gone' },
      ],
    })
  })

  it('what its horizon has passed, and what a key signed that is gone from the bundle', async () => {
    const { offset } = scribe.signal({ target: SESSION })
    await pass()
    scribe.bundle({ keys: scribe.keys.grants.filter(({ use }) => use !== 'signal') })
    await pass()
    expect(await replay(offset)).toMatchObject({ skipped: [{ code: 'key_not_in_force' }] })
    scribe.bundle({ keys: scribe.keys.grants })
    await pass()
    expect(await replay(offset)).toMatchObject({ skipped: [] })
    await clock.advance(scribe.windowMs)
    await pass()
    await pass()
    expect(await replay(offset)).toMatchObject({ skipped: [{ code: 'below_horizon' }] })
  })

  it('copies of copies, another log, and a view that is not proven', async () => {
    const { offset } = scribe.signal({ target: SESSION })
    await pass()
    const done = await replay(offset)
    const copy = (typeof done === 'object' && done.appended[0]?.offset) || -1
    expect(await replay(copy)).toEqual({ appended: [], skipped: [{ origin: copy, code: 'copy' }] })
    expect(await replays.replay({ replay: REPLAY, logId: 'log-2', offsets: [offset] })).toBe('log_unknown')
    follower.close('digest_differs')
    expect(await replay(offset)).toBe('view_starting')
  })
})
