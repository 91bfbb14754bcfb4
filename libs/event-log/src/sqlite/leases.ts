/**
 * Who of a group works on which partition. Runs in the worker thread only; callers hold the transaction.
 *
 * A member lives as long as it is heard of; its leases live with it. Every change of hands raises the
 * lease's token, and commits carry it, so that a member that was paused past its timeout cannot commit
 * over its successor. Time is the machine's monotonic clock: one for all processes, blind to clock steps;
 * after a reboot old entries lie in the future and count as dead.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Fault } from './fault.ts'
import type { Held, Lease, Operations, PartitionId, Settled } from './protocol.ts'

interface Member {
  name: string
  topics: string
  heard_at: number
  timeout_ms: number
}

interface Slot {
  id: PartitionId
  topic: string
  partition: number
  first: number
  member: string | null
  token: number | null
  next: number | null
}

const machineTime = (): number => Number(process.hrtime.bigint() / 1_000_000n)

export class Leases {
  readonly #lease: StatementSync
  readonly #commit: StatementSync
  readonly #free: StatementSync
  readonly #bump: StatementSync
  readonly #db: DatabaseSync

  constructor(db: DatabaseSync) {
    this.#db = db
    this.#lease = db.prepare(
      'SELECT token FROM lease WHERE job_group = ? AND partition = ? AND token = ? AND member IS NOT NULL',
    )
    this.#commit = db.prepare('INSERT OR REPLACE INTO committed (job_group, partition, next) VALUES (?, ?, ?)')
    this.#free = db.prepare('UPDATE lease SET member = NULL WHERE job_group = ? AND partition = ? AND token = ?')
    this.#bump = db.prepare(
      'INSERT INTO job_group (name, generation) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET generation = generation + 1',
    )
  }

  sync({ group, member, topics, timeoutMs, held }: Operations['sync']['in']): Settled {
    const joined = this.#hear(group, member, topics, timeoutMs)
    const buried = this.#buryDead(group)
    if (joined || buried) this.#bump.run(group)

    const lost = held.filter((h) => !this.#holds(group, h)).map((h) => h.id)
    const mine = new Map(held.filter((h) => !lost.includes(h.id)).map((h) => [h.id, h]))
    const granted: Lease[] = []
    const revoked: PartitionId[] = []
    for (const [slot, owner] of this.#assignment(group, topics)) {
      if (owner !== member) {
        if (mine.has(slot.id)) revoked.push(slot.id)
      } else if (!mine.has(slot.id) && slot.member === null) {
        granted.push(this.#take(group, member, slot))
      }
    }
    return { granted, lost, revoked }
  }

  commit({ group, offsets }: Operations['commit']['in']): { lost: PartitionId[] } {
    const lost: PartitionId[] = []
    for (const offset of offsets) {
      if (this.#holds(group, offset)) this.#commit.run(group, offset.id, offset.next)
      else lost.push(offset.id)
    }
    return { lost }
  }

  release({ group, held }: Operations['release']['in']): void {
    for (const { id, token } of held) this.#free.run(group, id, token)
    this.#bump.run(group)
  }

  leave({ group, member }: Operations['leave']['in']): void {
    this.#db.prepare('DELETE FROM member WHERE job_group = ? AND name = ?').run(group, member)
    this.#db.prepare('UPDATE lease SET member = NULL WHERE job_group = ? AND member = ?').run(group, member)
    this.#bump.run(group)
  }

  /** @returns true when the member is new, or was taken for dead meanwhile. */
  #hear(group: string, member: string, topics: readonly string[], timeoutMs: number): boolean {
    const heard = this.#db
      .prepare('UPDATE member SET heard_at = ? WHERE job_group = ? AND name = ?')
      .run(machineTime(), group, member)
    if (heard.changes !== 0) return false
    const known = this.#db.prepare('SELECT name FROM topic WHERE name = ?')
    for (const topic of topics) if (!known.get(topic)) throw new Fault('topic_unknown', `no topic ${topic}`)
    this.#db
      .prepare('INSERT INTO member (job_group, name, topics, heard_at, timeout_ms) VALUES (?, ?, ?, ?, ?)')
      .run(group, member, JSON.stringify(topics), machineTime(), timeoutMs)
    return true
  }

  #buryDead(group: string): boolean {
    const now = machineTime()
    const dead = this.#members(group).filter((m) => m.heard_at > now || now - m.heard_at > m.timeout_ms)
    for (const { name } of dead) {
      this.#db.prepare('DELETE FROM member WHERE job_group = ? AND name = ?').run(group, name)
      this.#db.prepare('UPDATE lease SET member = NULL WHERE job_group = ? AND member = ?').run(group, name)
    }
    return dead.length > 0
  }

  #members(group: string): Member[] {
    return this.#db
      .prepare('SELECT name, topics, heard_at, timeout_ms FROM member WHERE job_group = ? ORDER BY name')
      .all(group) as unknown as Member[]
  }

  /** Each partition of `topics` with the member it should belong to: in turn among those who want its topic. */
  *#assignment(group: string, topics: readonly string[]): Iterable<[Slot, string | undefined]> {
    const members = this.#members(group).map(({ name, topics }) => ({ name, topics: JSON.parse(topics) as string[] }))
    const slots = this.#db.prepare(`
      SELECT p.id, p.topic, p.number AS partition, p.first, l.member, l.token, c.next
      FROM partition p
      LEFT JOIN lease l ON l.job_group = ?1 AND l.partition = p.id
      LEFT JOIN committed c ON c.job_group = ?1 AND c.partition = p.id
      WHERE p.topic = ?2 ORDER BY p.number`)
    // Topics start at different members, else the first members would get every topic's low partitions.
    for (const [index, topic] of [...topics].sort().entries()) {
      const wanting = members.filter((m) => m.topics.includes(topic))
      for (const slot of slots.all(group, topic) as unknown as Slot[]) {
        yield [slot, wanting[(slot.partition + index) % wanting.length]?.name]
      }
    }
  }

  #holds(group: string, { id, token }: Held): boolean {
    return this.#lease.get(group, id, token) !== undefined
  }

  #take(group: string, member: string, slot: Slot): Lease {
    const token = (slot.token ?? 0) + 1
    this.#db
      .prepare('INSERT OR REPLACE INTO lease (job_group, partition, member, token) VALUES (?, ?, ?, ?)')
      .run(group, slot.id, member, token)
    const next = Math.max(slot.next ?? 0, slot.first)
    return { id: slot.id, token, topic: slot.topic, partition: slot.partition, next }
  }
}
