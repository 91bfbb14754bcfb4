/** Mutations of valid bytes: blind ones, and ones that know where the fields are. */
import type { SeededRandom } from '@countersign/kernel/testing'

/** A range of bytes that means something. */
export interface Field {
  readonly name: string
  readonly from: number
  readonly to: number
}

const INTERESTING = [0x00, 0x01, 0x02, 0x03, 0x10, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xfe, 0xff]
// Varints: longest, not minimal, negative count, 200 million, 2^52, eleven groups.
const VARINTS = ['feffffffffffff0f', '8000', '01', '8084afbf01', '8080808080808010', '8080808080808080808001'].map(
  (hex) => Buffer.from(hex, 'hex'),
)
const TEXTS = ['__proto__', 'constructor', '\u0000', '*', ''].map((text) => Buffer.from(text))

/** @returns `bytes` with 1 to 3 blind edits, or now and then bytes that have nothing to do with it. */
export function blind(bytes: Buffer, random: SeededRandom): Buffer {
  if (random.below(20) === 0) return random.bytes(random.below(600))
  let out = bytes
  for (let edits = 1 + random.below(3); edits > 0; edits--) out = edit(out, random)
  return out
}

/** @returns `bytes` with one field changed: a bit, a value, its length, or the same field of `other`. */
export function structured(
  bytes: Buffer,
  fields: readonly Field[],
  other: Buffer,
  others: readonly Field[],
  random: SeededRandom,
): Buffer {
  // Framing comes first in both formats; what it frames gets half of the attention.
  const at = random.below(2) === 0 ? random.below(fields.length) : fields.length - 1 - random.below(4)
  const field = fields[at] as Field
  const source = others[at] as Field
  const part = bytes.subarray(field.from, field.to)
  const replaced = (by: Uint8Array): Buffer =>
    Buffer.concat([bytes.subarray(0, field.from), by, bytes.subarray(field.to)])
  switch (random.below(6)) {
    case 0:
      return replaced(other.subarray(source.from, source.to))
    case 1:
      return replaced(edit(part, random))
    case 2:
      return replaced(random.bytes(part.length))
    case 3:
      return replaced(Buffer.alloc(part.length, pick(INTERESTING, random)))
    case 4:
      return replaced(Buffer.concat([part, part]))
    default:
      return replaced(flipped(part, random))
  }
}

function edit(bytes: Buffer, random: SeededRandom): Buffer {
  const at = random.below(bytes.length + 1)
  const insert = (by: Uint8Array, drop = 0): Buffer =>
    Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(Math.min(bytes.length, at + drop))])
  switch (random.below(9)) {
    case 0:
      return bytes.subarray(0, at)
    case 1:
      return insert(Buffer.of(pick(INTERESTING, random)), 1)
    case 2:
      return insert(random.bytes(1 + random.below(8)))
    case 3:
      return insert(Buffer.alloc(0), 1 + random.below(8))
    case 4:
      return insert(pick(VARINTS, random), random.below(3))
    case 5:
      return insert(pick(TEXTS, random), random.below(12))
    case 6:
      return Buffer.concat([bytes, random.bytes(1 + random.below(40))])
    case 7:
      return insert(bytes.subarray(random.below(bytes.length + 1)).subarray(0, random.below(64)), random.below(64))
    default:
      return flipped(bytes, random)
  }
}

function flipped(bytes: Buffer, random: SeededRandom): Buffer {
  const out = Buffer.from(bytes)
  if (out.length === 0) return Buffer.of(0)
  const bit = random.below(out.length * 8)
  out[bit >> 3] = (out[bit >> 3] as number) ^ (1 << (bit & 7))
  return out
}

function pick<T>(from: readonly T[], random: SeededRandom): T {
  return from[random.below(from.length)] as T
}
