/**
 * Live consumers against the log: each tells the digest its view had at a checkpoint, and the log, read afresh, says what it
 * must be. Where they differ, the one signal whose absence explains it is named.
 */
import type { Bounds } from '@countersign/event-log'
import {
  type Catalogue,
  type ConsumerState,
  logNameOf,
  type Progress,
  readTold,
  type Signal,
} from '@countersign/schemas'
import { readingOf, type SignalsReading, type VerifiedLog } from './reading.ts'
import { type Folded, withheldFrom } from './withheld.ts'

/**
 * `equal`, `differs`; `unproven` before its first checkpoint; `other_log` where it follows a log of this name with another
 * id; `beyond` where it read further than the log goes; `gone` where the log begins behind it.
 */
export type ConsumerVerdict = 'equal' | 'differs' | 'unproven' | 'other_log' | 'beyond' | 'gone'

export interface ComparedConsumer {
  readonly consumer: string
  /** Hex; empty for a consumer that does not say. */
  readonly instance: string
  readonly state: ConsumerState
  /** When it said so, epoch milliseconds. */
  readonly at: number
  /** Last offset it had folded. */
  readonly offset: number
  readonly verdict: ConsumerVerdict
  /** Hex: what it said, and what the log says; null where there is nothing to compare. */
  readonly digest: string
  readonly expected: string | null
  /** Signals of which one, left out, explains the difference. */
  readonly withheld: readonly WithheldSignal[]
}

export interface WithheldSignal {
  readonly offset: number
  /** Hex. */
  readonly id: string
  readonly signal: Signal
}

export interface Comparison {
  readonly logId: string | null
  /** Of the log, as read. */
  readonly end: number
  /** Checkpoints on the log, and those that state what stands before them. */
  readonly checkpoints: SignalsReading['checkpoints']
  /** By consumer and instance; the last each one said. */
  readonly consumers: readonly ComparedConsumer[]
}

export interface CompareOptions extends VerifiedLog {
  readonly catalogue: Catalogue
  /** Told of records read, of the total; for progress. */
  readonly onRead?: (read: number, total: number) => void
  /** Ends it early; what is returned then is of what was read. */
  readonly signal?: AbortSignal
}

/** Reads the progress topic, then the log up to where it ends afterwards; once more where something differs. */
export async function compareConsumers(options: CompareOptions): Promise<Comparison> {
  const { log, signalsLog } = options
  const told = await lastTold(options)
  // After the progress: whatever a consumer says it has read must stand there.
  const bounds = await log.bounds(signalsLog.topic)
  const reading = await read(options, bounds)
  const consumers = [...told.values()].map((progress) => judge(progress, reading, bounds.start))
  for (const [i, one] of consumers.entries()) {
    if (one.verdict !== 'differs') continue
    const { digest_offset: at, offset, digest } = [...told.values()][i] as Progress
    consumers[i] = { ...one, withheld: await missing(options, bounds, at < 0 ? offset : at, digest) }
  }
  const { logId, checkpoints } = reading
  return { logId, end: bounds.end, checkpoints, consumers: consumers.sort(byName) }
}

async function lastTold({ log, catalogue, signalsLog }: CompareOptions): Promise<ReadonlyMap<string, Progress>> {
  const last = new Map<string, Progress>()
  const topic = catalogue.entries.find(({ role }) => role === 'progress')?.name
  if (topic === undefined) return last
  const { start, end } = await log.bounds(topic)
  for await (const chunk of log.read({ topic, from: start, to: end })) {
    for (const { value } of chunk) {
      const told = readTold(value, log.schemas)
      if (told?.kind !== 'Progress') continue
      const { progress } = told
      // Before it knows its log a consumer names none; where there are several, that says nothing of this one.
      if (progress.log_id !== '' && logNameOf(progress.log_id) !== signalsLog.name) continue
      last.set(`${progress.consumer} ${hex(progress.instance)}`, progress)
    }
  }
  return last
}

async function read(
  options: CompareOptions,
  { start, end }: Bounds,
  onSignal?: (folded: Folded & { signal: Signal }) => void,
): Promise<SignalsReading> {
  const { log, signalsLog, onRead, signal } = options
  const reading = readingOf(options, start, {
    ...(onSignal && {
      onSignal: ({ offset, signal: found, facts }) => onSignal({ offset, id: found.id, ...facts, signal: found }),
    }),
  })
  for await (const chunk of log.read({ topic: signalsLog.topic, from: start, to: end })) {
    for (const record of chunk) reading.fold(record)
    onRead?.(reading.records, end - start)
    if (signal?.aborted) break
  }
  return reading
}

function judge(progress: Progress, reading: SignalsReading, start: number): ComparedConsumer {
  const { consumer, state, at, offset, digest } = progress
  const checkpoint = progress.digest_offset < 0 ? offset : progress.digest_offset
  const noted = reading.notedAt(checkpoint)
  const verdict = ((): ConsumerVerdict => {
    if (digest.every((byte) => byte === 0)) return 'unproven'
    if (checkpoint < start) return 'gone'
    if (progress.log_id !== reading.logId) return 'other_log'
    if (offset > reading.follower.position) return 'beyond'
    if (noted === null) return 'gone'
    return noted.digest.equals(digest) ? 'equal' : 'differs'
  })()
  const expected = verdict === 'equal' || verdict === 'differs' ? (noted?.digest.toString('hex') ?? null) : null
  const instance = hex(progress.instance)
  return {
    consumer,
    instance: /^0*$/.test(instance) ? '' : instance,
    state,
    at,
    offset,
    verdict,
    digest: hex(digest),
    expected,
    withheld: [],
  }
}

/** Reads again up to where the digest was noted, keeping every signal: only of a view that differs are they needed. */
async function missing(
  options: CompareOptions,
  { start, end }: Bounds,
  upTo: number,
  digest: Uint8Array,
): Promise<readonly WithheldSignal[]> {
  const signals: (Folded & { signal: Signal })[] = []
  const reading = await read(options, { start, end: Math.min(end, upTo + 1) }, (folded) => signals.push(folded))
  const { last, limits } = reading.follower
  // What came after the last checkpoint is not in what was noted there.
  const noted = signals.filter(({ offset }) => offset <= (last?.offset ?? -1))
  const found = withheldFrom({ horizon: limits.horizon, signals: noted }, digest)
  return found.map(({ offset, id }) => {
    const { signal } = noted.find((one) => one.offset === offset) as { signal: Signal }
    return { offset, id: hex(id), signal }
  })
}

function byName(one: ComparedConsumer, other: ComparedConsumer): number {
  return one.consumer.localeCompare(other.consumer) || one.instance.localeCompare(other.instance)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
