/** What the horizon has passed is forgotten, and nothing that still lives or waits. */

import {
  CREDENTIAL,
  DEVICE,
  DEVICE_CREDENTIAL,
  type DeviceRecord,
  passingOf,
  REVOCATION,
  ROW,
  rowsOf,
  SESSION,
  SIGNAL,
  TARGET,
} from './kinds.ts'
import { indexOf, type Kept, keyOf } from './layout.ts'
import { markEnded, stands } from './targets.ts'
import type { Step, Tx } from './tx.ts'

// A step stays short, whatever has piled up.
const AT_ONCE = 256
// Each asks for the sessions of its person, and any of these may change before the step is written.
const DEVICES_AT_ONCE = 32

/** One stretch of the work. */
export interface Forgotten {
  readonly rows: number
  /** True when there may be more to forget. */
  readonly more: boolean
}

export function* dropRows(tx: Tx, horizon: number, log?: string): Step<Forgotten> {
  const rows = yield* forgetRows(tx, horizon, log)
  if (log !== undefined) return { rows, more: rows === AT_ONCE }
  const others = [
    yield* forgetSessions(tx, horizon),
    yield* forgetRevocations(tx, horizon),
    yield* forgetTargets(tx, horizon),
  ]
  const devices = yield* forgetDevices(tx, horizon)
  return { rows, more: Math.max(rows, ...others) === AT_ONCE || devices === DEVICES_AT_ONCE }
}

function* forgetRows(tx: Tx, horizon: number, log: string | undefined): Step<number> {
  const old = (yield* tx.all(ROW, yield* below(tx, rowsOf('rows-acknowledged', log), horizon))).filter(
    ({ position, floor }) => position !== null && floor < horizon,
  )
  yield* tx.load(...old.map(({ id }) => keyOf(SIGNAL, id)))
  for (const { seq, id } of old) {
    tx.drop(ROW, seq)
    if ((yield* tx.get(SIGNAL, id))?.seq === seq) tx.drop(SIGNAL, id)
  }
  return old.length
}

function* forgetSessions(tx: Tx, horizon: number): Step<number> {
  const ended = (yield* tx.all(SESSION, yield* below(tx, 'sessions-ended', horizon))).filter(
    ({ endedAt }) => endedAt !== null && endedAt < horizon,
  )
  const secrets = ended.flatMap(({ secretHash }) => (secretHash === null ? [] : [secretHash]))
  yield* tx.load(...secrets.map((hash) => keyOf(CREDENTIAL, hash)))
  for (const hash of secrets) tx.drop(CREDENTIAL, hash)
  for (const { handle } of ended) tx.drop(SESSION, handle)
  return ended.length
}

function* forgetRevocations(tx: Tx, horizon: number): Step<number> {
  const keys = yield* below(tx, 'revocations', horizon)
  yield* tx.follow(...keys)
  let dropped = 0
  for (const { id, seqs, createdAt } of yield* tx.all(REVOCATION, keys)) {
    const rows = yield* tx.all(
      ROW,
      seqs.map((seq) => keyOf(ROW, seq)),
    )
    if (rows.length > 0 || createdAt >= horizon) continue
    tx.drop(REVOCATION, id)
    dropped++
  }
  return dropped
}

function* forgetTargets(tx: Tx, horizon: number): Step<number> {
  const passed = (yield* tx.all(TARGET, yield* below(tx, 'targets-passing', horizon))).filter(
    ({ version, neededUntil }) => Math.max(version, neededUntil) < horizon,
  )
  for (const { kind, tenant, id } of passed) tx.drop(TARGET, kind, tenant, id)
  return passed.length
}

function* forgetDevices(tx: Tx, horizon: number): Step<number> {
  const passed = (yield* tx.all(DEVICE, yield* below(tx, 'devices-passing', horizon, DEVICES_AT_ONCE))).filter(
    (device) => passingOf(device) < horizon,
  )
  yield* tx.load(
    ...passed.flatMap(({ handle, secretHash }) => [
      ...[keyOf(DEVICE_CREDENTIAL, secretHash), keyOf(TARGET, 'device', '', handle)],
    ]),
  )
  let dropped = 0
  for (const device of passed) {
    if (yield* isInUse(tx, device, horizon)) continue
    tx.drop(DEVICE, device.handle)
    tx.drop(DEVICE_CREDENTIAL, device.secretHash)
    tx.drop(TARGET, 'device', '', device.handle)
    dropped++
  }
  return dropped
}

/**
 * Whether a session was begun on the device and lives. Those that something ended say so themselves afterwards: the
 * device's target may be all that ended them, and it goes with the device. Others that carry this target got it
 * from a session begun on the device, and end with that one.
 */
function* isInUse(tx: Tx, device: Kept<DeviceRecord>, horizon: number): Step<boolean> {
  const keys = yield* tx.range(indexOf('sessions', device.sub))
  yield* tx.follow(...keys)
  let usedAt = 0
  for (const session of yield* tx.all(SESSION, keys)) {
    if (session.device !== device.handle || session.endedAt !== null) continue
    if (yield* stands(tx, session.targets, null)) usedAt = Math.max(usedAt, session.lastSeenAt)
    else yield* markEnded(tx, session.handle, horizon)
  }
  if (usedAt > device.lastSeenAt) tx.put(DEVICE, { ...device, lastSeenAt: usedAt })
  return usedAt > 0
}

function* below(tx: Tx, index: string, horizon: number, limit = AT_ONCE): Step<string[]> {
  return yield* tx.range(index, { to: horizon - 1, limit })
}
