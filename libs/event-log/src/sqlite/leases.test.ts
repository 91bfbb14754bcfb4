import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type LogFile, openFile } from './database.ts'
import { Leases } from './leases.ts'
import type { Held, Settled } from './protocol.ts'
import { Records } from './records.ts'

let path: string
let file: LogFile
let leases: Leases

beforeEach(() => {
  path = join(tmpdir(), `countersign-leases-${randomUUID()}.db`)
  file = openFile(path, 1_000)
  leases = new Leases(file.db)
  new Records(file.db).createTopics([{ name: 't', partitions: 4, retentionMs: 1_000 }])
})

afterEach(() => {
  file.db.close()
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
})

const sync = (member: string, held: Held[] = []): Settled =>
  leases.sync({ group: 'g', member, topics: ['t'], timeoutMs: 60_000, held })

/** The member has not been heard of for longer than its timeout. */
const silence = (member: string): void =>
  void file.db.prepare('UPDATE member SET heard_at = heard_at - 60001 WHERE name = ?').run(member)

describe('Leases', () => {
  it('gives a lone member everything, and shares when another joins', () => {
    const a = sync('a').granted
    expect(a.map(({ partition, next }) => [partition, next])).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
      [3, 0],
    ])
    expect(sync('b').granted, 'nothing is taken from a living holder').toEqual([])
    const { revoked } = sync('a', a)
    expect(revoked.length).toBe(2)
    leases.release({ group: 'g', held: a.filter(({ id }) => revoked.includes(id)) })
    expect(sync('b').granted.map(({ id }) => id)).toEqual(revoked)
  })

  it('hands on what a silent member held, from what it committed, and fences it', () => {
    const a = sync('a').granted
    leases.commit({ group: 'g', offsets: [{ ...a[0]!, next: 7 }] })
    silence('a')
    const b = sync('b').granted
    expect(b.map(({ id }) => id)).toEqual(a.map(({ id }) => id))
    expect(b.map(({ next }) => next)).toEqual([7, 0, 0, 0])
    expect(b.every(({ token }, i) => token > a[i]!.token)).toBe(true)
    expect(leases.commit({ group: 'g', offsets: [{ ...a[0]!, next: 99 }] }), 'the old holder').toEqual({
      lost: [a[0]!.id],
    })
    expect(leases.commit({ group: 'g', offsets: [{ ...b[0]!, next: 8 }] })).toEqual({ lost: [] })
    expect(sync('a', a).lost, 'it learns so when it is back').toEqual(a.map(({ id }) => id))
  })

  it('frees at once what a member leaves behind', () => {
    const a = sync('a').granted
    leases.leave({ group: 'g', member: 'a' })
    expect(leases.commit({ group: 'g', offsets: [{ ...a[0]!, next: 1 }] }).lost).toEqual([a[0]!.id])
    expect(sync('b').granted.length).toBe(4)
  })

  it('takes entries of before a reboot for dead', () => {
    sync('a')
    file.db.prepare('UPDATE member SET heard_at = heard_at + 1000000').run()
    expect(sync('b').granted.length).toBe(4)
  })

  it('keeps groups apart', () => {
    expect(sync('a').granted.length).toBe(4)
    const other = leases.sync({ group: 'other', member: 'a', topics: ['t'], timeoutMs: 60_000, held: [] })
    expect(other.granted.length).toBe(4)
  })

  it('begins where retention has cut', () => {
    file.db.prepare('UPDATE partition SET first = 5, next = 9').run()
    expect(sync('a').granted.map(({ next }) => next)).toEqual([5, 5, 5, 5])
  })
})
