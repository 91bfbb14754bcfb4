/**
 * Walks Avro bytes before avsc sees them, allocating nothing. It proves that the bytes are the one
 * spelling avsc itself would write and that no count exceeds what is left, so that a few hostile bytes
 * cannot make the decoder allocate or loop: avsc believes an array's count until after its loop.
 */
import { isUtf8 } from 'node:buffer'

/** Moves over one value. @returns the position after it. @throws {RangeError} for any other spelling. */
type Step = (bytes: Buffer, at: number) => number

type Schema = string | readonly Schema[] | SchemaObject
interface SchemaObject {
  readonly type: Schema
  readonly name?: string
  readonly namespace?: string
  readonly fields?: readonly { readonly type: Schema }[]
  readonly symbols?: readonly string[]
  readonly items?: Schema
  readonly size?: number
}

/**
 * @param schema record schema without maps and without array items of zero bytes.
 * @returns a check that throws {RangeError} unless the bytes are exactly one canonical value.
 * @throws {TypeError} for a schema with maps or zero-byte array items.
 */
export function spelling(schema: object): (bytes: Buffer) => void {
  const step = compile(schema as SchemaObject, '', new Map()).step
  return (bytes) => {
    if (step(bytes, 0) !== bytes.length) throw new RangeError('bytes are left over')
  }
}

interface Compiled {
  readonly step: Step
  /** Fewest bytes a value takes. */
  readonly least: number
}

const PRIMITIVES: Readonly<Record<string, Compiled>> = {
  null: { step: (_bytes, at) => at, least: 0 },
  boolean: { step: booleanStep, least: 1 },
  int: { step: intStep, least: 1 },
  long: { step: longStep, least: 1 },
  float: { step: floatStep, least: 4 },
  double: { step: doubleStep, least: 8 },
  bytes: { step: bytesStep, least: 1 },
  string: { step: stringStep, least: 1 },
}

function compile(schema: Schema, namespace: string, named: Map<string, Compiled>): Compiled {
  if (typeof schema === 'string') return lookUp(schema, namespace, named)
  if ('length' in schema) return union(schema.map((branch) => compile(branch, namespace, named)))
  const space = schema.namespace ?? namespace
  switch (schema.type) {
    case 'record': {
      const steps: Step[] = []
      let least = 0
      // Entered before its fields are compiled, so that a record may name itself.
      define(schema, space, named, { step: (bytes, at) => sequence(steps, bytes, at), least: 1 })
      for (const field of schema.fields ?? []) {
        const part = compile(field.type, space, named)
        steps.push(part.step)
        least += part.least
      }
      return define(schema, space, named, { step: (bytes, at) => sequence(steps, bytes, at), least })
    }
    case 'enum':
      return define(schema, space, named, { step: below(schema.symbols?.length ?? 0), least: 1 })
    case 'fixed':
      return define(schema, space, named, fixed(schema.size ?? 0))
    case 'array':
      return array(compile(schema.items ?? 'null', space, named))
    case 'map':
      throw new TypeError('maps have no canonical order: use an array of pairs')
    default:
      return compile(schema.type, space, named)
  }
}

function define(schema: SchemaObject, namespace: string, named: Map<string, Compiled>, compiled: Compiled): Compiled {
  const name = schema.name ?? ''
  named.set(name.includes('.') || namespace === '' ? name : `${namespace}.${name}`, compiled)
  return compiled
}

function lookUp(name: string, namespace: string, named: Map<string, Compiled>): Compiled {
  const found = PRIMITIVES[name] ?? named.get(`${namespace}.${name}`) ?? named.get(name)
  if (!found) throw new TypeError(`no type ${name}`)
  return found
}

function sequence(steps: readonly Step[], bytes: Buffer, at: number): number {
  let next = at
  for (const step of steps) next = step(bytes, next)
  return next
}

