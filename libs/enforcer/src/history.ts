/**
 * What an enforcer tells a history sink, in the order things happen to it. One JSON object a line when
 * written down; the day, the simulation and the checker read it. Costs nothing when there is no sink.
 */

/** A signal folded into the view, and when. */
export interface AppliedEvent {
  readonly type: 'applied'
  readonly consumer: string
  readonly at: number
  readonly offset: number
  /** Signal id, hexadecimal. */
  readonly id: string
  /** False while reading, after a start or in doubt, what was on the log before. */
  readonly live: boolean
}

/** A handler attempt begins; the freshness it was admitted by. */
export interface StartEvent {
  readonly type: 'start'
  readonly consumer: string
  readonly class: string
  /** Event id, hexadecimal. */
  readonly eventId: string
  readonly attempt: number
  readonly at: number
  readonly asOf: number
  readonly ageMs: number
  readonly viewOffset: number
}

/** Running work is told to end. */
export interface AbortEvent {
  readonly type: 'abort'
  readonly consumer: string
  readonly class: string
  readonly eventId: string
  readonly at: number
  readonly reason: string
}

/** A handler attempt is over. */
export interface EndEvent {
  readonly type: 'end'
  readonly consumer: string
  readonly class: string
  readonly eventId: string
  readonly attempt: number
  readonly at: number
  /** `aborted` whenever the work had been told to end, however the handler then returned. */
  readonly outcome: 'done' | 'failed' | 'aborted'
}

/** An event reached its state here; written before it is recorded. */
export interface DecisionEvent {
  readonly type: 'decision'
  readonly consumer: string
  readonly class: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly eventId: string | null
  readonly at: number
  readonly outcome: string
  readonly reason: string
  readonly observed: boolean
}

export type HistoryEvent = AppliedEvent | StartEvent | AbortEvent | EndEvent | DecisionEvent

/** Takes one event; must not throw and must not wait. */
export type HistorySink = (event: HistoryEvent) => void
