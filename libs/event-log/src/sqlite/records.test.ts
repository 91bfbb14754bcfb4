import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fc, test } from '@fast-check/vitest'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type LogFile, openFile } from './database.ts'
import { pack, packHeaders, unpack, unpackHeaders } from './pack.ts'
import { Records } from './records.ts'
import { assertSafeSqlite } from './safe-version.ts'
import { Watch } from './watch.ts'

let path: string
let file: LogFile
let records: Records

beforeEach(() => {
  path = join(tmpdir(), `countersign-records-${randomUUID()}.db`)
  file = openFile(path, 1_000)
  records = new Records(file.db)
  records.createTopics([{ name: 't', partitions: 2, retentionMs: 1_000 }])
})

afterEach(() => {
  file.db.close()
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
})

function append(count: number, timestamp: number, partition = 0): void {
  const packed = pack(
    Array.from({ length: count }, () => ({
      at: partition,
      timestamp: 0,
      key: null,
      value: Buffer.from('v'),
      headers: new Uint8Array(0),
    })),
  )
  records.append('t', packed, timestamp)
}

describe('retention', () => {
  it('cuts what is older than the topic keeps, and positions go on', () => {
    append(3, 1_000)
    append(2, 2_500)
    expect(records.trim(2_900)).toBe(3)
    expect(records.bounds('t', 0)).toMatchObject({ start: 3, end: 5 })
    expect(records.trim(9_000)).toBe(2)
    expect(records.bounds('t', 0)).toMatchObject({ start: 5, end: 5 })
    append(1, 9_000)
    expect(unpack(records.read('t', 0, 5, 10, 1_000).records).map(({ at }) => at)).toEqual([5])
  })

  it('cuts nothing behind a younger record, even if its own time is older', () => {
    append(1, 5_000)
    append(1, 1_000)
    expect(records.trim(3_000)).toBe(0)
    expect(records.bounds('t', 0)).toMatchObject({ start: 0, end: 2 })
  })

  it('takes a bounded share per call', () => {
    append(5_000, 1_000)
    expect(records.trim(9_000)).toBe(2_000)
    expect(records.trim(9_000)).toBe(2_000)
    expect(records.trim(9_000)).toBe(1_000)
  })
})

describe('Watch', () => {
  it('tells which partitions and groups others changed, once', () => {
    const other = openFile(path, 1_000)
    const watch = new Watch(other.db)
    watch.changed(true)
    expect(watch.changed(false)).toEqual({ partitions: [], groups: [] })
    append(1, 1_000, 1)
    const { id } = records.bounds('t', 1)
    expect(watch.changed(false)).toEqual({ partitions: [id], groups: [] })
    expect(watch.changed(false)).toEqual({ partitions: [], groups: [] })
    records.trim(9_000)
    expect(watch.changed(false).partitions, 'a cut is a change too').toEqual([id])
    other.db.close()
  })
})

const bytes = fc.uint8Array({ maxLength: 40 })

describe('pack', () => {
  test.prop([
    fc.array(
      fc.record({
        at: fc.nat(2 ** 40),
        timestamp: fc.nat(2 ** 45),
        key: fc.option(bytes),
        value: fc.option(bytes),
        headers: bytes,
      }),
    ),
  ])('gives back what was packed', (list) => {
    const back = unpack(pack(list)).map(({ key, value, headers, ...rest }) => ({
      ...rest,
      key: key && new Uint8Array(key),
      value: value && new Uint8Array(value),
      headers: new Uint8Array(headers),
    }))
    expect(back).toEqual(list)
  })

  test.prop([fc.array(fc.tuple(fc.string({ unit: 'grapheme', maxLength: 10 }), bytes))])(
    'gives back headers, repeats and all',
    (headers) => {
      const back = unpackHeaders(Buffer.from(packHeaders(headers)))
      expect(back.map(([name, value]) => [name, new Uint8Array(value)])).toEqual(headers)
    },
  )
})

describe('assertSafeSqlite', () => {
  it.each(['3.51.3', '3.51.10', '3.52.0', '4.0.0', process.versions.sqlite])('takes %s', (version) => {
    expect(() => assertSafeSqlite(version)).not.toThrow()
  })

  it.each(['3.51.2', '3.50.9', '2.99.99', undefined])('refuses %s', (version) => {
    expect(() => assertSafeSqlite(version)).toThrow(expect.objectContaining({ code: 'EVENT_LOG_SQLITE_UNSUPPORTED' }))
  })
})