function union(branches: readonly Compiled[]): Compiled {
  const index = below(branches.length)
  return {
    least: 1,
    step(bytes, at) {
      const next = index(bytes, at)
      return (branches[(bytes[at] as number) >> 1] as Compiled).step(bytes, next)
    },
  }
}

function array(item: Compiled): Compiled {
  if (item.least === 0) throw new TypeError('array items of zero bytes')
  return {
    least: 1,
    step(bytes, at) {
      // avsc writes one block with a positive count, then an empty one; or the empty one alone.
      let next = longStep(bytes, at)
      const count = longAt(bytes, at, next)
      if (count === 0) return next
      if (count < 0 || count * item.least > bytes.length - next) throw new RangeError('count beyond the bytes')
      for (let i = 0; i < count; i++) next = item.step(bytes, next)
      if (bytes[next] !== 0) throw new RangeError('second block')
      return next + 1
    },
  }
}

function fixed(size: number): Compiled {
  return { least: size, step: (bytes, at) => inside(bytes, at + size) }
}

// Enum and union indexes here are below 64, so one byte: zigzag of a small number.
function below(count: number): Step {
  if (count > 64) throw new TypeError('more than 64 symbols or branches')
  return (bytes, at) => {
    const byte = bytes[at]
    if (byte === undefined || (byte & 1) === 1 || byte >> 1 >= count) throw new RangeError('index out of range')
    return at + 1
  }
}

function inside(bytes: Buffer, end: number): number {
  if (end > bytes.length) throw new RangeError('truncated')
  return end
}

function booleanStep(bytes: Buffer, at: number): number {
  if ((bytes[at] ?? 2) > 1) throw new RangeError('not a boolean')
  return at + 1
}

/**
 * Numbers stay below 2⁵² either way. From there on avsc reads some negative ones as positive, since it
 * takes the zigzag bits apart in a double: eight bytes, the last below 16, keep them exact.
 */
function longStep(bytes: Buffer, at: number): number {
  let next = at
  for (;;) {
    const byte = bytes[next++]
    if (byte === undefined) throw new RangeError('truncated')
    if (next - at === 8 && byte >= 16) throw new RangeError('number beyond 52 bits')
    if (byte < 0x80) {
      if (byte === 0 && next - at > 1) throw new RangeError('padded number')
      return next
    }
  }
}

function intStep(bytes: Buffer, at: number): number {
  const next = longStep(bytes, at)
  if (next - at >= 5) {
    const value = longAt(bytes, at, next)
    if (value > 0x7fffffff || value < -0x80000000) throw new RangeError('number beyond 32 bits')
  }
  return next
}

function longAt(bytes: Buffer, at: number, end: number): number {
  let unsigned = 0
  for (let i = end - 1; i >= at; i--) unsigned = unsigned * 128 + ((bytes[i] as number) & 0x7f)
  return unsigned % 2 === 0 ? unsigned / 2 : -(unsigned + 1) / 2
}

function bytesStep(bytes: Buffer, at: number): number {
  const next = longStep(bytes, at)
  const length = longAt(bytes, at, next)
  if (length < 0) throw new RangeError('negative length')
  return inside(bytes, next + length)
}

function stringStep(bytes: Buffer, at: number): number {
  const end = bytesStep(bytes, at)
  for (let i = at; i < end; i++) {
    // Lengths above 63 have the high bit too; then the whole is asked.
    if ((bytes[i] as number) >= 0x80) return utf8(bytes, at, end)
  }
  return end
}

function utf8(bytes: Buffer, at: number, end: number): number {
  if (!isUtf8(bytes.subarray(longStep(bytes, at), end))) throw new RangeError('not UTF-8')
  return end
}

function floatStep(bytes: Buffer, at: number): number {
  const end = inside(bytes, at + 4)
  if (Number.isNaN(bytes.readFloatLE(at))) throw new RangeError('not a number')
  return end
}

function doubleStep(bytes: Buffer, at: number): number {
  const end = inside(bytes, at + 8)
  if (Number.isNaN(bytes.readDoubleLE(at))) throw new RangeError('not a number')
  return end
}
