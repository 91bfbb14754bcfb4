/** The vector files as text, the same in every run. */
import { envelopeVectors } from './envelope-vectors.ts'
import { bundleVectors, recordVectors, sealVectors, targetVectors } from './record-vectors.ts'

/** @returns name and content of each file under `schemas/vectors`. */
export function vectorFiles(): readonly (readonly [name: string, text: string])[] {
  const files = {
    'bundles.json': bundleVectors(),
    'envelopes.json': envelopeVectors(),
    'records.json': recordVectors(),
    'seal.json': sealVectors(),
    'targets.json': targetVectors(),
  }
  return Object.entries(files).map(([name, content]) => [name, `${JSON.stringify(content, null, 2)}\n`])
}
