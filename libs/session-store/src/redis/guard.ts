/**
 * Reads the frames of replies (RESP2) before the client does. Frames nobody asked for, of a type the client did not agree
 * to, or of absurd size would make it throw where nobody can catch it, or hold memory without end.
 */

const LARGEST_REPLY = 64 * 1024 * 1024
const DEEPEST = 8
const LONGEST_LINE = 64 * 1024

const LF = 10
const CR = 13
const MINUS = 45
const ZERO = 48
const STRING = 36
const ARRAY = 42
// + - : $ *
const TYPES: ReadonlySet<number> = new Set([43, MINUS, 58, STRING, ARRAY])

export class ReplyGuard {
  readonly #waiting: () => number
  /** Elements still to come, of each array that is open. */
  #open: number[] = []
  /** Bytes of a string, with its line end, still to come. */
  #skip = 0
  /** Type of the frame whose first line is not complete; 0 between frames. */
  #type = 0
  #length = 0
  #negative = false
  #line = 0
  #size = 0

  /** @param waiting replies that are due. */
  constructor(waiting: () => number) {
    this.#waiting = waiting
  }

  /** @returns why the connection cannot be trusted any more, null to go on. */
  refuse(chunk: Uint8Array): string | null {
    let due = this.#waiting()
    this.#size += chunk.length
    if (this.#size > LARGEST_REPLY) return 'a reply is too large'
    let at = 0
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const taken = Math.min(this.#skip, chunk.length - at)
        this.#skip -= taken
        at += taken
        if (this.#skip === 0 && this.#closes()) due = this.#count(due, chunk.length - at)
        continue
      }
      const byte = chunk[at++] as number
      if (this.#type === 0) {
        if (due <= 0) return 'a reply nobody asked for'
        if (!TYPES.has(byte)) return 'a reply of a type that was not agreed to'
        this.#type = byte
        this.#length = 0
        this.#negative = false
        this.#line = 0
      } else if (byte !== LF) {
        if (++this.#line > LONGEST_LINE) return 'a reply has a line without end'
        if (byte === MINUS && this.#line === 1) this.#negative = true
        else if (byte >= ZERO && byte <= ZERO + 9) this.#length = this.#length * 10 + byte - ZERO
        else if (byte !== CR && (this.#type === STRING || this.#type === ARRAY)) return 'a reply of no length'
      } else {
        const type = this.#type
        this.#type = 0
        if (this.#length > LARGEST_REPLY && (type === STRING || type === ARRAY)) return 'a reply is too large'
        if (type === STRING && !this.#negative) {
          this.#skip = this.#length + 2
          continue
        }
        if (type === ARRAY && !this.#negative && this.#length > 0) {
          if (this.#open.push(this.#length) > DEEPEST) return 'a reply is nested too deep'
          continue
        }
        if (this.#closes()) due = this.#count(due, chunk.length - at)
      }
    }
    return due < 0 ? 'a reply nobody asked for' : null
  }

  /** @returns true when a whole reply has ended with the element that did. */
  #closes(): boolean {
    while (this.#open.length > 0) {
      const last = this.#open.length - 1
      const left = (this.#open[last] as number) - 1
      this.#open[last] = left
      if (left > 0) return false
      this.#open.length = last
    }
    return true
  }

  #count(due: number, rest: number): number {
    this.#size = rest
    return due - 1
  }
}
