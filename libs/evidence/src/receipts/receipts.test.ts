import { ed25519Key, generateEd25519, signRecord } from '@countersign/envelope'
import { SeededRandom } from '@countersign/kernel/testing'
import { PROGRESS_TOPIC, REGISTRATION_HOLDS_MS } from '@countersign/replica'
import { frame, progressCodec, readTold, registrationCodec, SIGNATURE_HEADER } from '@countersign/schemas'
import { afterEach, describe, expect, test } from 'vitest'
import { Receipts } from './receipts.ts'

import { CLASSES, EPSILON, endAll, NOBODY, of, ofTwoLogs, STALE, uuid, World } from './testing.ts'

afterEach(endAll)

describe('a receipt', () => {
  test('closes with the time of whoever applied it, of whoever left, and the bound of whoever is silent', async () => {
    const w = new World()
    await w.consumer('quick')
    const leaving = await w.consumer('leaving')
    // It goes on, but its words are lost, as those of a process that is stopped.
    const frozen = await w.consumer('frozen')
    w.log.onAppend = (topic, [record]) => {
      const told = topic === PROGRESS_TOPIC && readTold(record?.value ?? NOBODY, w.log.schemas)
      if (told && told.kind === 'Progress' && told.progress.consumer !== 'quick' && told.progress.state !== 'goodbye')
        throw w.log.failure('none')
      return undefined
    }
    w.log.stalled = true
    const { id, record } = w.revoke()
    await w.pass(100)
    expect(await w.states(id)).toEqual({ quick: 'pending', leaving: 'pending', frozen: 'pending' })
    await leaving.stop()
    w.log.stalled = false
    w.log.wake()
    await w.pass(400)
    const early = await w.receipt(id)
    expect(await w.states(id)).toEqual({ quick: 'applied', leaving: 'stopped', frozen: 'pending' })
    expect(early?.closedAt).toBeNull()
    expect(early?.line).toContain('open as of')
    await w.tick(6)
    const receipt = await w.receipt(id)
    const bound = record.timestamp + STALE + EPSILON
    expect(of(receipt, 'quick')).toMatchObject({ state: 'applied', appliedAt: record.timestamp + 100, exact: true })
    expect(of(receipt, 'leaving')).toMatchObject({ state: 'stopped', stoppedAt: record.timestamp + 100 })
    expect(of(receipt, 'frozen')).toMatchObject({ state: 'silent', couldActUntil: bound, vouchedBy: 'consumer' })
    expect(receipt).toMatchObject({
      closedAt: bound,
      positions: [{ log: 'main', offset: record.offset, appendedAt: record.timestamp }],
    })
    expect(receipt?.line).toBe(
      `revocation ${id} (reason:logout of session ${receipt?.target.id}) at main/${record.offset} since ${iso(record.timestamp)}; ` +
        `frozen silent, could act until ${iso(bound)}, leaving stopped +100 ms, quick applied +100 ms; ` +
        `closed ${iso(bound)}: nobody acts without it since`,
    )
    expect(frozen.instance.toString('hex')).toBe(of(receipt, 'frozen').instance)
  })

  test('stays closed when a silent one is heard again', async () => {
    const w = new World()
    const one = await w.consumer('one')
    w.log.stalled = true
    const { id, record } = w.revoke()
    await w.pass(STALE + 1_000)
    const closed = await w.receipt(id)
    expect(closed?.closedAt).toBe(record.timestamp + STALE + EPSILON)
    w.log.stalled = false
    w.log.wake()
    await w.pass(1_000)
    const later = await w.receipt(id)
    expect(of(later, 'one')).toMatchObject({ state: 'applied', couldActUntil: closed?.closedAt })
    expect(of(later, 'one').appliedAt).toBeGreaterThan(record.timestamp + STALE)
    expect(later?.closedAt).toBe(closed?.closedAt)
    await one.stop()
  })

  test('does not count who came later, left earlier, or is held for gone', async () => {
    const w = new World()
    await (await w.consumer('left')).stop()
    const gone = await w.consumer('gone')
    w.log.away = true
    await gone.stop()
    w.log.away = false
    expect(await w.states(w.revoke().id)).toEqual({ gone: 'pending' })
    await w.pass(REGISTRATION_HOLDS_MS + 1_000, 5_000)
    const { id } = w.revoke()
    // Clocks may differ by as much: whoever registers within it is counted.
    await w.pass(2 * EPSILON)
    await w.consumer('later')
    const receipt = await w.receipt(id)
    expect(receipt).toMatchObject({ consumers: [], closedAt: receipt?.appendedAt })
    expect(receipt?.line).toContain('no consumer was registered')
  })

  test('of several signals waits for all of them', async () => {
    const w = new World()
    await w.consumer('one')
    const { id, records } = w.revokeTwice()
    await w.pass(400)
    const receipt = await w.receipt(id)
    expect(receipt?.positions.map(({ offset }) => offset)).toEqual(records.map(({ offset }) => offset))
    expect(of(receipt, 'one').state).toBe('applied')
  })

  test('names the last decision made without it, and says when that was too late to be true', async () => {
    const w = new World()
    await w.consumer('one')
    await w.consumer('two')
    const { id, record } = w.revoke()
    w.decide('one', record.offset - 1)
    const at = w.clock.now()
    const effect = { offset: 0, count: 1, view_offset: record.offset - 1, as_of: at, not_after: at, at }
    w.decide('one', record.offset - 1, { phase: 'final', allowed: [], effects: [effect] })
    await w.pass(1_000)
    w.decide('one', record.offset)
    w.decide('two', record.offset - 1)
    const receipt = await w.receipt(id)
    expect(of(receipt, 'one')).toMatchObject({ lastDecisionAt: at, lastEffectAt: at, contradicted: false })
    expect(of(receipt, 'two')).toMatchObject({ lastDecisionAt: at + 1_000, contradicted: true })
    expect(receipt?.line).toContain('CONTRADICTED by what it recorded: two')
  })

  test.each([
    ['behind', -3_000],
    ['ahead', 3_000],
  ])('goes by the clock of the log where that of a consumer is %s', async (_name, skew) => {
    const w = new World()
    const { clock } = w
    const { monotonic, sleep, after } = clock
    const bound = { monotonic: monotonic.bind(clock), sleep: sleep.bind(clock), after: after.bind(clock) }
    await w.consumer('one', { clock: { ...bound, now: () => clock.now() + skew } })
    const { id, record } = w.revoke()
    await w.pass(1_000)
    const { timestamp } = w.lastTold().record
    expect(timestamp).toBeGreaterThan(record.timestamp)
    expect(of(await w.receipt(id), 'one')).toMatchObject({ state: 'applied', appliedAt: timestamp, exact: false })
  })

  test('says who nobody vouched for', async () => {
    const w = new World()
    const other = generateEd25519(new SeededRandom(6))
    await w.consumer('stranger', { voucher: ed25519Key('consumer', other.privateKeyPem) })
    const { id } = w.revoke()
    await w.pass(400)
    expect(of(await w.receipt(id), 'stranger').vouchedBy).toBeNull()
    expect((await w.receipt(id))?.line).toContain('vouched for by nobody: stranger')
  })

  test('takes no voucher of a key that was out of the bundles by then, and those before as they were', async () => {
    const w = new World()
    await w.consumer('before')
    w.scribe.bundle()
    w.scribe.checkpoint()
    await w.tick()
    await w.consumer('after')
    const { id } = w.revoke()
    await w.pass(400)
    const receipt = await w.receipt(id)
    expect(of(receipt, 'before').vouchedBy).toBe('consumer')
    expect(of(receipt, 'after').vouchedBy).toBeNull()
  })

  test('names who vouched for a name, and not for another of the same instance', async () => {
    const w = new World()
    const { id, registrar } = await ofTwoLogs(w)
    const mine = [...w.log.partition(PROGRESS_TOPIC).records]
      .map(({ value }) => readTold(value, w.log.schemas))
      .findLast((told) => told?.kind === 'Registration')
    if (mine?.kind !== 'Registration') throw new Error('nobody registered')
    const body = registrationCodec.encode({ ...mine.registration, consumer: 'payments' })
    const value = frame(w.log.schemas.idOf(registrationCodec.name), body)
    const signature = signRecord('Registration', body, registrar.key)
    w.log.write({ key: null, value, headers: [[SIGNATURE_HEADER, signature]] }, PROGRESS_TOPIC)
    const receipt = await w.receipt(id)
    expect(of(receipt, 'one').vouchedBy).toBe('consumer')
    expect(of(receipt, 'payments').vouchedBy).toBeNull()
  })

  test('waits for an instance that said goodbye to another log', async () => {
    const w = new World()
    const { id, registrar } = await ofTwoLogs(w)
    const { progress } = w.lastTold()
    const goodbye = (logId: string): void => {
      const body = progressCodec.encode({ ...progress, state: 'goodbye', log_id: logId, applied: [] })
      const value = frame(w.log.schemas.idOf(progressCodec.name), body)
      const headers = [[SIGNATURE_HEADER, signRecord('Progress', body, registrar.key)]] as const
      w.log.write({ key: null, value, headers }, PROGRESS_TOPIC)
    }
    goodbye('eu.log-2')
    expect(await w.receipt(id)).toMatchObject({ closedAt: null, consumers: [{ state: 'pending' }] })
    const late = w.revoke()
    expect(await w.states(late.id)).toEqual({ one: 'pending' })
    goodbye(progress.log_id)
    expect(await w.states(id)).toEqual({ one: 'stopped' })
  })

  test('stays closed when a silent one asks for a larger budget', async () => {
    const w = new World()
    const one = await w.consumer('one')
    w.log.stalled = true
    const { id, record } = w.revoke()
    await w.pass(STALE + 1_000)
    one.register({ ...CLASSES, maxStalenessMs: 60_000 })
    await w.pass(500)
    expect((await w.receipt(id))?.closedAt).toBe(record.timestamp + STALE + EPSILON)
    const { id: next, record: later } = w.revoke()
    expect(of(await w.receipt(next), 'one').couldActUntil).toBe(later.timestamp + 60_000 + EPSILON)
  })

  test('is open while what is known ends before whoever counts must be known', async () => {
    const w = new World()
    const { id, record } = w.revoke()
    const kept = new Receipts({ schemas: w.log.schemas, rootKeys: [w.scribe.keys.rootPublic] })
    for await (const one of w.source.signals()) kept.take(one)
    expect(kept.receipt(id, record.timestamp - 60_000)?.closedAt).toBeNull()
    expect(kept.receipt(id, record.timestamp + EPSILON)?.closedAt).toBe(record.timestamp)
  })

  test('does not close where registrations may be missing, and says so', async () => {
    const w = new World()
    const { id, record } = w.revoke()
    const later = w.clock.now() + 60_000
    let knownSince = Number.POSITIVE_INFINITY
    const options = { schemas: w.log.schemas, rootKeys: [w.scribe.keys.rootPublic], knownSince: () => knownSince }
    const kept = new Receipts(options)
    for await (const one of w.source.signals()) kept.take(one)
    const unread = kept.receipt(id, later)
    expect(unread?.closedAt).toBeNull()
    expect(unread?.line).toContain('; who else was registered is not known; open as of')
    expect(unread?.line).not.toContain('no consumer was registered')
    knownSince = record.timestamp - REGISTRATION_HOLDS_MS + 1
    expect(kept.receipt(id, later)?.closedAt).toBeNull()
    knownSince--
    expect(kept.receipt(id, later)?.closedAt).toBe(record.timestamp)
  })

  test('does not close once the topic keeps nothing any more of who was registered', async () => {
    const w = new World()
    const gone = await w.consumer('gone')
    const { id, record } = w.revoke()
    await w.pass(1_000)
    await gone.stop()
    await w.pass(2 * REGISTRATION_HOLDS_MS, 10_000)
    await w.consumer('other')
    await w.pass(10_000)
    expect(await w.receipt(id)).toMatchObject({ closedAt: record.timestamp, consumers: [{ consumer: 'gone' }] })
    const progress = w.log.partition(PROGRESS_TOPIC)
    const kept = progress.records.findIndex(({ timestamp }) => timestamp > record.timestamp + REGISTRATION_HOLDS_MS)
    progress.records.splice(0, kept)
    progress.start += kept
    expect(await w.receipt(id)).toMatchObject({ closedAt: null, consumers: [] })
  })

  test('is none for what is not on the log, or not genuine', async () => {
    const w = new World()
    const { privateKeyPem } = generateEd25519(new SeededRandom(6))
    const forged = w.scribe.makeSignal()
    w.log.write(w.scribe.signalRecord(forged, ed25519Key(w.scribe.keys.signal.keyId, privateKeyPem)))
    expect(await w.receipt(uuid(forged.id))).toBeNull()
    expect(await w.receipt('23225364-f6ab-41d0-8846-7a04fafb759c')).toBeNull()
  })
})

function iso(at: number): string {
  return new Date(at).toISOString()
}
