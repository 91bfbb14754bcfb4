/** Which part of a log is meant: bounds by offset or by time, and a filter of what signals hit. */
import type { LogRecord } from '@countersign/event-log'
import { type Effect, reasonOf, type Target, targetKey } from '@countersign/revocation'
import type { Signal } from '@countersign/schemas'

/** An offset, or when the log appended a record, epoch milliseconds. */
export type Bound = { readonly offset: number } | { readonly time: number }

/** [from, to); without a bound, to that end of the log. */
export interface Range {
  readonly from?: Bound
  readonly to?: Bound
}

export type Side = 'before' | 'within' | 'behind'

/** Where a record stands to a range. */
export function sideOf({ from, to }: Range, record: Pick<LogRecord, 'offset' | 'timestamp'>): Side {
  if (from !== undefined && isBefore(record, from)) return 'before'
  return to === undefined || isBefore(record, to) ? 'within' : 'behind'
}

function isBefore({ offset, timestamp }: Pick<LogRecord, 'offset' | 'timestamp'>, bound: Bound): boolean {
  return 'offset' in bound ? offset < bound.offset : timestamp < bound.time
}

/** Which signals are meant. What is left out means any. */
export interface SignalFilter {
  readonly targets?: readonly Target[]
  /** Signals on this tenant, or on affiliations of it. */
  readonly tenant?: string
  /** `reason:<reason>` or `scope:<scope>`. */
  readonly effects?: readonly Effect[]
}

/** @returns a test of signals. Cost: a hash each where targets are named. */
export function filterOf({ targets, tenant, effects }: SignalFilter): (signal: Signal) => boolean {
  const keys = targets && new Set(targets.map((target) => targetKey(target).toString('hex')))
  return (signal) =>
    (tenant === undefined || signal.target.tenant === tenant) &&
    (effects === undefined || effects.includes(signal.effect)) &&
    (keys === undefined || keys.has(targetKey(signal.target).toString('hex')))
}

/** What a signal is counted under: its reason, or `scope`. */
export function kindOfEffect(effect: Effect): string {
  return reasonOf(effect) ?? (effect.startsWith('scope:') ? 'scope' : 'other')
}
