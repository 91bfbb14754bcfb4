/**
 * Decision records: packed, one per batch and phase. Invariant: in a final record, `allowed` is what was
 * executed, exceptions not observed are the other states, and observed ones stand beside what happened.
 */
import type { NewRecord } from '@countersign/event-log'
import { ruleVersion, type ViewFreshness } from '@countersign/policy'
import {
  type CheckedEffects,
  type DecisionException,
  type DecisionPhase,
  decisionBatchCodec,
  encodeDecisions,
  frame,
  type JudgedRun,
  type Judgement,
  type OffsetRange,
} from '@countersign/schemas'
import type { Admission } from './admission.ts'
import type { Item } from './item.ts'
import type { Settings } from './options.ts'
import type { Settlement } from './outcomes.ts'

const ID_BYTES = 16

/** Makes the records of one job class. */
export class Recorder {
  readonly #settings: Settings
  readonly #admission: Admission
  readonly #ruleVersion: string
  readonly #schemaId: number

  constructor(settings: Settings, admission: Admission) {
    this.#settings = settings
    this.#admission = admission
    this.#ruleVersion = ruleVersion(admission.rules)
    this.#schemaId = settings.log.schemas.idOf(decisionBatchCodec.name)
  }

  /** @param items of one topic, partition, original partition and log, in offset order, at least one; final: each with its settlement. */
  record(phase: DecisionPhase, items: readonly Item[]): NewRecord {
    const { replica, clock, consumer } = this.#settings
    const { rules } = this.#admission
    const first = items[0] as Item
    const ran = phase === 'admitted' ? items : items.filter((item) => item.settlement?.outcome === 'executed')
    const view = first.judgedBy ?? replica.byTenant?.views[0] ?? replica
    const { log_id, offset } = view.position()
    const body = encodeDecisions({
      consumer,
      job_class: rules.name,
      rule_version: this.#ruleVersion,
      phase,
      topic: first.topic,
      logical_topic: rules.topic,
      partition: first.partition,
      log_id,
      view_offset: offset,
      as_of: view.freshness().asOf,
      bundle_version: view.ring()?.bundle.version ?? 0,
      recorded_at: clock.now(),
      action: rules.action,
      allowed: ranges(ran),
      event_ids: eventIds(ran),
      objects: rules.object === null ? [] : ran.map((item) => this.#admission.objectOf(item) ?? ''),
      exceptions: phase === 'admitted' ? [] : this.#exceptions(items),
      effects: phase === 'admitted' ? [] : checkedEffects(items),
      judged: judgedRuns(ran),
    })
    // All decisions of an event stand in one partition, redriven or not.
    const partition = first.originPartition % this.#settings.decisions.partitions
    const value = frame(this.#schemaId, body)
    return { key: null, value, headers: [], partition }
  }

  #exceptions(items: readonly Item[]): DecisionException[] {
    const out: DecisionException[] = []
    for (const item of items) {
      const { observed, settlement } = item
      if (observed) out.push(this.#exception(item, observed, true))
      if (settlement && settlement.outcome !== 'executed') out.push(this.#exception(item, settlement, false))
    }
    return out
  }

  #exception(item: Item, settlement: Settlement, observed: boolean): DecisionException {
    const claims = item.opened?.claims
    return {
      offset: item.offset,
      event_id: item.eventId,
      outcome: settlement.outcome,
      reason: settlement.reason,
      rule: settlement.rule,
      sub: claims?.sub ?? null,
      txn: claims?.txn ?? null,
      object: this.#admission.objectOf(item),
      attempts: item.attempts,
      observed,
      detail: settlement.detail,
      judged: settlement.by ?? item.judged,
    }
  }
}

function eventIds(items: readonly Item[]): Buffer {
  const ids = Buffer.allocUnsafe(ID_BYTES * items.length)
  for (const [index, item] of items.entries()) ids.set(item.workId, ID_BYTES * index)
  return ids
}

type Mutable<T> = { -readonly [name in keyof T]: T[name] }
type Run = Mutable<Omit<JudgedRun, 'by'>> & { by: Mutable<Judgement> }

/** Events that one state of the view allowed, one after the other, and the oldest that it was at any of them. */
function judgedRuns(items: readonly Item[]): JudgedRun[] {
  const runs: Run[] = []
  for (const item of items) {
    const { freshness, offset } = item
    if (freshness === null) continue
    const run = runs.at(-1)
    if (run && isSameView(run.by, item, freshness)) {
      const { by } = run
      run.last = offset
      by.at = item.judgedAt
      by.age_ms = Math.max(by.age_ms, freshness.ageMs)
      by.store_unseen_ms = Math.max(by.store_unseen_ms, freshness.storeUnseenForMs)
    } else {
      const by = item.judged as Judgement
      runs.push({ first: offset, last: offset, since: by.at, by })
    }
  }
  return runs
}

function isSameView(by: Judgement, { viewOffset, bundleVersion }: Item, { asOf }: ViewFreshness): boolean {
  return by.view_offset === viewOffset && by.as_of === asOf && by.bundle_version === bundleVersion
}

function checkedEffects(items: readonly Item[]): CheckedEffects[] {
  const out: CheckedEffects[] = []
  for (const { offset, effects } of items) {
    if (effects === null) continue
    const { count, viewOffset: view_offset, asOf: as_of, notAfter: not_after, at } = effects
    out.push({ offset, count, view_offset, as_of, not_after, at })
  }
  return out
}

/** Offsets may have gaps (compaction, control records); a range never spans one. */
function ranges(items: readonly Item[]): OffsetRange[] {
  const out: { first: number; last: number }[] = []
  for (const { offset } of items) {
    const open = out.at(-1)
    if (open && offset === open.last + 1) open.last = offset
    else out.push({ first: offset, last: offset })
  }
  return out
}
