/**
 * Repairs a store that is behind its log: restored, wiped or failed over. What the log still holds is taken
 * back; if a sequence is missing there too, nobody knows what it took, so every tenant's floor is raised.
 */
import { verifyRecord } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { readRecord } from '@countersign/replica'
import { scopeOf, tenantTarget } from '@countersign/revocation'
import { type Catalogue, exampleCatalogue, type Signal, type SignalsLog, signalCodec } from '@countersign/schemas'
import type { Ending, LostSignal, SessionStore } from '@countersign/session-store'
import type { Logger } from '@countersign/telemetry'
import { derivedId, requestDigest } from '../answers.ts'
import { type RaisesOf, raisesOf } from '../endings.ts'
import { rolesWithout } from '../people/grants.ts'
import type { Delivery } from './outbox.ts'
import { highestFloor, type LogKeys, type OwnKeys, type OwnView } from './own-view.ts'

export interface RepairOptions {
  readonly store: SessionStore
  readonly log: EventLog
  readonly view: OwnView & OwnKeys
  /** @defaultValue one log */
  readonly catalogue?: Pick<Catalogue, 'signalsLogs'>
  readonly logger: Logger
  readonly clock: Clock
  readonly delivery: Pick<Delivery, 'kick'>
  /** Default: the table of ending paths. */
  readonly raisesOf?: RaisesOf
}

/** @returns a function that repairs if needed; calls at the same time share one run. */
export function repairer(options: RepairOptions): () => Promise<void> {
  let running: Promise<void> | null = null
  return () => {
    running ??= repair(options).finally(() => {
      running = null
    })
    return running
  }
}

async function repair(options: RepairOptions): Promise<void> {
  const { store, log, view, catalogue = exampleCatalogue, logger, delivery } = options
  const have = await store.highestSeq()
  const seen = view.outboxSeq
  if (have >= seen) return
  logger.error({ have, seen }, 'the session store is behind the signals log: it was restored, wiped or failed over')
  const lost: LostSignal[] = []
  for (const [i, signalsLog] of catalogue.signalsLogs.entries()) {
    const keys = view.byTenant?.views[i] ?? view
    lost.push(...(await findLost(log, signalsLog, keys, have)))
  }
  lost.sort((a, b) => a.signal.seq - b.signal.seq)
  // Those written since make up for none of those seen.
  const missing = seen - have - lost.filter(({ signal }) => signal.seq <= seen).length
  const affected = missing > 0 ? await store.tenants() : []
  const endings = affected.map((tenant) => tenantEnding(tenant, seen, options))
  await store.adopt(await withRoles(store, lost), seen, endings)
  delivery.kick()
  logger.warn({ found: lost.length, missing }, 'the session store was repaired from the signals log')
}

// One id per gap and tenant, so that instances that repair at the same time raise once.
function tenantEnding(tenant: string, seen: number, options: RepairOptions): Ending {
  const { view, clock, raisesOf: raised = raisesOf } = options
  const target = tenantTarget(tenant)
  return {
    id: derivedId('store_rollback', `${tenant}\0${seen}`),
    request: requestDigest(['store_rollback', tenant, seen]),
    cause: 'store_rollback',
    initiator: 'system:repair',
    tenant: null,
    now: clock.now(),
    change: { kind: 'none' },
    raises: raised('store_rollback', { target, atLeast: highestFloor(view, target) }),
    seenSeq: seen,
  }
}

async function findLost(
  log: EventLog,
  { name, topic, tenants }: SignalsLog,
  keys: LogKeys,
  have: number,
): Promise<LostSignal[]> {
  const ring = keys.ring()
  if (ring === null) return []
  const { start, end } = await log.bounds(topic)
  const lost = new Map<number, LostSignal>()
  for await (const records of log.read({ topic, from: start, to: end })) {
    for (const record of records) {
      const read = readRecord(record, log.schemas)
      if (read?.kind !== 'Signal') continue
      if (!verifyRecord('Signal', read.body, read.signature, ring, 'signal', record.timestamp).ok) continue
      const signal = decode(read.body)
      if (signal === null || signal.seq <= have || lost.has(signal.seq)) continue
      const position = { log_id: ring.bundle.log_id, offset: record.offset }
      const bytes = { body: Buffer.from(read.body), signature: Buffer.from(read.signature) }
      lost.set(signal.seq, { signal, ...bytes, position, ...(tenants !== null && { log: name }) })
    }
  }
  return [...lost.values()]
}

// The store came back with the roles from before: those that grant a scope taken since are dropped.
async function withRoles(store: SessionStore, lost: readonly LostSignal[]): Promise<LostSignal[]> {
  const left = new Map<string, readonly string[]>()
  const out: LostSignal[] = []
  for (const item of lost) {
    const { target, effect } = item.signal
    const scope = scopeOf(effect)
    if (target.kind !== 'affiliation' || scope === null) {
      out.push(item)
      continue
    }
    const name = JSON.stringify([target.tenant, target.id])
    const before = left.get(name) ?? (await store.affiliation(target.tenant, target.id))?.roles ?? []
    const roles = rolesWithout(before, scope)
    left.set(name, roles)
    out.push({ ...item, roles })
  }
  return out
}

function decode(body: Uint8Array): Signal | null {
  try {
    return signalCodec.decode(body)
  } catch {
    return null
  }
}
