/** An archive of real work: everything in it once although the audit was killed; touched rows named; answers as the log's. */
import { createPrivateKey } from 'node:crypto'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { rawPublicKey } from '@countersign/envelope'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { archiveSource, type EvidenceSource, logSource, placeName } from '@countersign/evidence'
import { systemClock } from '@countersign/kernel'
import { EXIT, runProgram } from '@countersign/ops'
import { exampleCatalogue } from '@countersign/schemas'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, Service } from '../../day/processes.ts'
import { PASSWORD, Site, until } from '../site.ts'

let site: Site
let audit: Service
let archive: string
let anchor: string
let touches = 0

beforeAll(async () => {
  site = await Site.start()
  archive = join(site.folder, 'archive.db')
  const port = await freePort()
  audit = new Service({ name: 'audit', service: 'audit', port, env: environment(port) }, site.folder)
  audit.start()
  await audit.ready()
  const cookie = await site.login('ann')
  const work = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) expect((await site.post('/invoices/acme-1001/export', cookie)).status).toBe(202)
  }
  await work(5)
  await audit.kill()
  await work(5)
  expect((await site.logout(cookie)).state).toBe('acknowledged')
  audit.start()
  await audit.ready()
  // Nothing is appended any more, so that log and archive can be compared.
  await site.stop()
  const stopped = systemClock.now()
  await until('the archive to be complete', async () => Date.parse((await status()).as_of) > stopped)
  anchor = join(site.folder, 'anchor.json')
  await until('a checkpoint of it', async () => (await status()).checkpoint?.row === (await status()).last)
  writeFileSync(anchor, await (await fetch(`${audit.url}/v1/archive/checkpoint`)).text())
  await audit.stop()
}, 60_000)
afterAll(async () => {
  await audit?.stop()
  await site?.close()
})

async function status(): Promise<{ as_of: string; last: number; checkpoint: { row: number } | null }> {
  return (await (await fetch(`${audit.url}/v1/archive`)).json()) as Awaited<ReturnType<typeof status>>
}

function environment(port: number): Record<string, string> {
  return {
    COUNTERSIGN_HTTP_PORT: String(port),
    COUNTERSIGN_LOG_PATH: site.logPath,
    COUNTERSIGN_ARCHIVE_PATH: archive,
    COUNTERSIGN_AUDIT_KEY_FILE: site.keyFile('audit'),
    COUNTERSIGN_CHECKPOINT_EVERY: '200ms',
  }
}

function auditKey(): string {
  return rawPublicKey(createPrivateKey(readFileSync(site.keyFile('audit')))).toString('base64')
}

async function run(
  ...argv: string[]
): Promise<{ readonly code: number; readonly out: string[]; readonly talk: string }> {
  const out: string[] = []
  const talk: string[] = []
  const terminal = { out: (line: string) => void out.push(line), say: (line: string) => void talk.push(line) }
  const code = await runProgram({ argv, env: {}, terminal, clock: systemClock, signal: new AbortController().signal })
  return { code, out, talk: talk.join('\n') }
}

/** Verifies a copy that somebody touched, under the root that vouches for the audit's key. */
function verified(how: (db: DatabaseSync) => void, ...more: string[]) {
  const copy = join(site.folder, `touched-${touches++}.db`)
  copyFileSync(archive, copy)
  const db = new DatabaseSync(copy)
  how(db)
  db.close()
  return run('audit', 'verify', '--archive', copy, '--root-key', site.rootKey, ...more)
}

test('has all that stands on the log, each record once', async () => {
  const log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue, create: false })
  const db = new DatabaseSync(archive, { readOnly: true })
  try {
    for (const { name, partitions } of exampleCatalogue.entries) {
      for (let partition = 0; partition < partitions; partition++) {
        const { start, end } = await log.bounds(name, partition)
        const sql = `SELECT offset FROM row JOIN lane ON lane.id = lane WHERE topic = ? AND partition = ? ORDER BY row.seq`
        const offsets = db
          .prepare(sql)
          .all(name, partition)
          .map(({ offset }) => offset)
        expect([name, partition, offsets]).toEqual([
          name,
          partition,
          Array.from({ length: end - start }, (_, i) => start + i),
        ])
      }
    }
  } finally {
    db.close()
    await log.close()
  }
})

