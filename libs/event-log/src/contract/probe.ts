/** What contract cases share: logs and topics of their own, tails that collect, and waiting by condition. */
import { randomUUID } from 'node:crypto'
import { systemClock } from '@countersign/kernel'
import type { Bounds, EventLog, JobConsumer, LogRecord, NewRecord, Tail } from '../port.ts'
import type { ContractHarness } from './harness.ts'

export interface Case {
  readonly name: string
  check(probe: Probe): Promise<void>
}

/** A tail with what it was told. */
export interface Collected {
  readonly tail: Tail
  readonly records: LogRecord[]
  readonly outOfRange: Bounds[]
}

const PATIENCE_MS = 25_000

export class Probe {
  readonly harness: ContractHarness
  readonly #open: EventLog[] = []
  readonly #ends: (() => Promise<void>)[] = []

  constructor(harness: ContractHarness) {
    this.harness = harness
  }

  async log(): Promise<EventLog> {
    const log = await this.harness.open()
    this.#open.push(log)
    return log
  }

  /** A log and a fresh topic on it. */
  async topic(partitions = 1): Promise<{ log: EventLog; topic: string }> {
    const log = await this.log()
    const topic = this.harness.topicName?.() ?? `contract-${randomUUID()}`
    await log.createTopics([{ name: topic, partitions, retentionMs: 86_400_000 }])
    return { log, topic }
  }

  async collect(
    log: EventLog,
    options: { topic: string; partition?: number; from: number | 'start' },
  ): Promise<Collected> {
    const records: LogRecord[] = []
    const outOfRange: Bounds[] = []
    const tail = await log.tail({
      ...options,
      handler: {
        records: (batch) => void records.push(...batch),
        outOfRange: (bounds) => void outOfRange.push(bounds),
      },
    })
    return { tail, records, outOfRange }
  }

  /** Runs something that must be ended even when the case fails. */
  atEnd(end: () => Promise<void>): void {
    this.#ends.push(end)
  }

  member(log: EventLog, group: string, topic: string, sessionTimeoutMs = 6_000): JobConsumer {
    return log.jobs({ group, topics: [topic], sessionTimeoutMs })
  }

  /** Resolves when `condition` holds. Rejects, saying what was awaited, when it does not for long. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = systemClock.monotonic() + PATIENCE_MS
    while (!condition()) {
      if (systemClock.monotonic() > deadline) throw new Error(`waited in vain until ${what}`)
      await systemClock.sleep(5)
    }
  }

  async close(): Promise<void> {
    for (const end of this.#ends) await end().catch(() => {})
    await Promise.all(this.#open.map((log) => log.close()))
  }
}

export function record(value: string | null, options: Partial<NewRecord> = {}): NewRecord {
  return { key: null, value: value === null ? null : Buffer.from(value), headers: [], ...options }
}

export function records(count: number, prefix = '', options: Partial<NewRecord> = {}): NewRecord[] {
  return Array.from({ length: count }, (_, i) => record(`${prefix}${i}`, options))
}

export function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString()
}

export const values = (list: readonly { value: Uint8Array | null }[]): (string | null)[] =>
  list.map((r) => text(r.value))

export function numbers(count: number, prefix = ''): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`)
}

export async function readAll(log: EventLog, topic: string, partition = 0): Promise<LogRecord[]> {
  const { start, end } = await log.bounds(topic, partition)
  const out: LogRecord[] = []
  for await (const chunk of log.read({ topic, partition, from: start, to: end })) out.push(...chunk)
  return out
}

export const newGroup = (): string => `contract-group-${randomUUID()}`
