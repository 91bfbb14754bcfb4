/** Every way of touching an archive is found, and what was touched is named by its row and its place. */

import { createPrivateKey } from 'node:crypto'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ed25519Key, generateEd25519, rawPublicKey } from '@countersign/envelope'
import { SeededRandom } from '@countersign/kernel/testing'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { SampleLog } from '../source/testing.ts'
import { explainMissing } from './findings.ts'
import {
  ArchiveFile,
  cutHead,
  type Finding,
  type SignedStatement,
  tell,
  type Verification,
  verifyArchive,
} from './index.ts'
import { auditRings } from './rings.ts'
import { genesis, hashOf, packBody, prevOf, type Row, RowHasher } from './row.ts'
import { archiveAll } from './testing.ts'

const { privateKeyPem } = generateEd25519(new SeededRandom(7))
const key = ed25519Key('audit', privateKeyPem)
const auditKeys = [rawPublicKey(createPrivateKey(privateKeyPem))]

let folder: string
let whole: string
let anchor: SignedStatement
let copies = 0
const open: DatabaseSync[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-verify-'))
  const sample = await SampleLog.open(join(folder, 'log.db'))
  await sample.fill()
  whole = join(folder, 'whole.db')
  const archive = await archiveAll(whole, sample)
  anchor = archive.checkpoint(key, sample.clock.now(), sample.clock.now()) as SignedStatement
  archive.close()
  await sample.log.close()
})
afterEach(() => {
  for (const db of open.splice(0)) db.close()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Verifies a copy that somebody touched. */
function touched(how: (db: DatabaseSync) => void, options = {}): Verification {
  const path = join(folder, `copy-${copies++}.db`)
  copyFileSync(whole, path)
  const db = new DatabaseSync(path)
  how(db)
  db.close()
  const file = new ArchiveFile({ path, readOnly: true })
  try {
    return verifyArchive(file, { auditKeys, ...options })
  } finally {
    file.close()
  }
}

function named(result: Verification): string[] {
  return result.findings.map(tell)
}

const placeAt = (seq: number): string => {
  const db = new DatabaseSync(whole, { readOnly: true })
  open.push(db)
  const sql = `SELECT topic || '/' || partition || '/' || offset AS place FROM row JOIN lane ON lane.id = lane WHERE row.seq = ?`
  return (db.prepare(sql).get(seq) as { place: string }).place
}

/** Writes rows from `from` on anew, as somebody would who can write the file and has no key. */
function rechain(db: DatabaseSync, from: number): void {
  const rows = db
    .prepare('SELECT topic, partition, row.* FROM row JOIN lane ON lane.id = lane ORDER BY row.seq')
    .all() as never[]
  const { id } = db.prepare('SELECT id FROM archive').get() as { id: string }
  let prev: Uint8Array = genesis(id)
  for (const row of rows as Row[]) {
    const hash = row.seq < from ? hashOf(row) : new RowHasher().hash(prev, row.seq, row)
    db.prepare('UPDATE row SET link = ? WHERE seq = ?').run(Buffer.concat([prev, hash]), row.seq)
    prev = hash
  }
}

it('finds nothing in what nobody touched', () => {
  const result = touched(() => {})
  expect(named(result)).toEqual([])
  expect(result).toMatchObject({ ok: true, rows: 39, first: 1, last: 39, vouchedTo: 39, statements: 1, gaps: 0 })
})

it.each([
  ['its body', `body = x'00'`],
  ['a byte of it', `body = CAST(substr(body, 1, 9) || x'00' || substr(body, 11) AS BLOB)`],
  ['what is behind it', `body = CAST(body || x'00' AS BLOB)`],
  ['its time', 'at = at + 1'],
  ['its place', 'offset = offset + 1000'],
  ['its place to what cannot be', 'offset = 9007199254740993'],
  ['its hash', 'link = CAST(substr(link, 1, 32) || zeroblob(32) AS BLOB)'],
  ['what it follows', 'link = CAST(zeroblob(32) || substr(link, 33) AS BLOB)'],
  ['both', `link = x'00'`],
])('names a row when somebody alters %s', (_what, change) => {
  const result = touched((db) => db.exec(`UPDATE row SET ${change} WHERE seq = 22`))
  const [finding, ...more] = result.findings
  expect(more).toEqual([])
  expect(finding).toMatchObject({ kind: 'altered', seq: 22 })
  if (!change.startsWith('offset')) expect(finding).toMatchObject({ place: placeAt(22) })
})

it.each(['null', '{"topic":null}', '{"topic":{}}', '{"schema":7}', '{"gap":null}', '{"gap":{"topic":1}}'])(
  'names a note that was made to %s, and reads on',
  (note) => {
    const body = packBody({ key: null, value: Buffer.from(note), headers: [] })
    let read: unknown
    const result = touched((db) => {
      db.prepare('UPDATE row SET body = ? WHERE seq = 2').run(body)
      const path = db.location() as string
      const file = new ArchiveFile({ path, readOnly: true })
      read = auditRings(file, auditKeys)
      file.close()
    })
    expect(read).toEqual([])
    expect(result.findings).toMatchObject([{ kind: 'altered', seq: 2, place: placeAt(2) }])
  },
)

it('names a row that was altered together with its own hash', () => {
  const result = touched((db) => {
    db.exec(`UPDATE row SET body = x'00' WHERE seq = 20`)
    const row = db
      .prepare('SELECT topic, partition, row.* FROM row JOIN lane ON lane.id = lane WHERE row.seq = 20')
      .get() as never
    const link = Buffer.from(prevOf(row))
    db.prepare('UPDATE row SET link = ? WHERE seq = 20').run(Buffer.concat([link, new RowHasher().hash(link, 20, row)]))
  })
  expect(result.findings).toMatchObject([{ kind: 'altered', seq: 20, place: placeAt(20) }])
})

it('names each deleted row and where it stood', () => {
  const result = touched((db) => db.exec('DELETE FROM row WHERE seq IN (12, 25)'))
  expect(named(result)).toEqual([`row 12 (${placeAt(12)}) was deleted`, `row 25 (${placeAt(25)}) was deleted`])
})

it('names a partition that was made to go on elsewhere', () => {
  const result = touched((db) => db.exec(`UPDATE lane SET next = 9, last = 8 WHERE topic = 'countersign.signals.v1'`))
  expect(named(result)).toEqual([
    'countersign.signals.v1/0 is said to go on behind offset 8; its last row is of offset 1',
  ])
})

it.each([
  ['skip records', 7],
  ['take records again', -1],
])('names a partition that was made to %s', (_how, by) => {
  const result = touched((db) => db.exec(`UPDATE lane SET next = next + ${by} WHERE topic = 'countersign.signals.v1'`))
  expect(named(result)).toEqual([
    `countersign.signals.v1/0 is said to go on behind offset ${1 + by}; its last row is of offset 1`,
  ])
})

it('takes a partition that goes on behind a gap for what it is', async () => {
  const path = join(folder, 'gap.db')
  const sample = await SampleLog.open(join(folder, 'gap-log.db'))
  await sample.fill()
  const archive = await archiveAll(path, sample)
  archive.gap({ topic: 'countersign.signals.v1', partition: 0, from: 2, to: 9 })
  archive.checkpoint(key, sample.clock.now(), 0)
  expect(verifyArchive(archive.file, { auditKeys })).toMatchObject({ ok: true, gaps: 1 })
  await sample.clock.advance(1_000)
  await sample.journey(200)
  const { partition, offset } = await sample.journey(201)
  const place = { topic: 'countersign.journey.v1', partition, from: offset - 1, to: offset + 1 }
  for await (const chunk of sample.log.read(place)) archive.append(chunk)
  archive.checkpoint(key, sample.clock.now(), 0)
  expect(cutHead(archive, sample.clock.now(), sample.clock.now(), key).rows).toBe(40)
  expect(verifyArchive(archive.file, { auditKeys })).toMatchObject({ ok: true })
  archive.close()
  await sample.log.close()
})

it('compares a few holes with each other, and not those of a file that is full of them', () => {
  const place = { topic: 'invoices.export.v1', partition: 0 }
  const every = (n: number) => Array.from({ length: n }, (_, i) => 2 * i + 2)
  const told = (n: number) =>
    explainMissing(
      every(n).map((seq) => ({ from: seq, to: seq })),
      every(n).map((seq) => ({ ...place, from: seq, to: seq, afterSeq: seq - 1, beforeSeq: seq + 1 })),
      [],
    )
  expect(told(500).at(-1)).toMatchObject({ from: 1_000, places: ['invoices.export.v1/0/1000'] })
  expect(told(501).at(-1)).toMatchObject({ from: 1_002, places: [] })
})

it('names rows deleted at the end, up to what was signed', () => {
  const result = touched((db) => db.exec('DELETE FROM row WHERE seq > 37'))
  expect(result.findings).toMatchObject([{ kind: 'deleted', from: 38, to: 39 }])
  expect(named(result)[0]).toContain(placeAt(39))
})

it('names two rows whose contents were exchanged, and two whose numbers were', () => {
  const contents = touched((db) => {
    const columns = ['lane', 'offset', 'after', 'at', 'body']
    const rows = [15, 30].map(
      (seq) => db.prepare(`SELECT ${columns} FROM row WHERE seq = ?`).get(seq) as Record<string, never>,
    )
    const set = db.prepare(`UPDATE row SET ${columns.map((c) => `${c} = ?`).join(', ')} WHERE seq = ?`)
    // Out of the way first: a place is in an archive once.
    db.exec('UPDATE row SET offset = -1 WHERE seq = 30')
    set.run(...columns.map((c) => rows[1]?.[c] as never), 15)
    set.run(...columns.map((c) => rows[0]?.[c] as never), 30)
  })
  expect(contents.findings).toEqual([
    { kind: 'swapped', seq: 15, place: placeAt(30), with: 30, withPlace: placeAt(15) },
  ])
  const numbers = touched((db) =>
    db.exec(
      `UPDATE row SET seq = -1 WHERE seq = 15; UPDATE row SET seq = 15 WHERE seq = 16; UPDATE row SET seq = 16 WHERE seq = -1`,
    ),
  )
  expect(numbers.findings).toEqual([{ kind: 'swapped', seq: 15, place: placeAt(16), with: 16, withPlace: placeAt(15) }])
})

it('tells deleted, altered and exchanged rows of one archive apart', () => {
  const result = touched((db) => {
    db.exec(`DELETE FROM row WHERE seq = 10; UPDATE row SET body = x'00' WHERE seq = 20`)
    db.exec(
      `UPDATE row SET seq = -1 WHERE seq = 30; UPDATE row SET seq = 30 WHERE seq = 33; UPDATE row SET seq = 33 WHERE seq = -1`,
    )
  })
  expect(result.findings.map(({ kind }) => kind)).toEqual(['deleted', 'altered', 'swapped'])
  expect(named(result)[0]).toBe(`row 10 (${placeAt(10)}) was deleted`)
})

it('says from where on a chain was written anew', () => {
  const result = touched((db) => {
    db.exec(`UPDATE row SET body = x'00' WHERE seq = 20`)
    rechain(db, 20)
  })
  expect(result.findings).toEqual([{ kind: 'rewritten', from: 0, to: 39 }])
})

it('believes statements of nobody but the signer', () => {
  const other = generateEd25519(new SeededRandom(8))
  const forged = touched(
    (db) => {
      db.exec(`UPDATE row SET body = x'00' WHERE seq = 20`)
      rechain(db, 20)
    },
    { auditKeys: [other.publicKey] },
  )
  expect(forged.ok).toBe(false)
  expect(forged.findings.map(({ kind }) => kind)).toEqual(['statement'])
  expect(
    touched((db) => db.exec('UPDATE statement SET body = CAST(replace(CAST(body AS TEXT), 1, 2) AS BLOB)')).ok,
  ).toBe(false)
})

it.each([
  ['a checkpoint', { kind: 'checkpoint', n: 2 ** 52, previous: null, as_of: 0 }],
  ['a cut', { kind: 'cut', n: 1, statements_from: -(2 ** 52), notes: 7 }],
])('ends, and names it, however far %s says that it stands from others', (_what, said) => {
  const result = touched((db) => {
    const { id: archive } = db.prepare('SELECT id FROM archive').get() as { id: string }
    const body = Buffer.from(JSON.stringify({ archive, at: 0, seq: 1, hash: '', ...said }))
    const sql = 'INSERT INTO statement (n, seq, kind, body, signature) VALUES (0, 1, ?, ?, ?)'
    db.prepare(sql).run(said.kind, body, Buffer.alloc(70))
  })
  expect(result.ok).toBe(false)
  expect(result.findings.map(({ kind }) => kind)).toContain('statement')
})

it('misses a statement that was taken out', async () => {
  const path = join(folder, 'statements.db')
  const sample = await SampleLog.open(join(folder, 'statements-log.db'))
  const archive = await archiveAll(path, sample)
  for (let i = 0; i < 4; i++) {
    const { partition, offset } = await sample.journey(i)
    const place = { topic: 'countersign.journey.v1', partition, from: offset, to: offset + 1 }
    for await (const chunk of sample.log.read(place)) archive.append(chunk)
    archive.checkpoint(key, sample.clock.now(), 0)
  }
  expect(verifyArchive(archive.file, { auditKeys })).toMatchObject({ ok: true, statements: 4 })
  archive.file.run('UPDATE statement SET n = 9 WHERE n = 2')
  expect(verifyArchive(archive.file, { auditKeys }).ok).toBe(false)
  archive.file.run('DELETE FROM statement WHERE n = 9')
  expect(verifyArchive(archive.file, { auditKeys }).findings.map(tell)).toEqual([
    'statement 2 is missing',
    'statement 1 is not what the one after it follows',
  ])
  archive.close()
  await sample.log.close()
})

it('misses, by a checkpoint kept elsewhere, what was cut off with all that told of it', () => {
  const cutOff = (db: DatabaseSync): void => {
    db.exec('DELETE FROM row WHERE seq > 30; DELETE FROM statement')
    const last = (what: string, none: number): string =>
      `(SELECT coalesce(max(row.${what}), ${none}) FROM row WHERE row.lane = lane.id)`
    db.exec(`UPDATE lane SET seq = ${last('seq', 0)}, last = ${last('offset', -1)}, next = ${last('offset', -1)} + 1`)
  }
  expect(touched(cutOff).ok).toBe(true)
  const result = touched(cutOff, { anchors: [anchor] })
  expect(result.findings).toMatchObject([{ kind: 'deleted', from: 31, to: 39 }])
})

it('takes a cut that was signed, and nothing that was merely deleted', async () => {
  const path = join(folder, 'cut.db')
  const sample = await SampleLog.open(join(folder, 'cut-log.db'))
  await sample.fill()
  const archive = await archiveAll(path, sample)
  archive.checkpoint(key, sample.clock.now(), 0)
  await sample.clock.advance(1_000)
  await sample.journey(200)
  const { partition, offset } = await sample.journey(201)
  for await (const chunk of sample.log.read({
    topic: 'countersign.journey.v1',
    partition,
    from: offset - 1,
    to: offset + 1,
  }))
    archive.append(chunk)
  archive.checkpoint(key, sample.clock.now(), 0)
  const plan = cutHead(archive, sample.clock.now(), sample.clock.now(), key)
  expect(plan).toMatchObject({ rows: 39, from: 1, to: 39 })
  expect(verifyArchive(archive.file, { auditKeys })).toMatchObject({ ok: true, rows: 2, first: 40, last: 41 })
  expect(archive.file.definitions().topics.get('countersign.signals.v1')).toMatchObject({ role: 'signals' })
  archive.file.run('DELETE FROM row WHERE seq = 40')
  const findings: readonly Finding[] = verifyArchive(archive.file, { auditKeys }).findings
  expect(findings.map(tell)).toEqual([`row 40 (countersign.journey.v1/${partition}/${offset - 1}) was deleted`])
  archive.close()
  await sample.log.close()
})
