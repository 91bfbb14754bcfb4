/**
 * Compatibility of the contracts, offline: every pair of versions of a record must read each other,
 * both ways, and every schema must pass the lint. FULL_TRANSITIVE lets any reader meet any record
 * that was ever written, whatever the order of deployments.
 */
import avsc from 'avsc'
import type { Avro, AvroObject, Kept } from '../generate/render.ts'

/** One thing wrong: where, and what would be right. */
export interface Problem {
  readonly where: string
  readonly what: string
}

/**
 * What an old reader takes an unknown symbol for. It must be the strictest meaning there is: the reason
 * that stops most, the key that may sign least, the consumer that admits nothing.
 */
const STRICTEST: Readonly<Record<string, string>> = {
  Reason: 'compromise',
  TargetKind: 'tenant',
  PrincipalKind: 'webhook',
  CredentialKind: 'webhook_signature',
  KeyUse: 'derive',
  DecisionPhase: 'admitted',
  Outcome: 'dead_lettered',
  ConsumerState: 'closed',
  // A record of what was: nothing is decided by it.
  JourneyAction: 'other',
}

/** Every problem of contracts and history; none when all is well. */
export function checkContracts(current: readonly AvroObject[], kept: readonly Kept[]): Problem[] {
  return [
    ...checkHistory(current, kept),
    ...checkPairs(kept),
    ...current.flatMap((s) => lint(s)),
    ...checkShared(current),
  ]
}

/** The newest kept version is what `avro/` says, versions are whole, and none is missing. */
export function checkHistory(current: readonly AvroObject[], kept: readonly Kept[]): Problem[] {
  const problems: Problem[] = []
  const byName = Map.groupBy(kept, (k) => k.name)
  for (const schema of current) {
    const name = schema.name ?? ''
    const versions = byName.get(name) ?? []
    byName.delete(name)
    const newest = versions.at(-1)
    if (!newest)
      problems.push({ where: name, what: 'no version kept: copy it to history as v1.avsc and give it an id' })
    else if (JSON.stringify(newest.schema) !== JSON.stringify(schema)) {
      problems.push({
        where: name,
        what: `differs from kept v${newest.version}: keep it as v${newest.version + 1}.avsc and give it an id`,
      })
    }
    versions.forEach((k, i) => {
      if (k.version !== i + 1) problems.push({ where: name, what: `version ${i + 1} is not kept` })
      if (k.schema.name !== name) problems.push({ where: `${name} v${k.version}`, what: `describes ${k.schema.name}` })
    })
  }
  for (const name of byName.keys())
    problems.push({ where: name, what: 'kept, but no longer in avro: a published record stays' })
  return problems
}

/** Every ordered pair of versions: the one reads what the other wrote. */
export function checkPairs(kept: readonly Kept[]): Problem[] {
  const problems: Problem[] = []
  for (const versions of Map.groupBy(kept, (k) => k.name).values()) {
    for (const reader of versions) {
      for (const writer of versions) {
        if (reader === writer) continue
        const where = `${reader.name} v${reader.version} reading v${writer.version}`
        try {
          typeFor(reader.schema).createResolver(typeFor(writer.schema))
        } catch (error) {
          problems.push({ where, what: error instanceof Error ? error.message : 'cannot be resolved' })
          continue
        }
        for (const path of logicalChanges(reader.schema, writer.schema)) {
          problems.push({ where, what: `${path} changes its logical type, which resolution does not see` })
        }
      }
    }
  }
  return problems
}

/** What Avro allows and these contracts do not. */
export function lint(schema: AvroObject): Problem[] {
  const problems: Problem[] = []
  visit(schema, schema.name ?? '', (node, where) => {
    if (typeof node !== 'object' || Array.isArray(node)) return
    if (node.type === 'map') problems.push({ where, what: 'maps have no canonical order: use an array of pairs' })
    if (node.type === 'array' && minimumSize(node.items ?? 'null', schema) === 0) {
      problems.push({ where, what: 'array items of zero bytes let a few bytes claim millions of them' })
    }
    if (node.type === 'enum') {
      const name = node.name ?? ''
      const strictest = STRICTEST[name]
      if (strictest === undefined) problems.push({ where, what: `enum ${name} has no strictest meaning in STRICTEST` })
      else if (node.default !== strictest)
        problems.push({ where, what: `enum ${name} must default to its strictest meaning, ${strictest}` })
    }
  })
  return problems
}

/** A named type says the same wherever it stands. */
export function checkShared(current: readonly AvroObject[]): Problem[] {
  const problems: Problem[] = []
  const first = new Map<string, string>()
  for (const schema of current) {
    visit(schema, schema.name ?? '', (node, where) => {
      if (
        typeof node !== 'object' ||
        Array.isArray(node) ||
        node.name === undefined ||
        !('symbols' in node || 'size' in node)
      )
        return
      const says = JSON.stringify([node.symbols, node.size, node.default])
      if ((first.get(node.name) ?? says) !== says)
        problems.push({ where, what: `${node.name} says something else elsewhere` })
      first.set(node.name, says)
    })
  }
  return problems
}

/** @returns the fewest bytes a value of `schema` takes; named types are looked up in `root`. */
export function minimumSize(schema: Avro, root: AvroObject, within: ReadonlySet<string> = new Set()): number {
  if (Array.isArray(schema)) return 1
  if (typeof schema === 'string') {
    const named = namedType(root, schema)
    if (named) return within.has(schema) ? 1 : minimumSize(named, root, new Set([...within, schema]))
    return schema === 'null' ? 0 : schema === 'double' ? 8 : schema === 'float' ? 4 : 1
  }
  if (schema.type === 'record')
    return (schema.fields ?? []).reduce((sum, f) => sum + minimumSize(f.type, root, within), 0)
  if (schema.type === 'fixed') return schema.size ?? 0
  if (schema.type === 'enum' || schema.type === 'array' || schema.type === 'map') return 1
  return minimumSize(schema.type, root, within)
}

function namedType(root: AvroObject, name: string): AvroObject | undefined {
  let found: AvroObject | undefined
  visit(root, '', (node) => {
    if (
      typeof node === 'object' &&
      !Array.isArray(node) &&
      node.name !== undefined &&
      node.name === name.split('.').at(-1)
    )
      found ??= node
  })
  return found
}

function visit(schema: Avro, where: string, fn: (node: Avro, where: string) => void): void {
  fn(schema, where)
  if (Array.isArray(schema)) for (const branch of schema) visit(branch, where, fn)
  else if (typeof schema === 'object') {
    for (const f of schema.fields ?? []) visit(f.type, `${where}.${f.name}`, fn)
    if (schema.items !== undefined) visit(schema.items, `${where}[]`, fn)
    if (schema.values !== undefined) visit(schema.values, `${where}{}`, fn)
    if (typeof schema.type === 'object') visit(schema.type, where, fn)
  }
}

function logicalChanges(a: AvroObject, b: AvroObject): string[] {
  const of = (schema: AvroObject): Map<string, string | undefined> => {
    const found = new Map<string, string | undefined>()
    visit(schema, schema.name ?? '', (node, where) => {
      if (!found.has(where)) found.set(where, undefined)
      if (typeof node === 'object' && !Array.isArray(node) && node.logicalType !== undefined)
        found.set(where, node.logicalType)
    })
    return found
  }
  const left = of(a)
  const right = of(b)
  return [...left.keys()].filter((path) => right.has(path) && left.get(path) !== right.get(path))
}

function typeFor(schema: AvroObject): avsc.Type {
  return avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: false })
}
