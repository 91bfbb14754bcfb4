/** A receipt in one line, for whoever files it. Opaque ids and times, nothing else. */
import { rfc3339 } from '@countersign/kernel'
import type { Receipt, ReceiptConsumer } from './receipt.ts'

/** Most consumers named; of more, those that matter most. */
const MAX_NAMED = 8
const ORDER = ['pending', 'silent', 'stopped', 'applied'] as const

/** @param isKnown whether everybody who counts is named. */
export function lineOf(receipt: Omit<Receipt, 'line'>, isKnown: boolean): string {
  const { revocation, effects, target, positions, appendedAt, consumers, closedAt, asOf } = receipt
  const id = target.id === '' ? target.tenant : target.id
  const places = positions.map(({ log, offset }) => `${log}/${offset}`).join(', ')
  const head = `revocation ${revocation} (${effects.join(', ')} of ${target.kind} ${id}) at ${places} since ${time(appendedAt)}`
  return [
    head,
    ...(consumers.length > 0 ? [named(consumers, appendedAt)] : isKnown ? ['no consumer was registered'] : []),
    ...(isKnown ? [] : ['who else was registered is not known']),
    ending(closedAt, asOf),
  ]
    .concat(warnings(consumers))
    .join('; ')
}

function ending(closedAt: number | null, asOf: number): string {
  return closedAt === null ? `open as of ${time(asOf)}` : `closed ${time(closedAt)}: nobody acts without it since`
}

function named(consumers: readonly ReceiptConsumer[], appendedAt: number): string {
  const sorted = [...consumers].sort(
    (a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || b.couldActUntil - a.couldActUntil,
  )
  const nameOf = (one: ReceiptConsumer): string => {
    const starts = consumers.filter(({ consumer }) => consumer === one.consumer).length
    return starts > 1 ? `${one.consumer} (${one.instance.slice(0, 8)})` : one.consumer
  }
  const parts = sorted.slice(0, MAX_NAMED).map((one) => `${nameOf(one)} ${stateOf(one, appendedAt)}`)
  const rest = sorted.slice(MAX_NAMED)
  // Sorted by what it means: those left out come last, and are the best off of their state.
  if (rest.length > 0) parts.push(`${rest.length} more ${[...new Set(rest.map(({ state }) => state))].join(' or ')}`)
  return parts.join(', ')
}

function stateOf({ state, appliedAt, stoppedAt, couldActUntil, exact }: ReceiptConsumer, appendedAt: number): string {
  if (state === 'applied') return `applied ${exact ? '' : 'by '}${after(appliedAt ?? 0, appendedAt)}`
  if (state === 'stopped') return `stopped ${after(stoppedAt ?? 0, appendedAt)}`
  return `${state}, could act until ${time(couldActUntil)}`
}

function warnings(consumers: readonly ReceiptConsumer[]): string[] {
  const of = (what: string, list: readonly ReceiptConsumer[]): string[] =>
    list.length === 0 ? [] : [`${what}: ${list.map(({ consumer }) => consumer).join(', ')}`]
  return [
    ...of(
      'vouched for by nobody',
      consumers.filter(({ vouchedBy }) => vouchedBy === null),
    ),
    ...of(
      'CONTRADICTED by what it recorded',
      consumers.filter(({ contradicted }) => contradicted),
    ),
  ]
}

function after(at: number, since: number): string {
  return `+${Math.max(0, at - since)} ms`
}

function time(at: number): string {
  return rfc3339(at)
}
