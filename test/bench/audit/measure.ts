/**
 * An archive of many records as they come: jobs under envelopes that were sealed in batches, decisions about them, steps of
 * the journey. Verified whole; then with one row deleted, one altered and two exchanged, each of which must be named.
 */
import { createPrivateKey } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { bindEvent, ed25519Key, generateEd25519, rawPublicKey, seal } from '@countersign/envelope'
import { NOW, testAuthority, testClaims, testId } from '@countersign/envelope/testing'
import type { LogRecord } from '@countersign/event-log'
import { Archive, ArchiveFile, verifyArchive } from '@countersign/evidence'
import { exampleCatalogue, frame, type JourneyEvent, journeyEventCodec } from '@countersign/schemas'
import { answer } from '../child.ts'
import { correct } from '../figure.ts'

const rows = Number(process.argv[2])
const BATCH = 500
const CHECKPOINT_EVERY = 50_000
const PARTITIONS = 6
/** Of a hundred records, how many are jobs; the others are of the journey. */
const JOBS = 70

interface Measured {
  readonly wallS: number
  readonly cpuS: number
}

export interface AuditResult {
  readonly archiving: Measured
  readonly whole: Measured
  readonly touched: Measured
  /** Of the file, index included. */
  readonly bytes: number
}

const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'))
const path = join(folder, 'archive.db')
const schemas = exampleCatalogue.schemaIds()
const { privateKeyPem } = generateEd25519()
const key = ed25519Key('audit', privateKeyPem)
const auditKeys = [rawPublicKey(createPrivateKey(privateKeyPem))]
const { envelope: sealer } = testAuthority().keys
const journeyId = schemas.idOf('countersign.JourneyEvent') as number
const next = new Map<string, number>()
const STEP: Omit<JourneyEvent, 'id' | 'session' | 'request_id'> = {
  ...{ at: NOW, action: 'issuance', actor: 'usr_9f86d081884c7d65', sub: 'usr_9f86d081884c7d65', tenant: 'acme' },
  ...{ family: null, token: null, parent: null, origin: null, device: null, client: 'web', audience: ['api'] },
  ...{ scopes: ['invoices:read'], cause: null, target: null, effect: null, revocation: null, outcome: 'issued' },
  ...{ rule: null, latency_ms: 3, trace_id: null, txn: null, acr: null, route: null, lineage: [] },
  correlation_id: null,
}

try {
  const archiving = measured(fill)
  const bytes = statSync(path).size
  const whole = measured(() => verified([]))
  const [deleted, altered, one, other] = [0.21, 0.43, 0.65, 0.87].map((share) => Math.floor(rows * share)) as [
    number,
    number,
    number,
    number,
  ]
  touch(deleted, altered, one, other)
  const expected = [
    { kind: 'deleted', from: deleted, to: deleted },
    { kind: 'altered', seq: altered },
    { kind: 'swapped', seq: one, with: other },
  ]
  const touched = measured(() => verified(expected))
  answer({ archiving, whole, touched, bytes } satisfies AuditResult)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function fill(): void {
  const archive = new Archive({ path, catalogue: exampleCatalogue, schemas })
  for (let n = 0; n < rows; n += BATCH) {
    const inJobs = (n / BATCH) % 100 < JOBS
    archive.append(inJobs ? jobs(n) : steps(n))
    if ((n + BATCH) % CHECKPOINT_EVERY !== 0) continue
    archive.checkpoint(key, NOW, NOW)
    console.error(`audit: ${n + BATCH} records archived`)
  }
  archive.checkpoint(key, NOW, NOW)
  archive.close()
}

function jobs(first: number): LogRecord[] {
  const values = Array.from({ length: BATCH }, (_, i) => Buffer.from(`invoice ${first + i}`))
  const bound = values.map((value, i) =>
    bindEvent({ topic: 'invoices.export', key: Buffer.from(`inv-${first + i}`), id: testId(first + i), value }),
  )
  const envelopes = seal(
    bound.map((event, i) => testClaims({ event, txn: `txn_${first + i}` })),
    sealer,
  )
  return bound.map((event, i) =>
    record('invoices.export.v1', first, event.key, values[i] as Buffer, [
      ['countersign-envelope', envelopes[i] as Buffer],
      ['countersign-correlation', Buffer.from(`cor_${String(first + i).padStart(8, '0')}`)],
    ]),
  )
}

function steps(first: number): LogRecord[] {
  return Array.from({ length: BATCH }, (_, i) => {
    const own = { id: testId(first + i), session: `ses_${first + i}`, request_id: `req_${first + i}` }
    const value = frame(journeyId, journeyEventCodec.encode({ ...STEP, ...own }))
    return record('countersign.journey.v1', first, Buffer.from('usr_9f86d081884c7d65'), value, [])
  })
}

/** Batches come partition by partition, as from a log. */
function record(
  topic: string,
  first: number,
  key: Uint8Array | null,
  value: Buffer,
  headers: LogRecord['headers'],
): LogRecord {
  const partition = (first / BATCH) % PARTITIONS
  const lane = `${topic}/${partition}`
  const offset = next.get(lane) ?? 0
  next.set(lane, offset + 1)
  return { topic, partition, offset, timestamp: NOW + first, key, value, headers }
}

function verified(expected: readonly Readonly<Record<string, unknown>>[]): void {
  const file = new ArchiveFile({ path, readOnly: true })
  const { findings } = verifyArchive(file, { auditKeys })
  file.close()
  const same = expected.every((want, i) => Object.entries(want).every(([name, value]) => value === at(i, name)))
  correct(findings.length === expected.length && same, JSON.stringify(findings))

  function at(i: number, name: string): unknown {
    return (findings[i] as unknown as Record<string, unknown> | undefined)?.[name]
  }
}

function touch(deleted: number, altered: number, one: number, other: number): void {
  const db = new DatabaseSync(path)
  db.exec(`DELETE FROM row WHERE seq = ${deleted}`)
  db.exec(`UPDATE row SET body = zeroblob(32) WHERE seq = ${altered}`)
  db.exec(`UPDATE row SET seq = -1 WHERE seq = ${one}; UPDATE row SET seq = ${one} WHERE seq = ${other}`)
  db.exec(`UPDATE row SET seq = ${other} WHERE seq = -1`)
  db.close()
}

function measured(action: () => void): Measured {
  const cpu = process.cpuUsage()
  const began = performance.now()
  action()
  const { user, system } = process.cpuUsage(cpu)
  return { wallS: (performance.now() - began) / 1_000, cpuS: (user + system) / 1e6 }
}
