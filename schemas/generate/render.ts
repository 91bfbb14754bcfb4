/**
 * Renders TypeScript from Avro: one interface or union per named type, and the schemas themselves, so
 * that a published package reads no files. Pure; `main.ts` reads and writes.
 */

export type Avro = string | Avro[] | AvroObject
export interface AvroObject {
  type: string | Avro
  name?: string
  namespace?: string
  doc?: string
  fields?: { name: string; type: Avro; doc?: string; default?: unknown }[]
  symbols?: string[]
  default?: string
  items?: Avro
  values?: Avro
  size?: number
  logicalType?: string
}

/** A kept version of one record. */
export interface Kept {
  readonly name: string
  readonly version: number
  readonly schema: AvroObject
}

const BANNER = '// Generated from schemas/avro and schemas/history by `npm run generate`; do not edit.\n\n'
const PRIMITIVES: Readonly<Record<string, string>> = {
  string: 'string',
  int: 'number',
  long: 'number',
  double: 'number',
  boolean: 'boolean',
  bytes: 'Uint8Array',
  null: 'null',
}

/** @returns file name → text, for `src/generated`. */
export function render(current: readonly AvroObject[], kept: readonly Kept[]): Record<string, string> {
  const declarations = new Map<string, string>()
  for (const schema of current) declare(schema, declarations)
  return {
    'types.ts': BANNER + [...declarations.values()].join('\n'),
    'schemas.ts':
      BANNER + current.map((s) => `export const ${constantOf(s)}: object = ${JSON.stringify(s)}\n`).join('\n'),
    'published.ts': `${BANNER}/** Every version ever published, oldest first. */\nexport const published: readonly { readonly name: string; readonly version: number; readonly schema: object }[] = [\n${kept
      .map((k) => `  { name: '${fullName(k.schema)}', version: ${k.version}, schema: ${JSON.stringify(k.schema)} },\n`)
      .join('')}]\n`,
  }
}

/** @returns namespace and name of a named type. */
function fullName(schema: AvroObject): string {
  return schema.namespace ? `${schema.namespace}.${schema.name}` : (schema.name ?? '')
}

function constantOf(schema: AvroObject): string {
  const name = schema.name ?? ''
  return `${name.charAt(0).toLowerCase()}${name.slice(1)}Schema`
}

function typeOf(schema: Avro, into: Map<string, string>): string {
  if (Array.isArray(schema)) return schema.map((s) => typeOf(s, into)).join(' | ')
  if (typeof schema === 'string') return PRIMITIVES[schema] ?? schema.split('.').at(-1) ?? schema
  if (schema.type === 'array') return `readonly ${wrap(typeOf(schema.items ?? 'null', into))}[]`
  if (schema.type === 'record' || schema.type === 'enum' || schema.type === 'fixed') return declare(schema, into)
  return typeOf(schema.type, into)
}

function wrap(type: string): string {
  return type.includes(' ') ? `(${type})` : type
}

function declare(schema: AvroObject, into: Map<string, string>): string {
  const name = schema.name ?? ''
  if (into.has(name)) return name
  into.set(name, '')
  const doc = schema.doc ? `/** ${schema.doc} */\n` : ''
  if (schema.type === 'enum') {
    into.set(name, `${doc}export type ${name} = ${(schema.symbols ?? []).map((s) => `'${s}'`).join(' | ')}\n`)
  } else if (schema.type === 'fixed') {
    into.set(name, `${doc}export type ${name} = Uint8Array\n`)
  } else {
    const fields = (schema.fields ?? []).map(
      (f) => `  /** ${f.doc ?? ''} */\n  readonly ${f.name}: ${typeOf(f.type, into)}\n`,
    )
    into.set(name, `${doc}export interface ${name} {\n${fields.join('')}}\n`)
  }
  return name
}