test('answers what the log answers', async () => {
  const log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue, create: false })
  const sources = [logSource(log, exampleCatalogue), archiveSource(archive)]
  try {
    const found = async (source: EvidenceSource, name: string): Promise<string[]> => {
      const places: string[] = []
      for await (const { kind, place } of source.find(name)) places.push(`${kind} ${placeName(place)}`)
      return places.sort()
    }
    const [journey] = await first(logSource(log, exampleCatalogue).journey())
    const session = journey?.event.session as string
    const [fromLog, fromArchive] = await Promise.all(sources.map((source) => found(source, session)))
    expect(fromArchive).toEqual(fromLog)
    expect(fromLog?.filter((one) => one.startsWith('job'))).toHaveLength(10)
  } finally {
    for (const source of sources) await source.close()
    await log.close()
  }
})

async function first<T>(answer: AsyncIterable<T>): Promise<T[]> {
  for await (const one of answer) return [one]
  return []
}

test('holds under the root, and names what was deleted, altered and exchanged', async () => {
  expect(await verified(() => {})).toMatchObject({ code: EXIT.ok, out: [] })
  let deleted: unknown
  const touched = await verified((db) => {
    // Its place is told by its neighbours in the partition, so these are left alone.
    const near = (other: string): string => `EXISTS (SELECT 1 FROM row o WHERE o.lane = r.lane AND ${other})`
    const between = `${near('o.seq < r.seq')} AND ${near('o.seq > r.seq AND o.seq < 30')}`
    deleted = db.prepare(`SELECT max(seq) AS seq FROM row r WHERE seq < 30 AND ${between}`).get()?.seq
    db.exec(`DELETE FROM row WHERE seq = ${deleted}; UPDATE row SET at = at + 1 WHERE seq = 30`)
    db.exec(
      `UPDATE row SET seq = -1 WHERE seq = 40; UPDATE row SET seq = 40 WHERE seq = 45; UPDATE row SET seq = 45 WHERE seq = -1`,
    )
  })
  expect(touched.code).toBe(EXIT.differs)
  expect(touched.out).toEqual([
    expect.stringMatching(new RegExp(`^row ${deleted} \\([\\w.-]+/\\d+/\\d+\\) was deleted$`)),
    expect.stringMatching(/^row 30 \([\w.-]+\/\d+\/\d+\) was altered: /),
    expect.stringMatching(/^row 40 \(\S+\) and row 45 \(\S+\) stand in each other's place$/),
  ])
})

test('misses by an anchor what was cut off, and believes no other root', async () => {
  // With the bundles gone nobody vouches for the key but who gives it.
  const cut = (db: DatabaseSync): void => db.exec('DELETE FROM row WHERE seq > 20; DELETE FROM statement')
  const missed = await verified(cut, '--anchor', anchor, '--audit-key', auditKey())
  expect([missed.code, missed.out[0]]).toEqual([EXIT.differs, expect.stringMatching(/^rows 21 to \d+.* were deleted$/)])
  const copy = join(site.folder, 'other-root.db')
  copyFileSync(archive, copy)
  const other = Buffer.alloc(32, 7).toString('base64')
  expect((await run('audit', 'verify', '--archive', copy, '--root-key', other)).code).toBe(EXIT.usage)
})

test('exports decisions and journey without a secret, a payload or a name', async () => {
  const lines = await run('audit', 'export', '--archive', archive, '--raw')
  expect(lines.code).toBe(EXIT.ok)
  const rows = lines.out.map((line) => JSON.parse(line) as { row: number; kind: string })
  expect(rows.map(({ row }) => row)).toEqual(rows.map((_, i) => i + 1))
  expect(new Set(rows.map(({ kind }) => kind))).toEqual(
    new Set(['note', 'journey', 'decisions', 'job', 'signals', 'progress']),
  )
  const text = lines.out.join('\n')
  for (const secret of [PASSWORD, 'ann@example.com', '127.0.0.1']) expect(text).not.toContain(secret)
  const csv = await run('audit', 'export', '--archive', archive, '--format', 'csv', '--only', 'decisions')
  const [, ...decided] = csv.out
  expect(decided.filter((line) => !line.includes('"admitted"'))).toHaveLength(10)
})

test('cuts old rows under a statement, and holds still', async () => {
  const copy = join(site.folder, 'retained.db')
  copyFileSync(archive, copy)
  const plan = ['audit', 'retain', '--archive', copy, '--keep', '1ms', '-o', 'json']
  const { rows } = JSON.parse((await run(...plan)).out[0] ?? '') as { rows: number }
  expect(rows).toBeGreaterThan(20)
  expect((await run(...plan, '--execute', '--key-file', site.keyFile('audit'))).code).toBe(EXIT.ok)
  expect(await run('audit', 'verify', '--archive', copy, '--audit-key', auditKey())).toMatchObject({ code: EXIT.ok })
  expect(JSON.parse((await run('audit', 'status', '--archive', copy, '-o', 'json')).out[0] ?? '')).toMatchObject({
    removed: rows,
  })
})
