/**
 * Which signal a view lacks, told from its digest alone. The digest is of a set and is kept by adding and taking away, so
 * what it would be without one signal needs no second view: only the floors of that signal's own target and effect.
 */
import { digestElement, type Effect, LtHash, type Reason, stricter } from '@countersign/revocation'

/** A signal that was folded, by what it left in the view. */
export interface Folded {
  readonly offset: number
  /** 16 bytes. */
  readonly id: Uint8Array
  readonly key: Uint8Array
  readonly effect: Effect
  readonly fallback: Reason
  readonly floor: number
}

/** The whole view, of which another one may lack a signal. */
export interface WholeView {
  /** Floors below it are gone, epoch milliseconds. */
  readonly horizon: number
  /** Every signal it was folded from. */
  readonly signals: readonly Folded[]
}

/**
 * @param digest SHA-256 of the digest state of the view that differs.
 * @returns the signals of which one, all its copies left out, makes the view have this digest; empty when none does:
 *   then more than one is missing, or something is there that the log does not hold. More than one when they are alike.
 *
 * Cost: about 24 µs a signal that matters to the view.
 */
export function withheldFrom({ horizon, signals }: WholeView, digest: Uint8Array): readonly Folded[] {
  const found: Folded[] = []
  const groups = groupsOf(signals, horizon)
  const state = stateOf(groups)
  for (const group of groups) {
    const whole = elementsOf(group)
    const tried = new Set<string>()
    for (const one of group) {
      const id = hex(one.id)
      if (tried.has(id)) continue
      tried.add(id)
      const without = elementsOf(group.filter((other) => hex(other.id) !== id))
      const gone = lacking(whole, without)
      const back = lacking(without, whole)
      if (gone.length + back.length === 0) continue
      const hash = new LtHash(state)
      for (const element of gone) hash.remove(element)
      for (const element of back) hash.add(element)
      if (hash.digest().equals(digest)) found.push(one)
    }
  }
  return found.sort((one, other) => one.offset - other.offset)
}

function stateOf(groups: readonly (readonly Folded[])[]): Buffer {
  const hash = new LtHash()
  for (const group of groups) for (const element of elementsOf(group)) hash.add(element)
  return hash.state()
}

function groupsOf(signals: readonly Folded[], horizon: number): readonly (readonly Folded[])[] {
  const groups = new Map<string, Folded[]>()
  for (const signal of signals) {
    if (signal.floor < horizon) continue
    const name = `${hex(signal.key)} ${signal.effect}`
    const group = groups.get(name)
    if (group) group.push(signal)
    else groups.set(name, [signal])
  }
  return [...groups.values()]
}

/** As a view keeps them: the two highest distinct floors, each with the strictest fallback said for it. */
function elementsOf(group: readonly Folded[]): readonly Buffer[] {
  const fallbacks = new Map<number, Reason>()
  for (const { floor, fallback } of group) {
    const known = fallbacks.get(floor)
    fallbacks.set(floor, known === undefined ? fallback : stricter(known, fallback))
  }
  const [first] = group
  if (first === undefined) return []
  const { key, effect } = first
  const highest = [...fallbacks].sort(([one], [other]) => other - one).slice(0, 2)
  return highest.map(([floor, fallback]) => digestElement({ key, effect, fallback, floor }))
}

function lacking(elements: readonly Buffer[], others: readonly Buffer[]): readonly Buffer[] {
  return elements.filter((element) => !others.some((other) => other.equals(element)))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
