/**
 * Strings that many envelopes have in common, such as audience, tenant and scopes: recognised by their bytes instead of
 * being made again. Invariant: what it answers is what decoding would; a slot that another string took costs time only.
 */
const SLOTS = 256
const LONGEST = 64

export class SharedStrings {
  /** ASCII only, so that a character is a byte. */
  readonly #slots: string[] = new Array<string>(SLOTS).fill('')

  /** @returns the string whose ASCII bytes are [from, from + length), if it was kept; else null. */
  find(bytes: Uint8Array, from: number, length: number): string | null {
    if (length === 0 || length > LONGEST) return null
    const kept = this.#slots[slotOf(bytes, from, length)] as string
    if (kept.length !== length) return null
    for (let i = 0; i < length; i++) if (kept.charCodeAt(i) !== bytes[from + i]) return null
    return kept
  }

  /** Keeps an ASCII string that was read from [from, from + length). */
  keep(text: string, bytes: Uint8Array, from: number, length: number): void {
    if (length > 0 && length <= LONGEST) this.#slots[slotOf(bytes, from, length)] = text
  }
}

/** Names that differ in their last letters or in their length are the usual ones. */
function slotOf(bytes: Uint8Array, from: number, length: number): number {
  const first = bytes[from] as number
  const middle = bytes[from + (length >> 1)] as number
  const last = bytes[from + length - 1] as number
  return (length * 7 + first * 31 + middle * 13 + last) & (SLOTS - 1)
}
