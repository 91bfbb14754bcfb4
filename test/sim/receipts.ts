/** Receipts of a run, made from what its processes put on the log, judged by what they did. */

import type { LogRecord, SchemaIds } from '@countersign/event-log'
import { placeOf, type Receipt, Receipts } from '@countersign/evidence'
import { PROGRESS_TOPIC, SIGNALS_TOPIC } from '@countersign/replica'
import { MAIN_LOG, readDecisions } from '@countersign/schemas'
import type { Facts, Verdict } from '../checker/history.ts'
import { type ReceiptClaim, receiptsTrue } from '../checker/receipts.ts'

export class RunReceipts {
  readonly #receipts: Receipts
  readonly #schemas: SchemaIds

  constructor(schemas: SchemaIds, rootKeys: readonly Uint8Array[], epsilonMs: number) {
    this.#schemas = schemas
    this.#receipts = new Receipts({ schemas, rootKeys, epsilonMs })
  }

  /** Each record as it is appended. */
  take(record: LogRecord): void {
    const place = placeOf(record)
    if (record.topic === SIGNALS_TOPIC) this.#receipts.take({ kind: 'signals', place, log: MAIN_LOG, record })
    else if (record.topic === PROGRESS_TOPIC) this.#receipts.take({ kind: 'progress', place, record })
    else {
      const batch = readDecisions(record.value, this.#schemas)
      if (batch) this.#receipts.take({ kind: 'decisions', place, batch, version: 0 })
    }
  }

  /** @param now epoch milliseconds. @param whole false where offsets of two histories of the log mix: then nothing is judged. */
  verdict(facts: Facts, now: number, whole: boolean): Verdict {
    const all = whole ? this.#receipts.signals().map(({ id }) => this.#receipts.receipt(id, now)) : []
    const found = all.filter((one) => one !== null)
    const verdict = receiptsTrue(facts, found.map(claimOf))
    const contradicted = found.filter(({ consumers }) => consumers.some((one) => one.contradicted))
    const violations = [...verdict.violations, ...contradicted.map(({ line }) => line)]
    return { ...verdict, held: violations.length === 0, violations }
  }
}

/** Clocks of the run differ, so a consumer's own time is nobody else's. */
function claimOf({ revocation, positions, appendedAt, closedAt, consumers }: Receipt): ReceiptClaim {
  const told = consumers.map((one) => ({ ...one, exact: false }))
  return { revocation, offset: positions[0]?.offset ?? -1, appendedAt, closedAt, consumers: told }
}
