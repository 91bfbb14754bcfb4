import { describe, expect, test } from 'vitest'
import { catalogue, exampleCatalogue, exampleJobTopics } from './catalogue.ts'
import { logIdOf, logNameOf, type MoreLog, readSignalsLogs, signalsLogs } from './signals-logs.ts'

const LOGS: MoreLog[] = [
  { name: 'eu', tenants: ['acme', 'globex'] },
  { name: 'us-1', tenants: ['initech'] },
]

describe('one log', () => {
  test('is the rule: main, on the topic there always was, for every tenant', () => {
    expect(exampleCatalogue.signalsLogs).toEqual([{ name: 'main', topic: 'countersign.signals.v1', tenants: null }])
    expect(exampleCatalogue.signalsLogOf('acme').name).toBe('main')
  })
})

describe('several logs', () => {
  const several = catalogue(exampleJobTopics, { logs: LOGS })

  test('stand each on a topic of their own, main first', () => {
    const signals = several.entries.filter(({ role }) => role === 'signals')
    expect(signals.map(({ name, logical, log, partitions }) => [name, logical, log, partitions])).toEqual([
      ['countersign.signals.v1', 'signals', 'main', 1],
      ['countersign.signals.eu.v1', 'signals.eu', 'eu', 1],
      ['countersign.signals.us-1.v1', 'signals.us-1', 'us-1', 1],
    ])
    expect(several.entries.slice(0, 3)).toEqual(signals)
    expect(new Set(signals.map(({ schemas }) => schemas.join()))).toHaveLength(1)
  })

  test('own the tenants they name, and main all others', () => {
    const owners = ['acme', 'globex', 'initech', 'hooli', '', 'Acme'].map((tenant) => several.signalsLogOf(tenant).name)
    expect(owners).toEqual(['eu', 'eu', 'us-1', 'main', 'main', 'main'])
  })

  test('take their names from job topics', () => {
    const job = { logical: 'signals.eu', audience: 'a', payload: 'countersign.EmailSend' }
    expect(() => catalogue([job], { logs: LOGS })).toThrow(RangeError)
    expect(catalogue([job]).jobTopic('signals.eu')?.name).toBe('signals.eu.v1')
  })
})

test.each<[string, MoreLog[]]>([
  ['main given again', [{ name: 'main', tenants: ['acme'] }]],
  ['a name twice', [LOGS[0] as MoreLog, { name: 'eu', tenants: ['hooli'] }]],
  ['a malformed name', [{ name: 'EU', tenants: ['acme'] }]],
  ['a name with dots', [{ name: 'eu.v1', tenants: ['acme'] }]],
  ['no tenant', [{ name: 'eu', tenants: [] }]],
  ['an empty tenant', [{ name: 'eu', tenants: [''] }]],
  ['every tenant', [{ name: 'eu', tenants: ['*'] }]],
  ['a tenant of two logs', [LOGS[0] as MoreLog, { name: 'us', tenants: ['acme'] }]],
  ['a tenant twice', [{ name: 'eu', tenants: ['acme', 'acme'] }]],
])('%s is refused', (_name, logs) => {
  expect(() => signalsLogs(logs)).toThrow(RangeError)
})

test('the id of a log says its name', () => {
  expect(logNameOf(logIdOf('eu', 'log_1'))).toBe('eu')
  expect(logNameOf(logIdOf('main', 'log_1'))).toBe('main')
  expect(logIdOf('main', 'log_1')).toBe('log_1')
})

describe('logs as configuration says them', () => {
  test('are read', () => {
    expect(readSignalsLogs('{"eu":["acme","globex"],"us-1":["initech"]}')).toEqual(LOGS)
    expect(readSignalsLogs('{}')).toEqual([])
  })

  test.each([
    [
      '',
      '[]',
      'null',
      '{"eu":"acme"}',
      '{"eu":[1]}',
      '{"eu":[]}',
      '{"main":["acme"]}',
      '{"eu":["acme"],"us":["acme"]}',
    ],
  ])('%j are refused', (...texts) => {
    for (const text of texts) expect(() => readSignalsLogs(text)).toThrow(RangeError)
  })
})
