/** The outbox: rows written with what they tell of, delivered, acknowledged, dropped. */
import type { LogPosition, Signal } from '@countersign/schemas'
import type { BundleRecord, LogName, OutboxPort, OutboxRow } from '../outbox.ts'
import { BUNDLE, type KeptBundle, LOG, type LogRecord, ROW, type RowRecord, rowsOf, SEQUENCE, SIGNAL } from './kinds.ts'
import { bufferOf, type Kept, keyOf } from './layout.ts'
import type { LogRef } from './logs.ts'
import { shown } from './shown.ts'
import type { Step, Tx } from './tx.ts'

const NOTHING = Buffer.alloc(0)

/** Takes the next sequence and writes the signal's row for a log. */
export function* emit(tx: Tx, signal: Omit<Signal, 'seq'>, now: number, log: LogRef): Step<number> {
  const seq = (yield* highestSeq(tx)) + 1
  tx.put(SEQUENCE, { ...(yield* tx.get(SEQUENCE)), highest: seq })
  const id = bufferOf(signal.id)
  // Nothing is there yet: the sequence is part of what this step read, and an id belongs to one step.
  tx.add(SIGNAL, { id, seq })
  const row = { seq, id, body: NOTHING, signature: NOTHING, position: null, floor: signal.floor, createdAt: now }
  tx.draft(ROW, { ...row, ...of(log) }, { ...signal, seq })
  return seq
}

/** True when the log has shown a sequence this store never gave out. */
export function* isBehind(tx: Tx, seenSeq: number): Step<boolean> {
  return (yield* highestSeq(tx)) < seenSeq
}

export function* highestSeq(tx: Tx): Step<number> {
  return (yield* tx.get(SEQUENCE))?.highest ?? 0
}

export function* logName(tx: Tx, ref?: string): Step<LogName | null> {
  const log = yield* namedLog(tx, ref)
  return log && { log_id: log.log_id, predecessor: log.predecessor }
}

export function* nameLog(
  tx: Tx,
  { log_id, predecessor }: LogName,
  replaces: string | null,
  ref?: string,
): Step<LogName> {
  const named = yield* logName(tx, ref)
  if ((named?.log_id ?? null) !== replaces) return named as LogName
  tx.put(LOG, { ...(yield* namedLog(tx, ref)), log_id, predecessor, acknowledged: null, ...of(ref) })
  const acknowledged = yield* tx.range(rowsOf('rows-acknowledged', ref))
  for (const row of yield* tx.all(ROW, acknowledged)) tx.put(ROW, { ...row, position: null })
  return { log_id, predecessor }
}

export function* pendingRows(tx: Tx, o: Parameters<OutboxPort['pendingRows']>[0]): Step<OutboxRow[]> {
  const pending = yield* tx.range(rowsOf('rows-pending', o.log), { from: o.fromSeq, limit: o.limit })
  return (yield* tx.all(ROW, pending)).filter(({ position }) => position === null).map(rowOf)
}

export function* acknowledgedRows(tx: Tx, o: Parameters<OutboxPort['acknowledgedRows']>[0]): Step<OutboxRow[]> {
  const named = (yield* namedLog(tx, o.log))?.log_id
  const found: OutboxRow[] = []
  for (let from = o.fromSeq; found.length < o.limit; ) {
    const rows = yield* tx.all(ROW, yield* tx.range(rowsOf('rows', o.log), { from, limit: o.limit }))
    const isWanted = ({ position: at }: RowRecord): boolean =>
      at !== null && at.log_id === named && at.offset <= o.toOffset
    found.push(...rows.filter(isWanted).map(rowOf))
    if (rows.length < o.limit) break
    from = (rows.at(-1) as RowRecord).seq + 1
  }
  return found.slice(0, o.limit)
}

export function* keptRows(tx: Tx, fromSeq: number, limit: number, log?: string): Step<OutboxRow[]> {
  return (yield* tx.all(ROW, yield* tx.range(rowsOf('rows', log), { from: fromSeq, limit }))).map(rowOf)
}

export function* acknowledgedPosition(tx: Tx, ref?: string): Step<LogPosition | null> {
  const log = yield* namedLog(tx, ref)
  return log === null || log.acknowledged === null ? null : { log_id: log.log_id, offset: log.acknowledged }
}

export function* acknowledge(
  tx: Tx,
  acks: readonly { seq: number; position: LogPosition }[],
  ref?: string,
): Step<void> {
  yield* tx.load(logKey(ref), ...acks.map(({ seq }) => keyOf(ROW, seq)))
  const log: Kept<LogRecord> | null = yield* namedLog(tx, ref)
  if (log === null) return
  let highest = log.acknowledged ?? -1
  for (const { seq, position } of acks) {
    if (position.log_id !== log.log_id) continue
    highest = Math.max(highest, position.offset)
    const row = yield* tx.get(ROW, seq)
    if (row === null || row.log !== ref) continue
    if (row.position !== null && row.position.offset <= position.offset) continue
    tx.put(ROW, { ...row, position: { log_id: position.log_id, offset: position.offset } })
  }
  if (highest >= 0 && highest !== log.acknowledged) tx.put(LOG, { ...log, acknowledged: highest })
}

export function* repend(tx: Tx, seqs: readonly number[]): Step<void> {
  for (const row of yield* tx.all(
    ROW,
    seqs.map((seq) => keyOf(ROW, seq)),
  ))
    tx.put(ROW, { ...row, position: null })
}

export function* bundle(tx: Tx, ref?: string): Step<BundleRecord | null> {
  const kept = yield* keptBundle(tx, ref)
  return kept && { version: kept.version, body: kept.body, signature: kept.signature }
}

export function* putBundle(tx: Tx, { version, body, signature }: BundleRecord, ref?: string): Step<BundleRecord> {
  const kept = yield* keptBundle(tx, ref)
  if (version > (kept?.version ?? 0)) tx.put(BUNDLE, { ...kept, version, body, signature, ...of(ref) })
  return (yield* bundle(tx, ref)) as BundleRecord
}

function namedLog(tx: Tx, log: LogRef): Step<Kept<LogRecord> | null> {
  return log === undefined ? tx.get(LOG) : tx.get(LOG, log)
}

function logKey(log: LogRef): string {
  return log === undefined ? keyOf(LOG) : keyOf(LOG, log)
}

function keptBundle(tx: Tx, log: LogRef): Step<Kept<KeptBundle> | null> {
  return log === undefined ? tx.get(BUNDLE) : tx.get(BUNDLE, log)
}

/** Records of `main` are as they were before there were others. */
function of(log: LogRef): { log?: string } {
  return log === undefined ? {} : { log }
}

function rowOf(row: RowRecord): OutboxRow {
  return shown.row({ ...row, state: row.position === null ? 'pending' : 'acknowledged' })
}
