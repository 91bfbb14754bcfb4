/** Facts with the look-ups that promises need, and how a promise is put. */
import type { ClassFact, ConsumerEvent, DecisionFact, Facts, Produced, SignalFact, Verdict } from './history.ts'

export type Start = Extract<ConsumerEvent, { type: 'start' }>

const MAX_NAMED = 5

/** Facts with the look-ups every promise needs. */
export class Evidence {
  readonly facts: Facts
  readonly byEvent: Map<string, Produced>
  readonly classes: Map<string, ClassFact>
  readonly signalsById: Map<string, SignalFact>
  /** When each signal was first acknowledged to the one who asked for it. */
  readonly acknowledgedAt = new Map<string, number>()

  constructor(facts: Facts) {
    this.facts = facts
    this.byEvent = new Map(facts.produced.flatMap((p) => (p.eventId === null ? [] : [[p.eventId, p] as const])))
    this.classes = new Map(facts.classes.map((c) => [c.name, c]))
    this.signalsById = new Map(facts.signals.map((s) => [s.id, s]))
    for (const r of facts.revocations) {
      if (r.state !== 'acknowledged') continue
      for (const id of r.ids) {
        const earlier = this.acknowledgedAt.get(id)
        this.acknowledgedAt.set(id, earlier === undefined ? r.answeredAt : Math.min(earlier, r.answeredAt))
      }
    }
  }

  horizonAt(offset: number): number {
    let horizon = 0
    for (const c of this.facts.checkpoints) if (c.offset <= offset) horizon = Math.max(horizon, c.horizon)
    return horizon
  }

  /** Whether a record stands on the topic of this logical name. */
  isOf(p: { readonly topic: string }, logical: string): boolean {
    return p.topic === logical || p.topic.startsWith(`${logical}.v`)
  }

  starts(): Start[] {
    return this.facts.consumers.filter((e): e is Start => e.type === 'start')
  }
}

export function verdict(id: string, promise: string, checked: number, violations: string[]): Verdict {
  const named = violations.slice(0, MAX_NAMED)
  if (violations.length > MAX_NAMED) named.push(`and ${violations.length - MAX_NAMED} more`)
  return { id, promise, held: violations.length === 0, checked, violations: named }
}

export const place = (p: { topic: string; partition: number; offset: number }): string =>
  `${p.topic}/${p.partition}/${p.offset}`

/** First final record of each original record, in log order. */
export function finals(facts: Facts): Map<string, DecisionFact> {
  const first = new Map<string, DecisionFact>()
  for (const d of facts.decisions) {
    if (d.phase !== 'final' || d.observed) continue
    const at = place(d)
    if (!first.has(at)) first.set(at, d)
  }
  return first
}
