/** Topics and their records in the file. Runs in the worker thread only; callers hold the transaction. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Bounds, TopicSpec, TopicState } from '../port.ts'
import { OFFSETS_PER_PARTITION } from './database.ts'
import { Fault } from './fault.ts'
import { type Packed, pack, unpack } from './pack.ts'
import type { Chunk, PartitionId, Placed } from './protocol.ts'

interface PartitionRow {
  id: PartitionId
  first: number
  next: number
}

const TRIM_ROWS = 2_000

export class Records {
  readonly #partition: StatementSync
  readonly #insert: StatementSync
  readonly #advance: StatementSync
  readonly #select: StatementSync
  readonly #db: DatabaseSync

  constructor(db: DatabaseSync) {
    this.#db = db
    this.#partition = db.prepare('SELECT id, first, next FROM partition WHERE topic = ? AND number = ?')
    this.#insert = db.prepare('INSERT INTO record (id, timestamp, key, value, headers) VALUES (?, ?, ?, ?, ?)')
    this.#advance = db.prepare('UPDATE partition SET next = ? WHERE id = ?')
    this.#select = db.prepare(
      'SELECT id, timestamp, key, value, headers FROM record WHERE id >= ? AND id < ? ORDER BY id',
    )
  }

  append(topic: string, packed: Uint8Array, timestamp: number): Placed {
    const records = unpack(packed)
    const held = new Map<number, PartitionRow>()
    // All rows first: other appends share the transaction, so a fault must come before any write.
    for (const { at } of records) if (!held.has(at)) held.set(at, this.#row(topic, at))
    const placed: Placed = { partitions: [], offsets: [], timestamp }
    for (const record of records) {
      const row = held.get(record.at)!
      this.#insert.run(row.id * OFFSETS_PER_PARTITION + row.next, timestamp, record.key, record.value, record.headers)
      placed.partitions.push(record.at)
      placed.offsets.push(row.next++)
    }
    for (const row of held.values()) this.#advance.run(row.next, row.id)
    return placed
  }

  bounds(topic: string, partition: number): Bounds & { id: PartitionId } {
    const { id, first, next } = this.#row(topic, partition)
    return { id, start: first, end: next }
  }

  /** At least one record where there is one, then as many as fit both limits. */
  read(topic: string, partition: number, from: number, maxRecords: number, maxBytes: number): Chunk {
    const bounds = this.bounds(topic, partition)
    const base = bounds.id * OFFSETS_PER_PARTITION
    const records: Packed[] = []
    let bytes = 0
    if (from >= bounds.start && from < bounds.end) {
      for (const row of this.#select.iterate(base + from, base + bounds.end)) {
        const { id, ...record } = row as unknown as Omit<Packed, 'at'> & { id: number }
        records.push({ ...record, at: id - base })
        bytes += (record.key?.length ?? 0) + (record.value?.length ?? 0) + record.headers.length
        if (records.length >= maxRecords || bytes >= maxBytes) break
      }
    }
    return { ...bounds, records: pack(records) }
  }

  topics(): TopicState[] {
    const rows = this.#db.prepare('SELECT name, partitions, retention_ms FROM topic ORDER BY name').all()
    return rows.map((row) => ({
      name: row.name as string,
      partitions: row.partitions as number,
      retentionMs: row.retention_ms as number,
      cleanupPolicy: 'delete',
      timestampType: 'LogAppendTime',
    }))
  }

  createTopics(specs: readonly TopicSpec[]): string[] {
    const topic = this.#db.prepare(
      'INSERT INTO topic (name, partitions, retention_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    )
    const partition = this.#db.prepare('INSERT INTO partition (topic, number) VALUES (?, ?)')
    const created: string[] = []
    for (const spec of specs) {
      if (topic.run(spec.name, spec.partitions, spec.retentionMs).changes === 0) continue
      for (let number = 0; number < spec.partitions; number++) partition.run(spec.name, number)
      created.push(spec.name)
    }
    return created.sort()
  }

  /** Cuts from the front what is past its topic's retention. @returns rows deleted, bounded per call. */
  trim(now: number): number {
    const rows = this.#db
      .prepare(
        'SELECT p.id, p.first, p.next, t.retention_ms AS retention FROM partition p JOIN topic t ON t.name = p.topic WHERE p.first < p.next',
      )
      .all() as unknown as (PartitionRow & { retention: number })[]
    let deleted = 0
    for (const row of rows) {
      const base = row.id * OFFSETS_PER_PARTITION
      const kept = this.#firstKept(base + row.first, base + row.next, now - row.retention)
      if (kept === base + row.first) continue
      this.#db.prepare('DELETE FROM record WHERE id >= ? AND id < ?').run(base + row.first, kept)
      this.#db.prepare('UPDATE partition SET first = ? WHERE id = ?').run(kept - base, row.id)
      deleted += kept - base - row.first
    }
    return deleted
  }

  /** Row id of the first record young enough, looking at no more than one call's share. */
  #firstKept(from: number, to: number, horizon: number): number {
    const end = Math.min(to, from + TRIM_ROWS)
    const young = this.#db
      .prepare('SELECT id FROM record WHERE id >= ? AND id < ? AND timestamp >= ? ORDER BY id LIMIT 1')
      .get(from, end, horizon)
    return young ? (young.id as number) : end
  }

  #row(topic: string, partition: number): PartitionRow {
    const row = this.#partition.get(topic, partition) as PartitionRow | undefined
    if (row === undefined) throw new Fault('topic_unknown', `no topic ${topic} with partition ${partition}`)
    return row
  }
}
