/**
 * Retention: takes the oldest rows away, from the head of the chain only, and says so in a signed statement that the next row
 * hangs from. Never beyond what a checkpoint vouches for: what goes was whole when it went.
 */
import type { SigningKey } from '@countersign/envelope'
import type { Archive } from './archive.ts'
import { archiveError } from './errors.ts'
import type { ArchiveFile } from './file.ts'
import { hashOf } from './row.ts'
import type { Cut } from './statements.ts'

/** What retention would take away. */
export interface CutPlan {
  readonly rows: number
  /** Numbers of the first and last of them; 0 for none. */
  readonly from: number
  readonly to: number
  /** Of the oldest row that stays, epoch milliseconds; null when none does. */
  readonly oldest: number | null
}

/** @param before rows appended earlier may go, epoch milliseconds: all up to the first that may not, or that no checkpoint vouches for. */
export function planCut(file: ArchiveFile, before: number): CutPlan {
  const stated =
    file.get<{ seq: number | null }>(`SELECT max(seq) AS seq FROM statement WHERE kind = 'checkpoint'`)?.seq ?? 0
  const kept = file.get<{ seq: number; at: number }>(
    'SELECT seq, at FROM row WHERE at >= ? ORDER BY seq LIMIT 1',
    before,
  )
  const to = Math.min(stated, kept === undefined ? stated : kept.seq - 1)
  const sql = 'SELECT count(*) AS rows, min(seq) AS first FROM row WHERE seq <= ?'
  const { rows, first } = file.get<{ rows: number; first: number | null }>(sql, to) as {
    rows: number
    first: number | null
  }
  const oldest =
    file.get<{ at: number }>('SELECT at FROM row WHERE seq > ? AND at > 0 ORDER BY seq LIMIT 1', to)?.at ?? null
  return { rows, from: first ?? 0, to: rows === 0 ? 0 : to, oldest }
}

/**
 * Cuts the head off, in one transaction with the statement that says so.
 * @returns what went.
 * @throws {EVIDENCE_RETENTION_REFUSED} when the last row to go is not the one a checkpoint vouched for, or lies in the future.
 */
export function cutHead(archive: Archive, before: number, now: number, key: SigningKey): CutPlan {
  const { file } = archive
  if (before > now) throw refused('retention keeps what is not old; its bound lies in the future')
  return file.write(() => {
    const plan = planCut(file, before)
    if (plan.rows === 0) return plan
    const last = file.row(plan.to)
    if (last === undefined) throw refused(`row ${plan.to} is missing: verify the archive first`)
    const cutBefore = file.lastCut()
    const definitions = file.definitions()
    const statementsFrom = file.get<{ n: number | null }>(
      'SELECT min(n) AS n FROM statement WHERE seq >= ?',
      plan.to,
    )?.n
    const cut: Cut = {
      kind: 'cut',
      ...archive.about({ seq: last.seq, hash: hashOf(last) }, now),
      rows: plan.rows,
      rows_in_all: (cutBefore?.rows_in_all ?? 0) + plan.rows,
      before,
      statements_from: statementsFrom ?? 1,
      notes: definitions.notes(),
      positions: positionsAt(file, cutBefore, plan.to),
    }
    file.run('DELETE FROM name WHERE seq <= ?', plan.to)
    file.run('DELETE FROM row WHERE seq <= ?', plan.to)
    file.run('DELETE FROM statement WHERE n < ?', cut.statements_from)
    archive.state(cut, key)
    return plan
  })
}

function positionsAt(file: ArchiveFile, before: Cut | null, seq: number): Cut['positions'] {
  const positions = new Map((before?.positions ?? []).map((one) => [`${one[0]}/${one[1]}`, one]))
  const sql = `SELECT topic, partition, max(offset) AS offset FROM row JOIN lane ON lane.id = row.lane
               WHERE row.seq <= ? GROUP BY lane`
  for (const { topic, partition, offset } of file.all<{ topic: string; partition: number; offset: number }>(sql, seq)) {
    positions.set(`${topic}/${partition}`, [topic, partition, offset])
  }
  return [...positions.values()]
}

function refused(publicMessage: string): Error {
  return archiveError('EVIDENCE_RETENTION_REFUSED', publicMessage)
}
