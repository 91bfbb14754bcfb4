/** Takes back what a rollback lost, as far as the log tells of it. */
import type { SignalTarget } from '@countersign/schemas'
import type { Ending, LostSignal } from '../port.ts'
import { changeAccount, changeAffiliation, eraseAccount, sorted } from './accounts.ts'
import { changeClient } from './clients.ts'
import { end } from './endings.ts'
import { dropFactor } from './factors.ts'
import { ACCOUNT, AFFILIATION, CLIENT, DEVICE, FACTOR, REVOCATION, ROW, SEQUENCE, SIGNAL } from './kinds.ts'
import { bufferOf, keyOf } from './layout.ts'
import { highestSeq } from './outbox.ts'
import { raiseTarget, targetKey } from './targets.ts'
import type { Step, Tx } from './tx.ts'

export function* adopt(tx: Tx, lost: readonly LostSignal[], seq: number, endings: readonly Ending[]): Step<void> {
  yield* tx.load(
    keyOf(SEQUENCE),
    ...lost.flatMap(({ signal: { id, target, seq } }) => [
      ...[keyOf(ROW, seq), keyOf(SIGNAL, id), keyOf(REVOCATION, id), targetKey(target)],
    ]),
  )
  for (const found of lost) yield* adoptOne(tx, found)
  const highest = yield* highestSeq(tx)
  if (seq > highest) tx.put(SEQUENCE, { ...(yield* tx.get(SEQUENCE)), highest: seq })
  for (const ending of endings) yield* tx.attempt(end(tx, ending))
}

function* adoptOne(tx: Tx, { signal, body, signature, position, log, roles }: LostSignal): Step<void> {
  const { seq, target, effect, cause, initiator, floor } = signal
  const id = bufferOf(signal.id)
  if ((yield* tx.get(ROW, seq)) !== null || (yield* tx.get(SIGNAL, id)) !== null) return
  const { log_id, offset } = position
  const of = log === undefined ? {} : { log }
  tx.put(ROW, { seq, id, body, signature, position: { log_id, offset }, floor, createdAt: floor, ...of })
  tx.put(SIGNAL, { id, seq })
  yield* raiseTarget(tx, target, floor, effect, floor)
  yield* reapply(tx, target, effect, floor, roles)
  if ((yield* tx.get(REVOCATION, id)) !== null) return
  const request = Buffer.alloc(0)
  const tenant = target.tenant || null
  tx.put(REVOCATION, { id, request, cause, initiator, tenant, seqs: [seq], createdAt: floor })
}

/** What a signal says of state. Sessions and families say so themselves once their target is raised. */
function* reapply(
  tx: Tx,
  { kind, tenant, id }: SignalTarget,
  effect: string,
  at: number,
  roles: readonly string[] | undefined,
): Step<void> {
  if (kind === 'subject') {
    const person = yield* tx.get(ACCOUNT, id)
    if (person === null || person.state === 'deleted') return
    if (effect === 'reason:offboarding') yield* eraseAccount(tx, person)
    else if (effect === 'reason:suspension') changeAccount(tx, person, { state: 'suspended' })
    else if (effect === 'reason:password_reset') changeAccount(tx, person, { password: null })
  } else if (kind === 'affiliation') {
    const place = yield* tx.get(AFFILIATION, tenant, id)
    if (place === null) return
    if (effect === 'reason:offboarding') tx.drop(AFFILIATION, tenant, id)
    else if (effect === 'reason:suspension') changeAffiliation(tx, place, { state: 'suspended' })
    else if (roles) changeAffiliation(tx, place, { roles: sorted(roles) })
  } else if (kind === 'device' && effect === 'reason:device_lost') {
    const device = yield* tx.get(DEVICE, id)
    if (device !== null) tx.put(DEVICE, { ...device, state: 'lost', lostAt: at })
    const factor = yield* tx.get(FACTOR, id)
    if (factor !== null) yield* dropFactor(tx, factor)
  } else if (kind === 'client') {
    const client = yield* tx.get(CLIENT, id)
    if (client === null) return
    if (effect === 'reason:password_reset') changeClient(tx, client, { secretHash: null })
    // What a narrowing took is not on the log: nothing goes through the client until somebody has looked.
    else if (effect === 'reason:suspension' || effect === 'reason:role_change')
      changeClient(tx, client, { state: 'disabled' })
  }
}
