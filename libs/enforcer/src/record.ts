/**
 * Decision records: packed, one per batch and phase. Invariant: in a final record, `allowed` is what was
 * executed, exceptions not observed are the other states, and observed ones stand beside what happened.
 */
import type { NewRecord } from '@countersign/event-log'
import { ruleVersion } from '@countersign/policy'
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
      event_ids: Buffer.concat(ran.map((item) => item.workId)),
      objects: rules.object === null ? [] : ran.map((item) => this.#admission.objectOf(item) ?? ''),
      exceptions: phase === 'admitted' ? [] : items.flatMap((item) => this.#exceptions(item)),
      effects: phase === 'admitted' ? [] : items.flatMap(checkedEffects),
      judged: judgedRuns(ran),
    })
    // All decisions of an event stand in one partition, redriven or not.
    const partition = first.originPartition % this.#settings.decisions.partitions
    const value = frame(this.#schemaId, body)
    return { key: null, value, headers: [], partition }
  }

  #exceptions(item: Item): DecisionException[] {
    const out: DecisionException[] = []
    if (item.observed) out.push(this.#exception(item, item.observed, true))
    if (item.settlement && item.settlement.outcome !== 'executed')
      out.push(this.#exception(item, item.settlement, false))
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

/** Events that one state of the view allowed, one after the other. */
function judgedRuns(items: readonly Item[]): JudgedRun[] {
  const runs: { first: number; last: number; since: number; by: Judgement }[] = []
  for (const { offset, judged } of items) {
    if (judged === null) continue
    const run = runs.at(-1)
    if (run && isSameView(run.by, judged)) {
      run.last = offset
      run.by = oldest(run.by, judged)
    } else runs.push({ first: offset, last: offset, since: judged.at, by: judged })
  }
  return runs
}

function isSameView(a: Judgement, b: Judgement): boolean {
  return a.view_offset === b.view_offset && a.as_of === b.as_of && a.bundle_version === b.bundle_version
}

function oldest(a: Judgement, b: Judgement): Judgement {
  const { age_ms, store_unseen_ms } = a
  return {
    ...b,
    age_ms: Math.max(age_ms, b.age_ms),
    store_unseen_ms: Math.max(store_unseen_ms, b.store_unseen_ms),
  }
}

function checkedEffects({ offset, effects }: Item): CheckedEffects[] {
  if (effects === null) return []
  const { count, viewOffset: view_offset, asOf: as_of, notAfter: not_after, at } = effects
  return [{ offset, count, view_offset, as_of, not_after, at }]
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
