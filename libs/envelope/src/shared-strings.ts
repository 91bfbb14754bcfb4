/**
 * Strings that many envelopes have in common, such as audience, tenant and scopes: recognised by their bytes instead of
 * being made again. Invariant: what it answers is what decoding would; a slot that another string took costs time only.
 */
const SLOTS = 256
const LONGEST = 64

export class SharedStrings {
  readonly #texts: string[] = new Array<string>(SLOTS).fill('')
  readonly #lengths = new Uint8Array(SLOTS)
  /** What the texts were read from: bytes compare faster than characters, of which V8 has a dozen kinds. */
  readonly #spellings = new Uint8Array(SLOTS * LONGEST)

  /** @returns the string whose ASCII bytes are [from, from + length), if it was kept; else null. */
  find(bytes: Uint8Array, from: number, length: number): string | null {
    if (length === 0 || length > LONGEST) return null
    const slot = slotOf(bytes, from, length)
    if (this.#lengths[slot] !== length) return null
    const spelling = this.#spellings
    const begin = slot * LONGEST
    for (let i = 0; i < length; i++) if (spelling[begin + i] !== bytes[from + i]) return null
    return this.#texts[slot] as string
  }

  /** Keeps an ASCII string that was read from [from, from + length). */
  keep(text: string, bytes: Uint8Array, from: number, length: number): void {
    if (length === 0 || length > LONGEST) return
    const slot = slotOf(bytes, from, length)
    this.#texts[slot] = text
    this.#lengths[slot] = length
    for (let i = 0; i < length; i++) this.#spellings[slot * LONGEST + i] = bytes[from + i] as number
  }
}

/** Names that differ in their last letters or in their length are the usual ones. */
function slotOf(bytes: Uint8Array, from: number, length: number): number {
  const first = bytes[from] as number
  const middle = bytes[from + (length >> 1)] as number
  const last = bytes[from + length - 1] as number
  return (length * 7 + first * 31 + middle * 13 + last) & (SLOTS - 1)
}
