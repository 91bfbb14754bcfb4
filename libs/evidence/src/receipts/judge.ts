/**
 * Judges a receipt: who could still act after a revocation stood on its log, and until when. Pure. Invariants: a consumer that could
 * act without knowing of it had a registration on the topic when it was appended (see `@countersign/replica`), so everyone
 * who counts is named; and `couldActUntil` never grows, so what was once closed stays closed.
 */
import { REGISTRATION_HOLDS_MS } from '@countersign/replica'
import type { Instance, Reached } from './consumers.ts'
import type { LastDecisions } from './decided.ts'
import { lineOf } from './line.ts'
import type { Receipt, ReceiptConsumer } from './receipt.ts'
import type { StandingSignal } from './standing.ts'

/**
 * @param signals of one revocation, at least one.
 * @param consumers all that are known, in the order in which they registered.
 * @param now epoch milliseconds.
 * @param known registrations appended since `knownSince` are all among `consumers`; before `epsilonMs` has passed since the
 * last signal, more may turn out to count.
 */
export function judgeReceipt(
  signals: readonly StandingSignal[],
  consumers: readonly Instance[],
  decided: LastDecisions,
  now: number,
  { knownSince, epsilonMs }: { readonly knownSince: number; readonly epsilonMs: number },
): Receipt {
  const first = signals[0] as StandingSignal
  const rows = consumers.flatMap((instance) => rowsOf(instance, signals, consumers, decided, now))
  const appendedAt = Math.max(...signals.map(({ at }) => at))
  const isKnown = now >= appendedAt + epsilonMs && signals.every(({ at }) => at - REGISTRATION_HOLDS_MS >= knownSince)
  const isOpen = !isKnown || rows.some(({ state }) => state === 'pending')
  const receipt = {
    revocation: first.id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    effects: [...new Set(signals.map(({ signal }) => signal.effect))],
    target: first.signal.target,
    cause: first.signal.cause,
    positions: signals.map(({ log, logId, offset, at }) => ({ log, logId, offset, appendedAt: at })),
    appendedAt,
    consumers: rows,
    closedAt: isOpen ? null : Math.max(appendedAt, ...rows.map(({ couldActUntil }) => couldActUntil)),
    asOf: now,
  }
  return { ...receipt, line: lineOf(receipt, isKnown) }
}

/** Whether this instance could have acted when the signal was appended. */
export function counts(instance: Instance, { log, at }: Pick<StandingSignal, 'log' | 'at'>): boolean {
  const { logs, registeredAt, goodbyes, epsilonMs } = instance
  if (!logs.includes(log)) return false
  // Whoever registered later has read it before it admitted anything.
  const last = registeredAt.findLast((registered) => registered <= at + epsilonMs)
  if (last === undefined || at - last > REGISTRATION_HOLDS_MS + epsilonMs) return false
  return (goodbyes.get(log) ?? Infinity) + epsilonMs >= at
}

/** When the instance had the signal in its view; null when it has not said so. */
export function appliedAt(
  { told, epsilonMs }: Instance,
  { logId, offset, at }: Pick<StandingSignal, 'logId' | 'offset' | 'at'>,
): Reached | null {
  let found: Reached | null = null
  for (const one of told.get(logId)?.reached ?? []) {
    if (one.offset < offset) continue
    // Nobody has it before it stands there.
    const isRight = one.at >= at - epsilonMs
    if (isRight && one.exact && one.offset === offset) return one
    const by = { ...one, at: isRight ? one.at : one.toldAt, exact: false }
    if (found === null || by.at < found.at) found = by
  }
  return found
}

/** It has not read what was appended at `at`, so its view is proven for no later time, and too old after this. */
export function boundOf({ budgets, ...instance }: Instance, { at }: Pick<StandingSignal, 'at'>): number {
  const { maxStalenessMs, epsilonMs } = budgets.findLast((one) => one.at <= at + instance.epsilonMs) ?? instance
  return at + maxStalenessMs + epsilonMs
}

function rowsOf(
  instance: Instance,
  signals: readonly StandingSignal[],
  all: readonly Instance[],
  decided: LastDecisions,
  now: number,
): ReceiptConsumer[] {
  const concern = signals.filter((signal) => counts(instance, signal))
  if (concern.length === 0) return []
  const reached = concern.map((signal) => appliedAt(instance, signal))
  const known = reached.every((one) => one !== null) ? (reached as Reached[]) : null
  const bounds = concern.map((signal) => boundOf(instance, signal))
  const applied = known && Math.max(...known.map(({ at }) => at))
  // By each log it ends for itself, whichever way comes first.
  const goodbyes = concern.map(({ log }) => instance.goodbyes.get(log) ?? Infinity)
  const ends = concern.map((_, i) => Math.min(reached[i]?.at ?? Infinity, goodbyes[i] as number))
  const said = goodbyes.filter(Number.isFinite)
  const stopped = ends.every(Number.isFinite) && said.length > 0 ? Math.max(...said) : null
  const isSilent = now > Math.max(...bounds)
  const state = applied !== null ? 'applied' : stopped !== null ? 'stopped' : isSilent ? 'silent' : 'pending'
  const couldActUntil = Math.max(...ends.map((end, i) => Math.min(end, bounds[i] as number)))
  return [...instance.consumers].map((consumer) => {
    const from = (instance.registeredAt[0] as number) - instance.epsilonMs
    const next = all.find(
      (one) => one.consumers.has(consumer) && (one.registeredAt[0] as number) > from + instance.epsilonMs,
    )
    const span = { from, to: next?.registeredAt[0] ?? Infinity }
    const lasts = concern.map(({ offset, logId }) => decided.without(offset, { consumer, logId }, span))
    const [lastDecisionAt, lastEffectAt] = [
      latest(lasts.map((l) => l.decisionAt)),
      latest(lasts.map((l) => l.effectAt)),
    ]
    return {
      consumer,
      instance: instance.instance,
      vouchedBy: instance.vouchers.get(consumer) ?? null,
      state,
      appliedAt: applied,
      exact: known?.every(({ exact }) => exact) ?? false,
      stoppedAt: stopped,
      couldActUntil,
      lastDecisionAt,
      lastEffectAt,
      contradicted: Math.max(lastDecisionAt ?? 0, lastEffectAt ?? 0) > couldActUntil + instance.epsilonMs,
    }
  })
}

function latest(times: readonly (number | null)[]): number | null {
  const found = Math.max(...times.map((time) => time ?? 0))
  return found === 0 ? null : found
}
