import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type AvroObject, type Kept, render } from '../generate/render.ts'
import { schemaEntries } from '../src/schema-ids.ts'
import { checkContracts, checkHistory, checkPairs, checkShared, lint, minimumSize } from './compatibility.ts'
import { readCurrent, readHistory } from './read.ts'

const root = join(import.meta.dirname, '..')

test('the contracts and their history are whole', () => {
  const kept = readHistory(root)
  expect(checkContracts(readCurrent(root), kept)).toEqual([])
  expect(schemaEntries.map((e) => `${e.name} ${e.version}`).sort()).toEqual(
    kept.map((k) => `countersign.${k.name} ${k.version}`).sort(),
  )
})

test('what is generated is what is committed', () => {
  const args = ['--conditions=@countersign/source', join(root, 'generate/main.ts'), '--check']
  expect(spawnSync(process.execPath, args).status).toBe(0)
})

test('a stale or missing generated file is found', () => {
  const copy = mkdtempSync(join(tmpdir(), 'schemas-'))
  try {
    for (const part of [
      'avro',
      'history',
      'generate',
      'compat/read.ts',
      'src/generated/types.ts',
      'src/generated/schemas.ts',
      'package.json',
    ]) {
      cpSync(join(root, part), join(copy, part), { recursive: true })
    }
    const result = spawnSync(process.execPath, [join(copy, 'generate/main.ts'), '--check'], { encoding: 'utf8' })
    expect(result.stderr).toContain('published.ts is not what schemas/avro gives')
    expect(result.status).toBe(1)
  } finally {
    rmSync(copy, { recursive: true })
  }
})

test('rendering gives one declaration per named type', () => {
  const record: AvroObject = {
    type: 'record',
    name: 'A',
    namespace: 'n',
    doc: 'An A.',
    fields: [
      { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['x', 'y'] }, doc: 'Kind.' },
      { name: 'maybe', type: ['null', 'string'], doc: 'Maybe.' },
      { name: 'many', type: { type: 'array', items: ['null', 'Kind'] }, doc: 'Many.' },
    ],
  }
  expect(render([record], [])['types.ts']).toContain(
    "/** An A. */\nexport interface A {\n  /** Kind. */\n  readonly kind: Kind\n  /** Maybe. */\n  readonly maybe: null | string\n  /** Many. */\n  readonly many: readonly (null | Kind)[]\n}\n\nexport type Kind = 'x' | 'y'\n",
  )
})

const field = (name: string, type: AvroObject['type'], rest: object = {}) => ({ name, type, ...rest })
const record = (...fields: ReturnType<typeof field>[]): AvroObject => ({
  type: 'record',
  name: 'R',
  namespace: 'n',
  fields,
})
const versions = (...schemas: AvroObject[]): Kept[] =>
  schemas.map((schema, i) => ({ name: 'R', version: i + 1, schema }))
const reason = (symbols: string[], rest: object = { default: 'compromise' }): AvroObject => ({
  type: 'enum',
  name: 'Reason',
  symbols,
  ...rest,
})
const id = field('id', 'long')

describe('planted incompatible changes are found', () => {
  test.each([
    ['a field added without default', record(id), record(id, field('more', 'string'))],
    ['a field without default dropped', record(id, field('more', 'string')), record(id)],
    ['a field renamed', record(field('old', 'long')), record(field('new', 'long'))],
    ['a type widened, as an old reader cannot follow', record(field('n', 'int')), record(field('n', 'long'))],
    [
      'a union narrowed',
      record(field('u', ['null', 'string'], { default: null })),
      record(field('u', ['null'], { default: null })),
    ],
    ['a namespace changed', record(id), { ...record(id), namespace: 'other' }],
    [
      'an enum symbol added without default',
      record(field('r', reason(['compromise'], {}))),
      record(field('r', reason(['compromise', 'admin'], {}))),
    ],
    [
      'a fixed of another size',
      record(field('f', { type: 'fixed', name: 'F', size: 8 })),
      record(field('f', { type: 'fixed', name: 'F', size: 16 })),
    ],
    [
      'a logical type gained',
      record(field('t', 'long')),
      record(field('t', { type: 'long', logicalType: 'timestamp-millis' })),
    ],
  ])('%s', (_name, before, after) => {
    expect(checkPairs(versions(before, after))).not.toEqual([])
  })

  test('also between versions that are not neighbours', () => {
    const a = record(id)
    const b = record(id, field('n', ['null', 'string'], { default: null }))
    const c = record(id, field('n', ['null', 'long'], { default: null }))
    expect(checkPairs(versions(a, b))).toEqual([])
    expect(checkPairs(versions(a, c))).toEqual([])
    expect(checkPairs(versions(b, a, c)).map((p) => p.where)).toEqual(['R v1 reading v3', 'R v3 reading v1'])
  })

  test('while compatible ones pass', () => {
    expect(checkPairs(versions(record(id), record(id, field('more', 'string', { default: '' }))))).toEqual([])
    expect(
      checkPairs(
        versions(record(field('r', reason(['compromise']))), record(field('r', reason(['compromise', 'admin'])))),
      ),
    ).toEqual([])
  })
})

describe('history', () => {
  test('finds a change that was not kept, a gap, and a record that was dropped', () => {
    const v1 = record(id)
    const v2 = record(id, field('more', 'string', { default: '' }))
    expect(checkHistory([v2], versions(v1))[0]?.what).toContain('keep it as v2.avsc')
    expect(checkHistory([v2], [{ name: 'R', version: 2, schema: v2 }])[0]?.what).toContain('version 1 is not kept')
    expect(checkHistory([v1], [])[0]?.what).toContain('no version kept')
    expect(checkHistory([], versions(v1))[0]?.what).toContain('a published record stays')
  })
})

describe('lint', () => {
  test.each([
    ['a map', record(field('m', { type: 'map', values: 'string' }))],
    ['an array of null', record(field('a', { type: 'array', items: 'null' }))],
    [
      'an array of empty records',
      record(field('a', { type: 'array', items: { type: 'record', name: 'E', fields: [] } })),
    ],
    [
      'an array of records of nothing but null',
      record(
        field('a', { type: 'array', items: { type: 'record', name: 'E', fields: [{ name: 'x', type: 'null' }] } }),
      ),
    ],
    ['an enum without default', record(field('r', reason(['compromise'], {})))],
    [
      'an enum that defaults to a mild meaning',
      record(field('r', reason(['compromise', 'logout'], { default: 'logout' }))),
    ],
    [
      'an enum nobody has judged',
      record(field('c', { type: 'enum', name: 'Colour', symbols: ['red'], default: 'red' })),
    ],
  ])('refuses %s', (_name, schema) => {
    expect(lint(schema)).toHaveLength(1)
  })

  test('a shared type must say the same everywhere', () => {
    expect(
      checkShared([record(field('r', reason(['compromise']))), record(field('r', reason(['compromise', 'admin'])))]),
    ).toHaveLength(1)
  })

  test('knows the fewest bytes of a type', () => {
    expect(
      minimumSize(record(id, field('f', { type: 'fixed', name: 'F', size: 16 }), field('n', 'null')), record()),
    ).toBe(17)
  })
})
