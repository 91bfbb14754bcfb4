/**
 * Writes `src/generated/*.ts` from `avro/*.avsc`: one interface or union per named Avro type, and
 * the schemas themselves, so that a published package reads no files. `--check` writes nothing and
 * exits 1 when what is committed differs from what would be written.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

type Avro = string | Avro[] | AvroObject
interface AvroObject {
  type: string | Avro
  name?: string
  doc?: string
  fields?: { name: string; type: Avro; doc?: string }[]
  symbols?: string[]
  items?: Avro
}

const root = join(import.meta.dirname, '..')
const PRIMITIVES: Record<string, string> = {
  string: 'string', int: 'number', long: 'number', double: 'number', boolean: 'boolean', bytes: 'Uint8Array', null: 'null',
}
const declarations = new Map<string, string>()

function typeOf(schema: Avro): string {
  if (Array.isArray(schema)) return schema.map(typeOf).join(' | ')
  if (typeof schema === 'string') return PRIMITIVES[schema] ?? schema.split('.').at(-1) ?? schema
  if (schema.type === 'array') return `readonly ${wrap(typeOf(schema.items ?? 'null'))}[]`
  if (schema.type === 'record' || schema.type === 'enum' || schema.type === 'fixed') return declare(schema)
  return typeOf(schema.type)
}

function wrap(type: string): string {
  return type.includes(' ') ? `(${type})` : type
}

function declare(schema: AvroObject): string {
  const name = schema.name ?? ''
  if (declarations.has(name)) return name
  declarations.set(name, '')
  const doc = schema.doc ? `/** ${schema.doc} */\n` : ''
  if (schema.type === 'enum') {
    declarations.set(name, `${doc}export type ${name} = ${(schema.symbols ?? []).map((s) => `'${s}'`).join(' | ')}\n`)
  } else if (schema.type === 'fixed') {
    declarations.set(name, `${doc}export type ${name} = Uint8Array\n`)
  } else {
    const fields = (schema.fields ?? []).map((f) => `  /** ${f.doc ?? ''} */\n  readonly ${f.name}: ${typeOf(f.type)}\n`)
    declarations.set(name, `${doc}export interface ${name} {\n${fields.join('')}}\n`)
  }
  return name
}

const files = readdirSync(join(root, 'avro')).filter((f) => f.endsWith('.avsc')).sort()
const schemas = files.map((f) => JSON.parse(readFileSync(join(root, 'avro', f), 'utf8')) as AvroObject)
for (const schema of schemas) declare(schema)
const banner = '// Generated from schemas/avro by `npm run generate`; do not edit.\n\n'
const outputs: Record<string, string> = {
  'types.ts': banner + [...declarations.values()].join('\n'),
  'schemas.ts':
    banner +
    schemas.map((s) => `export const ${s.name?.[0]?.toLowerCase()}${s.name?.slice(1)}Schema: object = ${JSON.stringify(s)}\n`).join('\n'),
}

let stale = false
for (const [file, text] of Object.entries(outputs)) {
  const path = join(root, 'src/generated', file)
  if (process.argv.includes('--check')) {
    const current = readFileSync(path, 'utf8')
    if (current !== text) {
      console.error(`schemas/src/generated/${file} is not what schemas/avro gives: run npm run generate`)
      stale = true
    }
  } else writeFileSync(path, text)
}
process.exitCode = stale ? 1 : 0
