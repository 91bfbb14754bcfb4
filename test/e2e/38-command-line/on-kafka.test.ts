/** The same commands where the log is a real broker. */
import { join } from 'node:path'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { systemClock, systemRandom } from '@countersign/kernel'
import { SIGNALS_TOPIC } from '@countersign/replica'
import { MemoryLog, Scribe, testKeys } from '@countersign/replica/testing'
import { expect, test } from 'vitest'
import { kafka as found } from '../../brokers.ts'
import catalogue from './catalogue.ts'
import { type } from './commands.ts'

const kafka = found()

test.skipIf(kafka === null)('the log on Kafka makes the view its writer has; one record of it is decoded', async () => {
  const { brokers, registryUrl } = kafka ?? { brokers: [], registryUrl: '' }
  const at = { brokers, registryUrl, catalogue, clientId: 'command-line', registryDeadlineMs: 20_000 }
  await provisionKafka({ ...at, windowMs: 3_600_000 })
  // Keys of this run alone: whatever else stands on the signals log is not signed by them.
  const scribe = new Scribe(new MemoryLog(systemClock), testKeys(systemRandom.bytes(4).readUInt32BE()))
  scribe.bundle()
  for (let i = 0; i < 20; i++) scribe.signal({ target: { kind: 'session', tenant: '', id: `s${i % 7}` } })
  const log = await openKafkaLog(at)
  const records = scribe.log.partition().records.map((record) => ({
    ...record,
    // Ids of schemas are the registry's there.
    value: reframed(
      record.value,
      log.schemas.idOf(record.offset === 0 ? 'countersign.TrustBundle' : 'countersign.Signal'),
    ),
  }))
  const [first] = await log.append(SIGNALS_TOPIC, records)
  await log.close()

  const where = ['--brokers', brokers.join(), '--registry', registryUrl]
  where.push('--catalogue', join(import.meta.dirname, 'catalogue.ts'))
  where.push('--root-key', scribe.keys.rootPublic.toString('base64'), '-o', 'json')
  const from = ['--from', String(first?.offset)]
  const rebuilt = await type(['replay', 'rebuild', ...where, ...from, '--execute'])
  expect(rebuilt.code, rebuilt.talk).toBe(0)
  expect(JSON.parse(rebuilt.out)).toMatchObject({
    log_id: 'log-1',
    before: { count: 0 },
    after: { count: scribe.view.count, digest: scribe.view.digest().toString('hex') },
    checkpoints: { differingAt: null },
  })
  const inspected = await type(['inspect', ...where, `${SIGNALS_TOPIC}/0/${(first?.offset ?? 0) + 1}`])
  expect(JSON.parse(inspected.out)).toMatchObject({
    kind: 'Signal',
    signature: 'valid',
    record: { target: { id: 's0' } },
  })
})

function reframed(value: Uint8Array | null, id: number): Buffer {
  const framed = Buffer.from(value ?? [])
  framed.writeUInt32BE(id, 1)
  return framed
}
