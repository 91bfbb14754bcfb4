/** The ending step: a change, the floors it raises and the signals that tell of it. */
import { type SignalTarget, signalId } from '@countersign/schemas'
import type { Ended, Ending, Raise, Refused } from '../port.ts'
import type { Revocation } from '../records.ts'
import { changeState } from './changes.ts'
import { REVOCATION, ROW, SEQUENCE, SESSION } from './kinds.ts'
import { keyOf } from './layout.ts'
import { type LogRef, logKeysOf, logsToldOf } from './logs.ts'
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
  // Told by what was true before: a person deleted has no place left to tell by.
  const told = new Map<string, readonly LogRef[]>()
  for (const { target } of step.raises) told.set(targetKey(target), yield* logsToldOf(tx, target))
  const changed = yield* changeState(tx, step.change, step.now)
  if ('refused' in changed) return changed

  const floors = new Map<string, number>()
  const seqs: number[] = []
  for (const { target, effect, fallback, atLeast } of step.raises.filter((raise) => !leaves(raise, changed.left))) {
    const name = targetKey(target)
    const floor = floors.get(name) ?? (yield* nextFloor(tx, target, atLeast, step.now))
    floors.set(name, floor)
    yield* raiseTarget(tx, target, floor, effect, step.now)
    const { cause, initiator } = step
    for (const log of told.get(name) ?? []) {
      const id = signalId(step.id, seqs.length)
      seqs.push(yield* emit(tx, { id, target, effect, fallback, floor, cause, initiator }, step.now, log))
    }
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
  const highest = new Map<string, number>()
  for (const seq of found.seqs) {
    const row = yield* tx.get(ROW, seq)
    // A row that is gone was acknowledged: others are never dropped.
    if (row === null) continue
    if (row.position === null) pending = true
    else highest.set(row.position.log_id, Math.max(highest.get(row.position.log_id) ?? -1, row.position.offset))
  }
  const { request, cause, initiator, tenant, seqs, createdAt } = found
  const state = pending ? 'pending' : 'acknowledged'
  const positions = pending ? [] : [...highest].map(([log_id, offset]) => ({ log_id, offset }))
  return {
    id: found.id,
    request,
    cause,
    initiator,
    tenant,
    seqs,
    state,
    position: positions[0] ?? null,
    ...(positions.length > 1 && { positions }),
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
  return [...logKeysOf(targets), ...targets.map(targetKey), ...sessions.map((handle) => keyOf(SESSION, handle))]
}

function isSession({ kind }: SignalTarget): boolean {
  return kind === 'session' || kind === 'family'
}
