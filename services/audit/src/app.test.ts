import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateEd25519 } from '@countersign/envelope'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { ArchiveFile, readAnchor, verifyArchive } from '@countersign/evidence'
import { loadConfig } from '@countersign/kernel'
import { exampleCatalogue } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startAudit } from './app.ts'
import { config } from './config.ts'

const { privateKeyPem, publicKey } = generateEd25519()
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-audit-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function load(more: Record<string, string> = {}) {
  const base = { LOG_PATH: join(folder, 'log.db'), ARCHIVE_PATH: join(folder, 'archive.db'), AUDIT_KEY: privateKeyPem }
  const all = Object.entries({ ...base, ...more }).map(([name, value]) => [`COUNTERSIGN_${name}`, value])
  return loadConfig(config, Object.fromEntries(all))
}

test('is ready once it has caught up, and gives a checkpoint to keep elsewhere', async () => {
  const audit = await startAudit(load({ CHECKPOINT_EVERY: '20ms' }), silentLogger)
  try {
    const log = await openSqliteLog({ path: join(folder, 'log.db'), catalogue: exampleCatalogue })
    await log.append('invoices.export.v1', [{ key: null, value: Buffer.from('job'), headers: [] }])
    await log.close()
    const answer = async (path: string): Promise<Response> => fetch(`${audit.address}${path}`)
    await vi.waitUntil(async () => (await answer('/readyz')).ok, { timeout: 15_000 })
    await vi.waitUntil(async () => (await answer('/v1/archive/checkpoint')).status === 200, { timeout: 15_000 })
    const text = await (await answer('/v1/archive/checkpoint')).text()
    const anchor = readAnchor(text)
    expect(anchor).not.toBeNull()
    expect(await (await answer('/v1/archive')).json()).toMatchObject({ first: 1, behind: 0, faults: [] })
    expect(await (await answer('/metrics')).text()).toContain('countersign_archive_records_total{role="jobs"} 1')
    const file = new ArchiveFile({ path: join(folder, 'archive.db'), readOnly: true })
    expect(verifyArchive(file, { auditKeys: [publicKey], anchors: anchor ? [anchor] : [] })).toMatchObject({ ok: true })
    file.close()
  } finally {
    await audit.close()
  }
})

test('does not begin an archive over something else', async () => {
  writeFileSync(join(folder, 'archive.db'), 'something else, longer than the head of a database'.repeat(10))
  await expect(startAudit(load(), silentLogger)).rejects.toMatchObject({ code: 'EVIDENCE_ARCHIVE_UNKNOWN' })
  expect(readFileSync(join(folder, 'archive.db'), 'utf8')).toContain('something else')
})

test.each<[string, Record<string, string>, string]>([
  ['a key that is none', { AUDIT_KEY: 'no key' }, 'AUDIT_KEY'],
  ['two logs', { KAFKA_BROKERS: 'k:9092' }, 'LOG_PATH'],
  ['retention that is no duration', { KEEP: 'a year' }, 'KEEP'],
])('refuses %s', (_what, more, named) => {
  expect(() => load(more)).toThrow(named)
})
