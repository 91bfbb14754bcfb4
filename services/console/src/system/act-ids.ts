/** Ids for acts that a page offers: the same button has the same id however often the page is renewed, so pressing it twice acts once. */
import { createHmac } from 'node:crypto'
import type { Random } from '@countersign/kernel'

export class ActIds {
  readonly #key: Buffer

  constructor(random: Random) {
    this.#key = random.bytes(32)
  }

  /** @returns a UUID of version 4 that nobody else arrives at. */
  of(...parts: readonly string[]): string {
    const id = createHmac('sha256', this.#key).update(JSON.stringify(parts)).digest().subarray(0, 16)
    id[6] = 0x40 | ((id[6] as number) & 0x0f)
    id[8] = 0x80 | ((id[8] as number) & 0x3f)
    return id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }
}
