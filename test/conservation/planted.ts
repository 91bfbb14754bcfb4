/** Faults planted one at a time in the enforcer that ships, to prove that the runs and their checker would see them. */
import type { SourceEdit } from '../identity/edited-source.ts'

export interface Planted {
  readonly name: string
  readonly edits: readonly SourceEdit[]
}

function edit(file: string, find: string, replace: string): SourceEdit[] {
  return [{ file: `libs/enforcer/src/${file}`, find, replace }]
}

export const PLANTED: readonly Planted[] = [
  {
    name: 'run before the admission is recorded',
    edits: edit(
      'ledger.ts',
      "await this.#append('admitted', items, giveUp)",
      "void this.#append('admitted', items, giveUp).catch(() => {})",
    ),
  },
  {
    name: 'resolve the offset before the record',
    edits: edit(
      'ledger.ts',
      "if (ready.length > 0) await this.#append('final', ready)",
      "if (ready.length > 0) void this.#append('final', ready).catch(() => {})",
    ),
  },
  {
    name: 'resolve past what has no state',
    edits: edit(
      'ledger.ts',
      'if (last) this.#parts.resolve(last.message.offset)',
      'last = this.#items.findLast((item) => item.recorded)\n    if (last) this.#parts.resolve(last.message.offset)',
    ),
  },
  {
    name: 'dead-letter without a copy',
    edits: edit('ledger.ts', "await this.#setAside('dead_lettered', this.#parts.topic.dead, settled)", ''),
  },
  {
    name: 'copy without the envelope',
    edits: edit('set-aside.ts', 'headers: [...kept, ...ownHeaders', 'headers: [...ownHeaders'),
  },
  {
    name: 'go on when the log does not take a record',
    edits: edit(
      'durable.ts',
      'if (!isRetriable(error) || late || giveUp?.aborted) throw error',
      'if (!isRetriable(error) || late || giveUp?.aborted) return',
    ),
  },
  {
    name: 'record a decision in whatever partition',
    edits: edit('record.ts', 'const partition = first.originPartition %', 'const partition = first.offset %'),
  },
  {
    name: 'judge once, when fetched',
    edits: edit(
      'batch.ts',
      'if (refusal === null) return attempt(this.#parts, item, this.#parts.handler, this.#beat)',
      "if (refusal?.settlement.outcome !== 'parked') return attempt(this.#parts, item, this.#parts.handler, this.#beat)",
    ),
  },
  {
    name: 'believe that a view is as fresh as it was',
    edits: edit(
      'admission.ts',
      'const freshness = view.freshness()\n    const { offset }',
      'const freshness = { ...view.freshness(), ageMs: 0 }\n    const { offset }',
    ),
  },
  {
    name: 'admit before the position is reached',
    edits: edit('deciding.ts', 'view.reached(tctx.position, iat)', "'reached' as const"),
  },
  {
    name: 'tell running work nothing',
    edits: edit('running.ts', 'if (this.#due || this.#entries.size === 0) return', 'return'),
  },
  {
    name: 'take a handler that failed for done',
    edits: edit('attempt.ts', 'if (!end.failed && !refused) {', 'if (!refused) {'),
  },
  {
    name: 'run several of one key at once',
    edits: edit('batch.ts', 'return [...lanes.values()]', 'return items.map((item) => [item])'),
  },
  {
    name: 'commit without judging again',
    edits: [
      ...edit(
        'effects.ts',
        "const decision = judged.opened && judge.decide(judged, 'running')",
        'const decision = null',
      ),
      ...edit('effects.ts', 'if (run.revokedBy !== null) return refuse', 'if (run.over) return refuse'),
      ...edit('effects.ts', 'if (run.ended) return refuse', 'if (run.over) return refuse'),
    ],
  },
  {
    name: 'open an envelope whatever it is bound to',
    edits: edit(
      'admission.ts',
      'if (!result.ok) return { wait: false, settlement: faultSettlement(result.code) }\n      item.opened',
      "if (!result.ok && (result.code as string) === 'envelope_payload_mismatch') return null\n      if (!result.ok) return { wait: false, settlement: faultSettlement(result.code) }\n      item.opened",
    ),
  },
]
