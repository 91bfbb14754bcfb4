/** The ending step: a change, the floors it raises and the signals that tell of it. */
import type { SignalTarget } from '@countersign/schemas'
import type { Ended, Ending, Raise, Refused } from '../port.ts'
import type { Revocation } from '../records.ts'
import { signalId } from '../signal-id.ts'
import { changeState } from './changes.ts'
import { REVOCATION, ROW, SEQUENCE, SESSION } from './kinds.ts'
import { keyOf } from './layout.ts'
import { emit, isBehind } from './outbox.ts'
import { nextFloor, raiseTarget, targetKey } from './targets.ts'
import type { Step, Tx } from './tx.ts'

export function* end(tx: Tx, step: Ending): Step<Ended | Refused> {
  yield* tx.follow(keyOf(REVOCATION, step.id), keyOf(SEQUENCE), ...keysOf(step))
  const before = yield* tx.get(REVOCATION, step.id)
  if (before) {
    // An empty request stands for one a rollback lost: its signal is known, what was asked is not.
    const same = before.request.length === 0 || before.request.equals(step.request)
    return same
      ? { revocation: (yield* revocation(tx, step.id)) as Revocation, repeated: true }
      : { refused: 'id_reused' }
  }
  if (yield* isBehind(tx, step.seenSeq)) return { refused: 'store_behind_log' }
  const changed = yield* changeState(tx, step.change, step.now)
  if ('refused' in changed) return changed

  const floors = new Map<string, number>()
  const seqs: number[] = []
  for (const { target, effect, fallback, atLeast } of step.raises.filter((raise) => !leaves(raise, changed.left))) {
    const name = targetKey(target)
    const floor = floors.get(name) ?? (yield* nextFloor(tx, target, atLeast, step.now))
    floors.set(name, floor)
    yield* raiseTarget(tx, target, floor, effect, step.now)
    const id = signalId(step.id, seqs.length)
    const { cause, initiator } = step
    seqs.push(yield* emit(tx, { id, target, effect, fallback, floor, cause, initiator }, step.now))
  }
  const { id, request, cause, initiator, tenant, now } = step
  tx.put(REVOCATION, { id, request, cause, initiator, tenant, seqs, createdAt: now })
  return { revocation: (yield* revocation(tx, id)) as Revocation, repeated: false }
}

export function* revocation(tx: Tx, id: Buffer): Step<Revocation | null> {
  yield* tx.follow(keyOf(REVOCATION, id))
  const found = yield* tx.get(REVOCATION, id)
  if (found === null) return null
  let pending = false
  let position: Revocation['position'] = null
  for (const seq of found.seqs) {
    const row = yield* tx.get(ROW, seq)
    // A row that is gone was acknowledged: others are never dropped.
    if (row === null) continue
    if (row.position === null) pending = true
    else if (row.position.offset > (position?.offset ?? -1)) position = row.position
  }
  const { request, cause, initiator, tenant, seqs, createdAt } = found
  const state = pending ? 'pending' : 'acknowledged'
  return {
    id: found.id,
    request,
    cause,
    initiator,
    tenant,
    seqs,
    state,
    position: pending ? null : position,
    createdAt,
  }
}

/** True for a raise on a session that the change did not end. */
function leaves({ target }: Raise, left: ReadonlySet<string>): boolean {
  return isSession(target) && left.has(target.id)
}

/** What the step reads of targets and sessions, to be fetched in one ask. */
function keysOf({ change, raises }: Ending): string[] {
  const targets = raises.map(({ target }) => target)
  const sessions = targets.filter(isSession).map(({ id }) => id)
  if (change.kind === 'session_ended') sessions.push(change.handle)
  if (change.kind === 'sessions_ended') sessions.push(...change.handles)
  return [...targets.map(targetKey), ...sessions.map((handle) => keyOf(SESSION, handle))]
}

function isSession({ kind }: SignalTarget): boolean {
  return kind === 'session' || kind === 'family'
}
