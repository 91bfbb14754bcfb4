/** Effects as small numbers while some floor uses them. */
import { type Effect, REASONS, type Reason } from './effects.ts'

/** Ids fit 24 bits; an id is free again when its last floor is gone. */
export const MAX_EFFECTS: number = 2 ** 24

/** An element of the digest: `countersign.floor.v1\0`, target key, floor (u64 BE), fallback (u8 length, UTF-8), effect (UTF-8). */
const ELEMENT_PREFIX = Buffer.from('countersign.floor.v1\0', 'utf8')

interface Interned {
  readonly effect: Effect
  /** Element templates by rank of the fallback, made on first use; key and floor are filled in per element. */
  readonly templates: (Buffer | undefined)[]
  uses: number
}

/** Maps effects to ids and back, counting uses. */
export class EffectTable {
  readonly #ids = new Map<Effect, number>()
  readonly #effects: (Interned | undefined)[] = []
  readonly #free: number[] = []

  /** Effects in use. */
  get size(): number {
    return this.#ids.size
  }

  /** Rough, for the memory budget: entry, string and element templates. */
  get bytes(): number {
    return this.#effects.length * 512
  }

  /** @returns the id, or -1 when the effect is not in use. */
  idOf(effect: Effect): number {
    return this.#ids.get(effect) ?? -1
  }

  /** @returns the id of `effect`, in use once more. */
  retain(effect: Effect): number {
    const known = this.#ids.get(effect)
    if (known !== undefined) {
      this.#at(known).uses++
      return known
    }
    const id = this.#free.pop() ?? this.#effects.length
    this.#effects[id] = { effect, templates: [], uses: 1 }
    this.#ids.set(effect, id)
    return id
  }

  /** Ends one use of `id`. */
  release(id: number): void {
    const interned = this.#at(id)
    if (--interned.uses > 0) return
    this.#ids.delete(interned.effect)
    this.#effects[id] = undefined
    this.#free.push(id)
  }

  effectOf(id: number): Effect {
    return this.#at(id).effect
  }

  /**
   * @param rank of the fallback in `REASONS`.
   * @returns the element's bytes with key and floor to be filled in at `ELEMENT_KEY` and `ELEMENT_FLOOR`;
   *   valid until the next call with the same effect and rank.
   */
  template(id: number, rank: number): Buffer {
    const interned = this.#at(id)
    const made = interned.templates[rank]
    if (made !== undefined) return made
    const template = elementTemplate(interned.effect, REASONS[rank] as Reason)
    interned.templates[rank] = template
    return template
  }

  /** @returns all effects in use with their ids, ids rising. */
  *inUse(): Generator<readonly [id: number, effect: Effect]> {
    for (const [id, interned] of this.#effects.entries()) if (interned) yield [id, interned.effect]
  }

  /** @returns a copy with the same ids. */
  clone(): EffectTable {
    const copy = new EffectTable()
    for (const [effect, id] of this.#ids) copy.#ids.set(effect, id)
    for (const interned of this.#effects) copy.#effects.push(interned && { ...interned, templates: [] })
    copy.#free.push(...this.#free)
    return copy
  }

  #at(id: number): Interned {
    return this.#effects[id] as Interned
  }
}

/** Where in an element the target key stands. */
export const ELEMENT_KEY: number = ELEMENT_PREFIX.length
/** Where in an element the floor stands. */
export const ELEMENT_FLOOR: number = ELEMENT_KEY + 16

function elementTemplate(effect: Effect, fallback: Reason): Buffer {
  return Buffer.concat([
    ELEMENT_PREFIX,
    Buffer.alloc(24),
    Buffer.of(fallback.length),
    Buffer.from(fallback, 'utf8'),
    Buffer.from(effect, 'utf8'),
  ])
}

/** The digest element of one floor, spelled out; what views compute incrementally. */
export function digestElement(floor: {
  readonly key: Uint8Array
  readonly effect: Effect
  readonly fallback: Reason
  readonly floor: number
}): Buffer {
  const element = elementTemplate(floor.effect, floor.fallback)
  element.set(floor.key, ELEMENT_KEY)
  element.writeBigUInt64BE(BigInt(floor.floor), ELEMENT_FLOOR)
  return element
}
