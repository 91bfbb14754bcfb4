import { signRecord } from '@countersign/envelope'
import { testAuthority } from '@countersign/envelope/testing'
import type { EventLog, LogRecord } from '@countersign/event-log'
import { FakeClock } from '@countersign/kernel/testing'
import { SIGNALS_TOPIC, writeRecord } from '@countersign/replica'
import { catalogue, exampleCatalogue, type Signal, signalCodec } from '@countersign/schemas'
import type { Ending, LostSignal, SessionStore } from '@countersign/session-store'
import { silentLogger } from '@countersign/telemetry'
import { expect, it } from 'vitest'
import { type RepairOptions, repairer } from './repair.ts'

const { keys, ring } = testAuthority()
const clock = new FakeClock()
const schemas = exampleCatalogue.schemaIds() as EventLog['schemas']

function recordOf(seq: number, offset: number): LogRecord {
  const signal: Signal = {
    id: Buffer.alloc(16, seq),
    seq,
    target: { kind: 'token', tenant: '', id: `tok_${seq}` },
    effect: 'reason:admin',
    fallback: 'admin',
    floor: clock.now(),
    cause: 'drill',
    initiator: 'operator:ops',
  }
  const body = signalCodec.encode(signal)
  const { value, headers } = writeRecord('Signal', body, signRecord('Signal', body, keys.signal), schemas)
  return { topic: SIGNALS_TOPIC, partition: 0, offset, timestamp: clock.now(), key: null, value, headers }
}

/** Repairs an empty store beside a log of these sequences. @returns what was raised for sequences nobody has. */
async function endingsFor(seen: number, onLog: readonly number[]): Promise<readonly Ending[]> {
  let raised: readonly Ending[] = []
  const store: Partial<SessionStore> = {
    highestSeq: async () => 0,
    tenants: async () => ['acme'],
    adopt: async (_lost: readonly LostSignal[], _seen: number, endings: readonly Ending[]) => {
      raised = endings
    },
  }
  const log: Partial<EventLog> = {
    schemas,
    bounds: async () => ({ start: 0, end: onLog.length }),
    read: async function* () {
      yield onLog.map(recordOf)
    },
  }
  const view = { floors: () => [], outboxSeq: seen, started: true, keyInForce: true, ring: () => ring }
  const parts = { store, log, view, clock, logger: silentLogger, delivery: { kick: () => {} } }
  await repairer(parts as unknown as RepairOptions)()
  return raised
}

it('raises every tenant for a sequence the log lacks, however many were written since it was seen', async () => {
  expect(await endingsFor(3, [1, 2, 3, 4])).toHaveLength(0)
  expect(await endingsFor(3, [1, 3])).toHaveLength(1)
  expect(await endingsFor(3, [1, 3, 4])).toHaveLength(1)
})

it('looks for what was lost on every log, and keeps each row for the log it was found on', async () => {
  const topics: Record<string, readonly number[]> = {
    'countersign.signals.v1': [1, 3],
    'countersign.signals.eu.v1': [2, 4],
  }
  let adopted: readonly LostSignal[] = []
  let raised: readonly Ending[] = []
  const store: Partial<SessionStore> = {
    highestSeq: async () => 0,
    tenants: async () => ['acme'],
    adopt: async (lost: readonly LostSignal[], _seen: number, endings: readonly Ending[]) => {
      adopted = lost
      raised = endings
    },
  }
  const log: Partial<EventLog> = {
    schemas,
    bounds: async (topic) => ({ start: 0, end: topics[topic]?.length ?? 0 }),
    read: async function* ({ topic }) {
      yield (topics[topic] ?? []).map(recordOf)
    },
  }
  const keysOf = { ring: () => ring, fresh: true }
  const several = { views: [keysOf, keysOf], viewOf: () => keysOf }
  const view = { floors: () => [], outboxSeq: 4, started: true, keyInForce: true, ring: () => null, byTenant: several }
  const logs = catalogue([], { logs: [{ name: 'eu', tenants: ['acme'] }] })
  const parts = { store, log, view, catalogue: logs, clock, logger: silentLogger, delivery: { kick: () => {} } }
  await repairer(parts as unknown as RepairOptions)()
  expect(adopted.map(({ signal, log: of }) => [signal.seq, of])).toEqual([
    [1, undefined],
    [2, 'eu'],
    [3, undefined],
    [4, 'eu'],
  ])
  // Nothing is missing over all of them, though each of them lacks some.
  expect(raised).toEqual([])
})
