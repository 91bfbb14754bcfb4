/** Floors over several views at once: one that is digested, and what is kept in force beside it. */
import { type FloorEntry, NO_FLOORS, type SignalFacts, strictness, type View } from '@countersign/revocation'

/** @returns the floors of all views together, strictest effect first; `NO_FLOORS` when none hits. */
export function floorsOf(views: readonly Pick<View, 'floors'>[], key: Uint8Array): readonly FloorEntry[] {
  let found: readonly FloorEntry[] = NO_FLOORS
  for (const view of views) {
    const floors = view.floors(key)
    if (floors.length > 0) found = found.length === 0 ? floors : merge(found, floors)
  }
  return found
}

/** True when the view holds the floor, or two higher ones of its effect. */
export function covers(view: View, { key, effect, floor }: SignalFacts): boolean {
  const entry = view.floors(key).find((e) => e.effect === effect)
  return entry !== undefined && (entry.higher === floor || entry.lower >= floor)
}

/** @returns what `view` lacks of `others`, or null when it lacks nothing; `exceeded` when there is no room for all of it. */
export function lacking(view: View, others: readonly View[], make: () => View): View | null {
  let rest: View | null = null
  for (const other of others) {
    for (const facts of other.facts()) {
      if (facts.floor < view.horizon || covers(view, facts)) continue
      rest ??= make()
      try {
        rest.apply(facts)
      } catch {
        return rest
      }
    }
  }
  return rest
}

function merge(a: readonly FloorEntry[], b: readonly FloorEntry[]): readonly FloorEntry[] {
  const byEffect = new Map(a.map((entry) => [entry.effect, entry]))
  for (const entry of b) {
    const other = byEffect.get(entry.effect)
    byEffect.set(entry.effect, other === undefined ? entry : highestTwo(other, entry))
  }
  return [...byEffect.values()].sort(
    (x, y) => strictness(x.fallback) - strictness(y.fallback) || (x.effect < y.effect ? -1 : 1),
  )
}

function highestTwo(a: FloorEntry, b: FloorEntry): FloorEntry {
  const floors = [...new Set([a.higher, a.lower, b.higher, b.lower])].sort((x, y) => y - x)
  const fallback = strictness(a.fallback) <= strictness(b.fallback) ? a.fallback : b.fallback
  return { effect: a.effect, fallback, higher: floors[0] ?? 0, lower: floors[1] ?? 0 }
}
