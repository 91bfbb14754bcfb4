/** Which step of the enforcer an append belongs to. */
import type { NewRecord, SchemaIds } from '@countersign/event-log'
import { readDecisions } from '@countersign/schemas'

/** @param topic as the enforcer names it. */
export function phaseOf(
  topic: string,
  records: readonly NewRecord[],
  schemas: SchemaIds,
): 'copy' | 'admission' | 'final record' {
  if (topic !== 'countersign.decisions.v1') return 'copy'
  return readDecisions(records[0]?.value ?? null, schemas)?.phase === 'admitted' ? 'admission' : 'final record'
}
