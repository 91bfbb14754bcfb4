/** A decision that was made again, with where it stands. */
import { placeName } from '../source/index.ts'
import type { EventPlace } from './decided.ts'
import type { Recomputation } from './recompute.ts'

/** A decision, and what became of it when it was made again. */
export interface ExplainedDecision extends Recomputation {
  /** Of the event. */
  readonly place: EventPlace
  /** Of the decision record: `topic/partition/offset`. */
  readonly record: string
  readonly phase: 'admitted' | 'final'
  /** Only observed: it did not bind. */
  readonly observed: boolean
  readonly jobClass: string
  readonly ruleVersion: string
  readonly consumer: string
  /** When it was decided, or, of old records, written; epoch milliseconds. */
  readonly at: number
  /** How far the view had read its signals log. */
  readonly view: { readonly log: string; readonly offset: number; readonly asOf: number; readonly ageMs: number | null }
}

export function finals(decisions: readonly ExplainedDecision[]): readonly ExplainedDecision[] {
  return decisions.filter(({ phase, observed }) => phase === 'final' && !observed)
}

export function isExecuted({ recorded }: ExplainedDecision): boolean {
  return recorded.outcome === 'executed'
}

/** `topic/partition/offset` of the event. */
export function eventOf({ place }: ExplainedDecision): string {
  return placeName(place)
}
