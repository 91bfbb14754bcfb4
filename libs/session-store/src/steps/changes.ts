/** The state change of an ending: what is true of accounts, sessions, devices and clients afterwards. */
import type { Change, Refused } from '../port.ts'
import type { Client } from '../records.ts'
import { changeAccount, changeAffiliation, dropReset, eraseAccount, sorted } from './accounts.ts'
import { changeClient, written } from './clients.ts'
import { isResetCode } from './codes.ts'
import { removeFactors } from './factors.ts'
import { ACCOUNT, AFFILIATION, CLIENT, DEVICE, SESSION } from './kinds.ts'
import type { Kept } from './layout.ts'
import { markEnded, stands } from './targets.ts'
import type { Step, Tx } from './tx.ts'

/** `left`: sessions named by the change that it did not end. */
export type Changed = { readonly left: ReadonlySet<string> } | Refused

const DONE: Changed = { left: new Set() }

export function* changeState(tx: Tx, c: Change, now: number): Step<Changed> {
  switch (c.kind) {
    case 'none':
      return DONE
    case 'session_ended':
      return yield* endSession(tx, c, now)
    case 'sessions_ended':
      return yield* endSessions(tx, c.handles, now)
    case 'account_suspended':
    case 'account_deleted': {
      const person = yield* tx.get(ACCOUNT, c.sub)
      if (person === null || person.state === 'deleted') return { refused: 'account_unknown' }
      if (c.kind === 'account_deleted') yield* eraseAccount(tx, person)
      else changeAccount(tx, person, { state: 'suspended' })
      return DONE
    }
    case 'affiliation_suspended':
    case 'affiliation_removed':
    case 'roles_set': {
      const place = yield* tx.get(AFFILIATION, c.tenant, c.sub)
      if (place === null) return { refused: 'affiliation_unknown' }
      if (c.kind === 'affiliation_suspended') changeAffiliation(tx, place, { state: 'suspended' })
      else if (c.kind === 'affiliation_removed') tx.drop(AFFILIATION, c.tenant, c.sub)
      else if (c.revision !== place.revision) return { refused: 'affiliation_changed' }
      else changeAffiliation(tx, place, { roles: sorted(c.roles) })
      return DONE
    }
    case 'device_lost': {
      const device = yield* tx.get(DEVICE, c.device)
      if (device?.sub !== c.sub || device.state !== 'active') return { refused: 'device_unknown' }
      tx.put(DEVICE, { ...device, state: 'lost', lostAt: now })
      return DONE
    }
    case 'factors_removed': {
      const refused = yield* removeFactors(tx, c.sub, c.factors)
      return refused === null ? DONE : { refused }
    }
    case 'client_disabled':
      return yield* setClient(tx, c.client, null, { state: 'disabled' })
    case 'client_secret_rotated':
      return yield* setClient(tx, c.client, c.revision, { secretHash: c.secretHash })
    case 'client_narrowed':
      return yield* setClient(tx, c.client.id, c.revision, written(c.client))
    case 'password_reset': {
      if (!(yield* isResetCode(tx, c.sub, c.codeHash, now))) return { refused: 'reset_code_unknown' }
      const person = yield* tx.get(ACCOUNT, c.sub)
      if (person === null || person.state === 'deleted') return { refused: 'account_unknown' }
      yield* dropReset(tx, c.sub)
      changeAccount(tx, person, { password: c.password })
      return DONE
    }
  }
}

function* endSession(
  tx: Tx,
  { handle, expiredBy }: { handle: string; expiredBy?: number },
  now: number,
): Step<Changed> {
  const session = yield* tx.get(SESSION, handle)
  // One that only time has ended is still to be told of, but as expired.
  if (session === null || !(yield* stands(tx, session.targets, expiredBy === undefined ? now : null)))
    return { refused: 'session_unknown' }
  if (expiredBy !== undefined && (yield* stands(tx, session.targets, expiredBy)))
    return { refused: 'session_not_expired' }
  yield* markEnded(tx, handle, now)
  return DONE
}

function* endSessions(tx: Tx, handles: readonly string[], now: number): Step<Changed> {
  const left = new Set<string>()
  const live = new Set<string>()
  // All are judged before any is ended: one among them may be the parent of another.
  for (const handle of handles) {
    const session = yield* tx.get(SESSION, handle)
    const isLive = session !== null && (yield* stands(tx, session.targets, now))
    ;(isLive ? live : left).add(handle)
  }
  if (live.size === 0) return { refused: 'session_unknown' }
  for (const handle of live) yield* markEnded(tx, handle, now)
  return { left }
}

function* setClient(tx: Tx, id: string, revision: number | null, change: Partial<Client>): Step<Changed> {
  const client: Kept<Client> | null = yield* tx.get(CLIENT, id)
  if (client === null) return { refused: 'client_unknown' }
  if (revision !== null && client.revision !== revision) return { refused: 'client_changed' }
  changeClient(tx, client, change)
  return DONE
}
