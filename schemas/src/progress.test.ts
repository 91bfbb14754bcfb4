import { expect, test } from 'vitest'
import { codec } from './codec.ts'
import { frame } from './frame.ts'
import { published } from './generated/published.ts'
import type { Progress, Registration } from './generated/types.ts'
import { readTold } from './progress.ts'
import { progressCodec, registrationCodec } from './records.ts'
import { schemaEntries, schemaIdTable } from './schema-ids.ts'

const schemas = schemaIdTable(schemaEntries)

const first = {
  consumer: 'worker-1',
  log_id: 'log-1',
  offset: 7,
  as_of: 1_000,
  count: 3,
  digest: Buffer.alloc(32, 1),
  max_staleness_ms: 5_000,
  at: 1_100,
  state: 'ready',
} as const

const progress: Progress = {
  ...first,
  instance: Buffer.alloc(16, 2),
  digest_offset: 6,
  applied: [{ offset: 7, at: 1_050 }],
  unlisted: 0,
}

const registration: Registration = {
  consumer: 'worker-1',
  instance: Buffer.alloc(16, 2),
  public_key: Buffer.alloc(32, 3),
  voucher: Buffer.alloc(0),
  logs: ['main'],
  classes: [{ name: 'export', logical_topic: 'invoices.export', rule_version: 'ab', rules: '{}' }],
  max_staleness_ms: 5_000,
  epsilon_ms: 250,
  at: 900,
}

test('progress and registrations are told apart by their schema', () => {
  const body = progressCodec.encode(progress)
  expect(readTold(frame(17, body), schemas)).toEqual({ kind: 'Progress', progress, body })
  const other = registrationCodec.encode(registration)
  expect(readTold(frame(18, other), schemas)).toEqual({ kind: 'Registration', registration, body: other })
})

test('progress of the first version has no instance and lists no signals', () => {
  const written = published.find((one) => one.name === 'countersign.Progress' && one.version === 1)
  const body = codec<typeof first>(written?.schema ?? {}).encode(first)
  const told = readTold(frame(7, body), schemas)
  expect(told?.kind === 'Progress' && told.progress).toEqual({
    ...first,
    instance: Buffer.alloc(16),
    digest_offset: -1,
    applied: [],
    unlisted: 0,
  })
})

test.each([
  ['nothing', null],
  ['another record', frame(1, Buffer.from('x'))],
  ['an unknown schema', frame(999, Buffer.from('x'))],
  ['what is cut short', frame(17, progressCodec.encode(progress).subarray(0, 30))],
])('%s is not read', (_name, value) => {
  expect(readTold(value, schemas)).toBeNull()
})
