import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testAuthority } from '@countersign/envelope/testing'
import { exampleCatalogue } from '@countersign/schemas'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { archiveSource } from '../archive/index.ts'
import { archiveAll } from '../archive/testing.ts'
import { evidenceSourceContract } from './contract.ts'
import { logSource } from './log-source.ts'
import type { EvidenceSource } from './port.ts'
import { SampleLog } from './testing.ts'

let folder: string
let sample: SampleLog
let places: Awaited<ReturnType<SampleLog['fill']>>
const sources: Record<string, EvidenceSource> = {}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-source-'))
  sample = await SampleLog.open(join(folder, 'log.db'))
  places = await sample.fill()
  const path = join(folder, 'archive.db')
  const archive = await archiveAll(path, sample)
  archive.checkpoint(testAuthority().keys.checkpoint, sample.clock.now(), sample.clock.now())
  archive.close()
  sources.log = logSource(sample.log, exampleCatalogue, { clock: sample.clock })
  sources.archive = archiveSource(path)
})
afterAll(async () => {
  for (const source of Object.values(sources)) await source.close()
  await sample.log.close()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(['log', 'archive'])('a source of evidence: %s', (name) => {
  for (const one of evidenceSourceContract)
    it(one.name, () => one.run({ sample, places, source: sources[name] as EvidenceSource }))
})
