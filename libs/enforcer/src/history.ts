/**
 * What a consumer tells a history sink, in the order things happen to it. Written down one JSON object a
 * line, it is what the independent checker reads. Without a sink nothing is made.
 */
import type { Clock } from '@countersign/kernel'
import type { ConsumerView } from './consumer-view.ts'

/** A signal reached the view, live; ids hexadecimal, times epoch milliseconds, as everywhere here. */
export interface AppliedEvent {
  readonly type: 'applied'
  readonly consumer: string
  readonly at: number
  /** On the signals log. */
  readonly offset: number
  readonly id: string
  /** Its name, where this consumer follows several; so for the events of checkpoints and states. */
  readonly log?: string
}

/** A handler attempt begins, with the freshness it was admitted by. Told before the handler is called. */
export interface StartEvent {
  readonly type: 'start'
  readonly consumer: string
  readonly class: string
  readonly eventId: string
  /** From 1, within one delivery. */
  readonly attempt: number
  readonly at: number
  readonly asOf: number
  readonly ageMs: number
  readonly viewOffset: number
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

/** A checkpoint was passed; `offset` and `digest` are of the one it covers, as this consumer noted it itself. */
export interface CheckpointEvent {
  readonly type: 'checkpoint'
  readonly consumer: string
  readonly at: number
  readonly offset: number
  /** Whether it proved the view. */
  readonly proven: boolean
  readonly digest: string
  readonly log?: string
}

/** What the view may be used for changed. */
export interface StateEvent {
  readonly type: 'state'
  readonly consumer: string
  readonly at: number
  readonly state: 'starting' | 'ready' | 'closed' | 'stopped'
  readonly reason?: string
  readonly log?: string
}

export type ConsumerHistoryEvent = AppliedEvent | StartEvent | EndEvent | CheckpointEvent | StateEvent

/** Takes events. */
export interface HistorySink {
  /** Must not throw, and must have written the event down when it returns. */
  record(event: ConsumerHistoryEvent): void
}

/** Tells the sink what happens to the view. @returns a function that ends it. */
export function recordView(history: HistorySink, view: ConsumerView, clock: Clock, consumer: string): () => void {
  const { byTenant } = view
  if (!byTenant) return recordLog(history, view, clock, { consumer })
  const ends = byTenant.views.map((one, i) => {
    return recordLog(history, one, clock, { consumer, log: byTenant.logs[i] as string })
  })
  return () => {
    for (const end of ends) end()
  }
}

function recordLog(
  history: HistorySink,
  view: ConsumerView,
  clock: Clock,
  whose: { readonly consumer: string; readonly log?: string },
): () => void {
  let noted: { readonly offset: number; readonly digest: string } | null = null
  let state: StateEvent['state'] = 'starting'

  function tellState(next: StateEvent['state'], reason?: string): void {
    if (next === state) return
    state = next
    history.record({ type: 'state', ...whose, at: clock.now(), state, ...(reason !== undefined && { reason }) })
  }

  function judgeState(): void {
    const { proven, closed } = view.freshness()
    if (proven) tellState('ready')
    else if (state !== 'starting') tellState('closed', closed ?? 'unproven')
  }

  history.record({ type: 'state', ...whose, at: clock.now(), state })
  const offSignal = view.onSignal(({ offset, signal, live, at = clock.now() }) => {
    const id = Buffer.from(signal.id).toString('hex')
    if (live) history.record({ type: 'applied', ...whose, at, offset, id })
    judgeState()
  })
  const offCheckpoint = view.onCheckpoint(({ offset, checkpoint, proves }) => {
    const { covers } = checkpoint
    if (noted?.offset === covers) {
      const { digest } = noted
      history.record({ type: 'checkpoint', ...whose, at: clock.now(), offset: covers, proven: proves, digest })
    }
    noted = { offset, digest: view.view.digest().toString('hex') }
    judgeState()
  })
  return () => {
    offSignal()
    offCheckpoint()
    tellState('stopped')
  }
}
