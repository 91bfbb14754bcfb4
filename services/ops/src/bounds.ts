/** Bounds as people write them: an offset, a time, or how long ago. */
import type { Bound, Range } from '@countersign/evidence'
import type { Clock } from '@countersign/kernel'
import { durationOf } from './connection.ts'
import { wrongArgument } from './errors.ts'

/** @returns null for `start` and for `end`. @throws {OPS_ARGUMENT_INVALID} */
export function boundOf(option: string, text: string, clock: Clock): Bound | null {
  if (text === 'start' || text === 'end') return null
  if (/^\d{1,15}$/.test(text)) return { offset: Number(text) }
  if (text.startsWith('-')) return { time: clock.now() - durationOf(option, text.slice(1)) }
  const time = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(time)) return { time }
  throw wrongArgument(`${option} is start, end, an offset, -<duration> such as -5m, or an RFC 3339 time, not ${text}`)
}

/** [from, to). @throws {OPS_ARGUMENT_INVALID} also when it ends before it begins. */
export function rangeOf({ from, to }: { readonly from: string; readonly to: string }, clock: Clock): Range {
  if (from === 'end') throw wrongArgument('--from end leaves nothing: name start, an offset, -<duration> or a time')
  if (to === 'start') throw wrongArgument('--to start leaves nothing: name end, an offset, -<duration> or a time')
  const begin = boundOf('--from', from, clock)
  const end = boundOf('--to', to, clock)
  const empty =
    (begin && end && 'offset' in begin && 'offset' in end && begin.offset >= end.offset) ||
    (begin && end && 'time' in begin && 'time' in end && begin.time >= end.time)
  if (empty) throw wrongArgument(`--to ${to} is not after --from ${from}`)
  return { ...(begin && { from: begin }), ...(end && { to: end }) }
}
