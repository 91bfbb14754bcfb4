/** Who may sign for an archive, by the trust bundles that are in it themselves: a pinned root vouches for those. */
import { KeyRing, verifyBundle } from '@countersign/envelope'
import { readRecord } from '@countersign/replica'
import type { KeyGrant } from '@countersign/schemas'
import { archiveEvidence } from './archive-source.ts'
import type { ArchiveFile } from './file.ts'

/**
 * One ring for each set of `audit` keys that a bundle in the archive grants, in the order they came into force.
 * @param rootKeys raw, pinned. @returns empty when no bundle that a root signed grants any.
 */
export function auditRings(file: ArchiveFile, rootKeys: readonly Uint8Array[], epsilonMs = 250): readonly KeyRing[] {
  const definitions = file.definitions()
  const current = new Map<string, KeyRing>()
  const rings = new Map<string, KeyRing>()
  // Forged records are many perhaps, bundles few: signatures are asked of those alone.
  const schemas = { schemaOf: (id: number) => definitions.schemaOf(id), idOf: () => -1 }
  for (const evidence of archiveEvidence(file, definitions, ['signals'])) {
    if (evidence.kind !== 'signals') continue
    const read = readRecord(evidence.record, schemas)
    if (read?.kind !== 'TrustBundle') continue
    const before = current.get(evidence.log) ?? null
    const result = verifyBundle(read.body, read.signature, rootKeys, {
      now: evidence.place.at,
      epsilonMs,
      current: before,
    })
    if (!result.ok || result.ring === before) continue
    current.set(evidence.log, result.ring)
    const grants = result.bundle.keys.filter(({ use }) => use === 'audit')
    if (grants.length > 0) rings.set(nameOf(grants), new KeyRing(result.bundle))
  }
  return [...rings.values()]
}

function nameOf(grants: readonly KeyGrant[]): string {
  return JSON.stringify(
    grants.map(({ key_id, public_key, not_before, not_after }) => [
      key_id,
      Buffer.from(public_key).toString('hex'),
      not_before,
      not_after,
    ]),
  )
}
