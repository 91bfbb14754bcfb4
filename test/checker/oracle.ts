/**
 * A plain second opinion on whether work may run: lists and loops over every signal, no filter, no
 * table, no fold. Slow on purpose.
 */
import type { ClassFact, ProducedIdentity, SignalFact } from './history.ts'

/** Says why `identity` may not do work of `rules` under `signals`, or null when it may. */
export function objection(
  identity: ProducedIdentity,
  rules: ClassFact,
  signals: readonly SignalFact[],
  horizon: number,
  epsilonMs: number,
  phase: 'queued' | 'running' = 'queued',
): string | null {
  const versions = new Map(identity.targets.map((t) => [t.key, t.version]))
  const removed = new Set<string>()
  const floors = new Map<string, { key: string; signal: SignalFact; values: Set<number> }>()
  for (const signal of signals) {
    if (signal.floor < horizon || !versions.has(signal.key)) continue
    const slot = `${signal.key} ${signal.effect}`
    const entry = floors.get(slot) ?? { key: signal.key, signal, values: new Set<number>() }
    entry.values.add(signal.floor)
    floors.set(slot, entry)
  }
  for (const { key, signal, values } of floors.values()) {
    const [higher = 0, lower = 0] = [...values].sort((a, b) => b - a)
    if (signal.effect.startsWith('scope:')) {
      if (identity.scopeVersion < higher) removed.add(signal.effect.slice('scope:'.length))
      continue
    }
    const version = versions.get(key) ?? 0
    if (version >= higher) continue
    const named = signal.effect.slice('reason:'.length)
    const reason = named in rules.inFlight[phase] ? named : signal.fallback
    if (rules.inFlight[phase][reason] !== 'finish') return `revoked_${reason}`
    if (version < lower) return `revoked_${reason} twice`
    if (identity.iat >= higher - epsilonMs) return `revoked_${reason} before it was accepted`
  }
  const missing = rules.scopes.find((scope) => removed.has(scope) || !identity.scopes.includes(scope))
  return missing === undefined ? null : `without scope ${missing}`
}
