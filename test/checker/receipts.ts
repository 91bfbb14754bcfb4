/** Judges receipts by what every consumer wrote down as it happened, and by nothing that receipts are made from. */
import { verdict } from './evidence.ts'
import type { ConsumerEvent, Facts, Verdict } from './history.ts'

/** What a receipt claims. Times are epoch milliseconds. */
export interface ReceiptClaim {
  readonly revocation: string
  /** Of its signal. */
  readonly offset: number
  readonly appendedAt: number
  readonly closedAt: number | null
  readonly consumers: readonly {
    readonly consumer: string
    /** By its own account; null when it did not say. */
    readonly appliedAt: number | null
    /** It named this very signal. */
    readonly exact: boolean
    readonly couldActUntil: number
  }[]
}

type Start = Extract<ConsumerEvent, { type: 'start' }>

/**
 * A receipt is true when it has the time that each consumer wrote down itself, and nobody started anything without the
 * revocation after it says that they could not, or closed.
 */
export function receiptsTrue(
  { consumers, epsilonMs }: Pick<Facts, 'consumers' | 'epsilonMs'>,
  receipts: readonly ReceiptClaim[],
): Verdict {
  const applied = new Set(consumers.flatMap((c) => (c.type === 'applied' ? [`${c.consumer} ${c.offset} ${c.at}`] : [])))
  const starts = consumers.filter((c): c is Start => c.type === 'start')
  const violations: string[] = []
  let checked = 0
  for (const { revocation, offset, appendedAt, closedAt, consumers: named } of receipts) {
    const what = `receipt of ${revocation}`
    for (const { consumer, appliedAt, exact } of named) {
      checked++
      if (appliedAt !== null && exact && !applied.has(`${consumer} ${offset} ${appliedAt}`))
        violations.push(`${what}: ${consumer} is said to have applied it at ${appliedAt}, and wrote down no such thing`)
    }
    for (const { consumer, viewOffset, at, eventId } of starts) {
      if (viewOffset >= offset || at <= appendedAt + epsilonMs) continue
      const row = named.filter((one) => one.consumer === consumer)
      const until = Math.max(...row.map(({ couldActUntil }) => couldActUntil))
      if (row.length === 0) violations.push(`${what}: ${consumer} started ${eventId} without it, and is not named`)
      else if (at > until + epsilonMs)
        violations.push(`${what}: ${consumer} started ${eventId} without it at ${at}, and could act until ${until}`)
      if (closedAt !== null && at > closedAt + epsilonMs)
        violations.push(`${what}: closed at ${closedAt}, and ${consumer} started ${eventId} without it at ${at}`)
    }
  }
  const promise =
    'receipts have the times that consumers wrote down, and nobody acts without a revocation after its bound'
  return verdict('receipts-true', promise, checked, violations)
}
