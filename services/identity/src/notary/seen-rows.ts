/** Which signal id stands at which offset, as read and verified. Compact: 32 bytes a signal. */
export class SeenRows {
  #offsets = new Float64Array(1024)
  #times = new Float64Array(1024)
  #ids = Buffer.alloc(1024 * ID_BYTES)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Notes a signal; offsets rise. */
  add(offset: number, id: Uint8Array, timestamp: number): void {
    if (this.#size === this.#offsets.length) this.#grow()
    this.#offsets[this.#size] = offset
    this.#times[this.#size] = timestamp
    this.#ids.set(id, this.#size * ID_BYTES)
    this.#size++
  }

  /** True when that signal was read at that offset. */
  has(offset: number, id: Uint8Array): boolean {
    const i = this.#indexOf(offset)
    if (i >= this.#size || this.#offsets[i] !== offset) return false
    return this.#ids.compare(id, 0, ID_BYTES, i * ID_BYTES, (i + 1) * ID_BYTES) === 0
  }

  /** @returns the ids read at offsets ≥ `from`, by offset. */
  since(from: number): Map<number, Buffer> {
    const found = new Map<number, Buffer>()
    for (let i = this.#indexOf(from); i < this.#size; i++) {
      found.set(this.#offsets[i] as number, Buffer.from(this.#ids.subarray(i * ID_BYTES, (i + 1) * ID_BYTES)))
    }
    return found
  }

  clear(): void {
    this.#size = 0
  }

  /** Forgets what was appended before `time`, epoch ms. */
  forget(time: number): void {
    let gone = 0
    while (gone < this.#size && (this.#times[gone] as number) < time) gone++
    // Copying is worth it only once half is gone.
    if (gone < this.#size / 2) return
    this.#offsets.copyWithin(0, gone, this.#size)
    this.#times.copyWithin(0, gone, this.#size)
    this.#ids.copyWithin(0, gone * ID_BYTES, this.#size * ID_BYTES)
    this.#size -= gone
  }

  /** @returns index of the first entry at or above `offset`. */
  #indexOf(offset: number): number {
    let low = 0
    let high = this.#size
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#offsets[middle] as number) < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  #grow(): void {
    const capacity = this.#offsets.length * 2
    const offsets = new Float64Array(capacity)
    const times = new Float64Array(capacity)
    const ids = Buffer.alloc(capacity * ID_BYTES)
    offsets.set(this.#offsets)
    times.set(this.#times)
    ids.set(this.#ids)
    this.#offsets = offsets
    this.#times = times
    this.#ids = ids
  }
}

const ID_BYTES = 16
