/** The signals log of the day, read afresh: whether every consumer holds what it makes, and whether one that lacked a signal would show. */
import type { EventLog, LogRecord } from '@countersign/event-log'
import { type Comparison, compareConsumers, type Folded, SignalsReading, withheldFrom } from '@countersign/evidence'
import { SeededRandom } from '@countersign/kernel/testing'
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
  const found = await compareConsumers({
    log,
    catalogue: exampleCatalogue,
    signalsLog,
    rootKeys,
    epsilonMs: EPSILON_MS,
  })
  const violations = [...complaintsAbout(found, least), ...(await withheld(log, signalsLog.topic, rootKeys, seed))]
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

async function withheld(
  log: EventLog,
  topic: string,
  rootKeys: readonly Uint8Array[],
  seed: number,
): Promise<string[]> {
  const records: LogRecord[] = []
  const { start, end } = await log.bounds(topic)
  for await (const chunk of log.read({ topic, from: start, to: end })) records.push(...chunk)
  const signals: Folded[] = []
  const whole = read(records, log, rootKeys, (folded) => signals.push(folded))
  const random = new SeededRandom(seed)
  for (let tried = 0; tried < 20; tried++) {
    const lost = signals[random.below(signals.length)] as Folded
    const partial = read(
      records.filter(({ offset }) => offset !== lost.offset),
      log,
      rootKeys,
    )
    const digest = partial.follower.view.digest()
    // Below the two highest floors of its target nobody misses it.
    if (digest.equals(whole.follower.view.digest())) continue
    const named = withheldFrom({ horizon: whole.follower.limits.horizon, signals }, digest)
    return named.some(({ offset }) => offset === lost.offset) ? [] : [`the signal at ${lost.offset} is not named`]
  }
  return ['no signal of the day makes a difference']
}

function read(
  records: readonly LogRecord[],
  log: EventLog,
  rootKeys: readonly Uint8Array[],
  onSignal?: (folded: Folded) => void,
): SignalsReading {
  const reading = new SignalsReading({
    schemas: log.schemas,
    rootKeys,
    epsilonMs: EPSILON_MS,
    complete: records[0]?.offset === 0,
    ...(onSignal && { onSignal: ({ offset, signal: { id }, facts }) => onSignal({ offset, id, ...facts }) }),
  })
  for (const record of records) reading.fold(record)
  return reading
}
