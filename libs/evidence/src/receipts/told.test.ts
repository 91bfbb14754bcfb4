import { ed25519Key, generateEd25519, signRecord } from '@countersign/envelope'
import type { LogRecord, NewRecord } from '@countersign/event-log'
import { SeededRandom } from '@countersign/kernel/testing'
import { PROGRESS_TOPIC } from '@countersign/replica'
import { frame, type Progress, progressCodec, SIGNATURE_HEADER } from '@countersign/schemas'
import { afterEach, describe, expect, test } from 'vitest'
import { Receipts } from './receipts.ts'

import { endAll, NOBODY, of, ofTwoLogs, World } from './testing.ts'

afterEach(endAll)

describe('what a consumer says', () => {
  /** What becomes of a record of `one` that was changed on its way. */
  async function told(change: (w: World, told: ReturnType<World['lastTold']>) => NewRecord): Promise<string> {
    const w = new World()
    await w.consumer('one')
    await w.consumer('two')
    w.log.stalled = true
    const { id, record } = w.revoke()
    await w.pass(3_000)
    const last = w.lastTold()
    w.log.write(change(w, { ...last, progress: { ...last.progress, offset: record.offset } }), PROGRESS_TOPIC)
    const receipt = await w.receipt(id)
    return of(receipt, last.progress.consumer).state
  }

  const written = (w: World, progress: Progress, sign: (body: Buffer) => Uint8Array | null): NewRecord => {
    const body = progressCodec.encode(progress)
    const signature = sign(body)
    const value = frame(w.log.schemas.idOf(progressCodec.name), body)
    return { key: NOBODY, value, headers: signature ? [[SIGNATURE_HEADER, signature]] : [] }
  }

  test('is believed with its signature alone', async () => {
    expect(await told((w, { progress }) => written(w, progress, () => null))).toBe('pending')
    const stranger = ed25519Key('x', generateEd25519(new SeededRandom(8)).privateKeyPem)
    expect(
      await told((w, { progress }) => written(w, progress, (body) => signRecord('Progress', body, stranger))),
    ).toBe('pending')
    expect(
      await told((w, { progress, record }) => written(w, progress, () => record.headers[0]?.[1] as Uint8Array)),
    ).toBe('pending')
  })

  test('is kept of so many logs and no more', async () => {
    const w = new World()
    const { registrar } = await ofTwoLogs(w)
    const kept = new Receipts({ schemas: w.log.schemas, rootKeys: [w.scribe.keys.rootPublic] })
    for await (const one of w.source.progress()) kept.take(one)
    const { record, progress } = w.lastTold()
    for (let n = 0; n < 100; n++) {
      const { key, ...told } = written(w, { ...progress, log_id: `log-${n}` }, (body) =>
        signRecord('Progress', body, registrar.key),
      )
      const { topic, partition, offset, timestamp: at } = record
      kept.take({
        kind: 'progress',
        place: { topic, partition, offset, at },
        record: { ...record, ...told } as LogRecord,
      })
    }
    expect(kept.consumers()[0]?.told.size).toBe(64)
    expect(kept.consumers()[0]?.told.has('log-99')).toBe(true)
  })

  test('is not believed for another instance', async () => {
    const w = new World()
    const one = await w.consumer('one')
    const two = await w.consumer('two')
    w.log.stalled = true
    const { id, record } = w.revoke()
    await w.pass(2_500)
    const { progress } = w.lastTold()
    const mine = progress.instance
    const other = [one, two].find(({ instance }) => !instance.equals(mine))?.instance as Buffer
    // Signed well, by somebody else.
    const key = ed25519Key(other.toString('hex'), generateEd25519(new SeededRandom(8)).privateKeyPem)
    const lie = { ...progress, instance: other, offset: record.offset }
    w.log.write(
      written(w, lie, (body) => signRecord('Progress', body, key)),
      PROGRESS_TOPIC,
    )
    expect(Object.values(await w.states(id))).toEqual(['pending', 'pending'])
  })
})

describe('receipts kept up', () => {
  test('say what a receipt asked for says, and how exposed each consumer was by each signal', async () => {
    const w = new World()
    await w.consumer('one')
    await w.consumer('two')
    const first = w.revoke()
    await w.pass(1_000)
    w.log.stalled = true
    const second = w.revoke()
    await w.pass(150)
    w.log.stalled = false
    w.log.wake()
    await w.pass(2_000)
    const kept = new Receipts({ schemas: w.log.schemas, rootKeys: [w.scribe.keys.rootPublic] })
    for await (const one of w.source.signals()) kept.take(one)
    for await (const one of w.source.progress()) kept.take(one)
    for (const { id } of [first, second]) expect(kept.receipt(id, w.clock.now())).toEqual(await w.receipt(id))
    const seen = kept.exposures().map(({ consumer, offset, ms }) => [consumer, offset, ms])
    expect(seen).toEqual([
      ['one', first.record.offset, expect.closeTo(0, -2)],
      ['two', first.record.offset, expect.closeTo(0, -2)],
      ['one', second.record.offset, 150],
      ['two', second.record.offset, 150],
    ])
  })
})
