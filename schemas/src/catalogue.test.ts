import { expect, test } from 'vitest'
import { catalogue, exampleCatalogue } from './catalogue.ts'
import { frame, unframe } from './frame.ts'
import { schemaEntries, schemaIdTable } from './schema-ids.ts'

const note = { type: 'record', name: 'Note', namespace: 'acme', fields: [{ name: 'text', type: 'string' }] }

test('a frame comes apart into what it was made of', () => {
  expect(frame(258, Buffer.from('ab')).toString('hex')).toBe('00000001026162')
  expect(unframe(frame(0xffffffff, Buffer.from('ab')))).toEqual({ id: 0xffffffff, body: Buffer.from('ab') })
  expect(unframe(Buffer.from([0, 0, 0, 1]))).toBeUndefined()
  expect(unframe(Buffer.from([1, 0, 0, 0, 1, 2]))).toBeUndefined()
  expect(unframe(null)).toBeUndefined()
  expect(() => frame(2 ** 32, Buffer.alloc(0))).toThrow(RangeError)
})

test('the example has the four system topics and three topics for each kind of job', () => {
  expect(exampleCatalogue.entries.map((e) => [e.name, e.partitions])).toEqual([
    ['countersign.signals.v1', 1],
    ['countersign.decisions.v1', 12],
    ['countersign.progress.v1', 1],
    ['countersign.journey.v1', 6],
    ...['invoices.export', 'payments.run', 'emails.send', 'reports.build'].flatMap((l) => [
      [`${l}.v1`, 6],
      [`${l}.park.v1`, 1],
      [`${l}.dead.v1`, 1],
    ]),
  ])
})

test('park and dead-letter topics are aliases of their logical topic', () => {
  for (const name of ['invoices.export.v1', 'invoices.export.park.v1', 'invoices.export.dead.v1']) {
    expect(exampleCatalogue.logicalOf(name)).toBe('invoices.export')
  }
  expect(exampleCatalogue.logicalOf('invoices.export')).toBeUndefined()
  expect(exampleCatalogue.jobTopic('payments.run')).toEqual({
    name: 'payments.run.v1',
    park: 'payments.run.park.v1',
    dead: 'payments.run.dead.v1',
    audience: 'payments',
    schema: 'countersign.PaymentRun',
    partitions: 6,
  })
})

test('every schema a topic may carry has an id, and the ids never move', () => {
  const ids = exampleCatalogue.schemaIds()
  for (const entry of exampleCatalogue.entries)
    for (const name of entry.schemas) expect(ids.idOf(name)).toBeGreaterThan(0)
  expect(schemaEntries.filter((e) => e.version === 1).map((e) => `${e.id} ${e.name}`)).toEqual([
    '1 countersign.Signal',
    '2 countersign.Checkpoint',
    '3 countersign.EpochClaim',
    '4 countersign.TrustBundle',
    '5 countersign.EnvelopeClaims',
    '6 countersign.DecisionBatch',
    '7 countersign.Progress',
    '8 countersign.InvoiceExport',
    '9 countersign.PaymentRun',
    '10 countersign.EmailSend',
    '11 countersign.ReportBuild',
    '12 countersign.JourneyEvent',
    '18 countersign.Registration',
  ])
  expect(ids.schemaOf(1)).toMatchObject({ name: 'countersign.Signal', version: 1 })
  expect(ids.schemaOf(999)).toBeUndefined()
})

test('users bring their own payloads', () => {
  const own = catalogue([
    { logical: 'notes.write', audience: 'notes', payload: { id: 1000, version: 1, schema: note } },
  ])
  expect(own.jobTopic('notes.write')?.schema).toBe('acme.Note')
  expect(own.schemaIds().idOf('acme.Note')).toBe(1000)
  const payload = own.payloadCodec('acme.Note')
  expect(payload?.decode(payload.encode({ text: 'x' }))).toEqual({ text: 'x' })
  expect(own.schemas).toHaveLength(schemaEntries.length + 1)
})

test.each([
  [
    'a repeated name',
    [
      { logical: 'a', audience: 'a', payload: 'countersign.EmailSend' },
      { logical: 'a', audience: 'a', payload: 'countersign.EmailSend' },
    ],
  ],
  ['a system name', [{ logical: 'signals', audience: 'a', payload: 'countersign.EmailSend' }]],
  ['a malformed name', [{ logical: 'A b', audience: 'a', payload: 'countersign.EmailSend' }]],
  ['no partition', [{ logical: 'a', audience: 'a', payload: 'countersign.EmailSend', partitions: 0 }]],
  ['an unknown payload', [{ logical: 'a', audience: 'a', payload: 'countersign.Nothing' }]],
  ['a contract as payload', [{ logical: 'a', audience: 'a', payload: 'countersign.Signal' }]],
  ['an id of ours', [{ logical: 'a', audience: 'a', payload: { id: 12, version: 1, schema: note } }]],
  [
    'names that run into an alias',
    [
      { logical: 'a', audience: 'a', payload: 'countersign.EmailSend' },
      { logical: 'a.park', audience: 'a', payload: 'countersign.EmailSend' },
    ],
  ],
])('%s is refused', (_name, topics) => {
  expect(() => catalogue(topics)).toThrow(RangeError)
})

test('an id table refuses an id, or a name and version, given twice', () => {
  const [first, second] = schemaEntries as [(typeof schemaEntries)[0], (typeof schemaEntries)[0]]
  expect(() => schemaIdTable([first, { ...second, id: first.id }])).toThrow(RangeError)
  expect(() => schemaIdTable([first, { ...first, id: 77 }])).toThrow(RangeError)
  expect(schemaIdTable([{ ...first, id: 77, version: 2 }, first]).idOf(first.name)).toBe(77)
})
