/** What the horizon has passed is forgotten, and nothing that still lives or waits. */

import { CREDENTIAL, REVOCATION, ROW, SESSION, SIGNAL, TARGET } from './kinds.ts'
import { keyOf } from './layout.ts'
import type { Step, Tx } from './tx.ts'

// A step stays short, whatever has piled up.
const AT_ONCE = 256

/** One stretch of the work. */
export interface Forgotten {
  readonly rows: number
  /** True when there may be more to forget. */
  readonly more: boolean
}

export function* dropRows(tx: Tx, horizon: number): Step<Forgotten> {
  const rows = yield* forgetRows(tx, horizon)
  const others = [
    yield* forgetSessions(tx, horizon),
    yield* forgetRevocations(tx, horizon),
    yield* forgetTargets(tx, horizon),
  ]
  return { rows, more: Math.max(rows, ...others) === AT_ONCE }
}

function* forgetRows(tx: Tx, horizon: number): Step<number> {
  const old = (yield* tx.all(ROW, yield* below(tx, 'rows-acknowledged', horizon))).filter(
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

function* below(tx: Tx, index: string, horizon: number): Step<string[]> {
  return yield* tx.range(index, { to: horizon - 1, limit: AT_ONCE })
}
