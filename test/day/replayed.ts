/** The signals log of the day, read afresh: whether every consumer holds what it makes, and whether one that lacked a signal would show. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import {
  type Comparison,
  compareConsumers,
  type Folded,
  readingOf,
  type VerifiedLog,
  withheldFrom,
} from '@countersign/evidence'
import { SeededRandom } from '@countersign/kernel/testing'
import type { FoundSignal } from '@countersign/replica'
import { exampleCatalogue } from '@countersign/schemas'
import type { Verdict } from '../checker/history.ts'

const EPSILON_MS = 250

/** @param seed chooses the signal that is withheld. @param least consumers that must have told of themselves. */
export async function replayed(
  log: EventLog,
  rootKeys: readonly Uint8Array[],
  { seed, least }: { readonly seed: number; readonly least: number },
): Promise<Verdict> {
  const [signalsLog] = exampleCatalogue.signalsLogs
  if (!signalsLog) throw new Error('the catalogue has no signals log')
  const verified = { log, catalogue: exampleCatalogue, signalsLog, rootKeys, epsilonMs: EPSILON_MS }
  const found = await compareConsumers(verified)
  const violations = [...complaintsAbout(found, least), ...(await withheld(verified, seed))]
  return {
    id: 'replayed',
    promise: 'The log read afresh makes the view of every consumer, and names a signal that is withheld',
    held: violations.length === 0,
    checked: found.consumers.length + 1,
    violations,
  }
}

function complaintsAbout({ consumers, checkpoints }: Comparison, least: number): string[] {
  const equal = consumers.filter(({ verdict }) => verdict === 'equal')
  const others = consumers.filter(({ verdict }) => verdict !== 'equal' && verdict !== 'unproven')
  return [
    ...(equal.length < least ? [`${equal.length} consumers are equal, not ${least}`] : []),
    ...others.map(({ consumer, instance, verdict, offset }) => `${consumer} ${instance} at ${offset}: ${verdict}`),
    ...(checkpoints.differingAt === null ? [] : [`the checkpoint at ${checkpoints.differingAt} states another view`]),
  ]
}

async function withheld(verified: VerifiedLog, seed: number): Promise<string[]> {
  const records: LogRecord[] = []
  const { topic } = verified.signalsLog
  const { start, end } = await verified.log.bounds(topic)
  for await (const chunk of verified.log.read({ topic, from: start, to: end })) records.push(...chunk)
  const signals: Folded[] = []
  const onSignal = ({ offset, signal: { id }, facts }: FoundSignal): void => void signals.push({ offset, id, ...facts })
  const whole = readingOf(verified, start, { onSignal })
  for (const record of records) whole.fold(record)
  const random = new SeededRandom(seed)
  for (let tried = 0; tried < 20; tried++) {
    const lost = signals[random.below(signals.length)] as Folded
    const partial = readingOf(verified, start)
    for (const record of records) if (record.offset !== lost.offset) partial.fold(record)
    const digest = partial.follower.view.digest()
    // Below the two highest floors of its target nobody misses it.
    if (digest.equals(whole.follower.view.digest())) continue
    const named = withheldFrom({ horizon: whole.follower.limits.horizon, signals }, digest)
    return named.some(({ offset }) => offset === lost.offset) ? [] : [`the signal at ${lost.offset} is not named`]
  }
  return ['no signal of the day makes a difference']
}
