/** Refresh tokens of a family: each used once, an answer that was lost given again, theft told from a retry. */
import type { Rotated, SessionStore } from '../port.ts'
import type { RefreshState, Rotation } from '../records.ts'
import { SESSION } from './kinds.ts'
import { keyOf } from './layout.ts'
import { movedOn, resolved } from './sessions.ts'
import { shown } from './shown.ts'
import type { Step, Tx } from './tx.ts'

// Enough for all that can be within a grace; a family keeps its size whatever its age.
const MOST_ROTATIONS = 8

export function* rotate(tx: Tx, o: Parameters<SessionStore['rotate']>[0]): Step<Rotated | null> {
  const { handle, client, generation, now } = o
  yield* tx.follow(keyOf(SESSION, handle))
  const found = yield* tx.get(SESSION, handle)
  if (found?.refresh == null || found.client !== client) return null
  const live = yield* resolved(tx, found, now)
  if (live === null) return null
  const { refresh } = found
  const { session } = live
  if (generation > refresh.generation) return { outcome: 'ahead', session }
  if (generation < refresh.generation) {
    return mayRepeat(refresh, generation, o)
      ? { outcome: 'repeated', resolved: live, generation: generation + 1 }
      : { outcome: 'reused', session }
  }
  const next = { ...movedOn(found, now, o.idleExpiresAt), refresh: after(refresh, now) }
  tx.put(SESSION, next)
  return { outcome: 'rotated', resolved: { ...live, session: shown.session(next) }, generation: generation + 1 }
}

/**
 * A generation used up may be asked for again within the grace since its answer left; while the answer is not known to
 * have left, and nothing has used what was in it, for as long as the family lives.
 */
function mayRepeat(
  refresh: RefreshState,
  generation: number,
  { graceMs, now }: { graceMs: number; now: number },
): boolean {
  const rotation = refresh.rotations.find(({ from }) => from === generation)
  if (!rotation) return false
  if (rotation.deliveredAt === null && refresh.generation === generation + 1) return true
  return now - Math.max(rotation.at, rotation.deliveredAt ?? 0) <= graceMs
}

function after(refresh: RefreshState, now: number): RefreshState {
  const { generation, rotations } = refresh
  const rotation: Rotation = { from: generation, at: now, deliveredAt: null }
  return { ...refresh, generation: generation + 1, rotations: [rotation, ...rotations].slice(0, MOST_ROTATIONS) }
}

export function* delivered(tx: Tx, answers: Parameters<SessionStore['delivered']>[0]): Step<void> {
  yield* tx.load(...answers.map(({ handle }) => keyOf(SESSION, handle)))
  for (const { handle, from, at } of answers) {
    const found = yield* tx.get(SESSION, handle)
    if (found?.refresh == null) continue
    const { refresh } = found
    const noted = (r: Rotation): Rotation => (r.from === from && r.deliveredAt === null ? { ...r, deliveredAt: at } : r)
    tx.put(SESSION, { ...found, refresh: { ...refresh, rotations: refresh.rotations.map(noted) } })
  }
}
