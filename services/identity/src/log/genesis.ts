/**
 * Which log this store writes to. A log begins only if the store names none and the topic is empty; a store
 * that names none beside a log that stands was wiped, and takes that log's name again.
 */
import { type KeyRing, verifyBundle } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { CountersignError, newHandle, type Random } from '@countersign/kernel'
import { readRecord } from '@countersign/replica'
import { type Catalogue, logIdOf, logNameOf, type SignalsLog } from '@countersign/schemas'
import type { BundleRecord, LogName, OutboxPort, SessionStore } from '@countersign/session-store'
import type { Logger } from '@countersign/telemetry'

/**
 * @returns the name that stands afterwards, ours or that of a process that was faster.
 * @throws {IDENTITY_LOG_FOREIGN} when the topic holds records and no trust bundle our root has signed.
 * @throws {EVENT_LOG_UNAVAILABLE} {SESSION_STORE_UNAVAILABLE} retriable.
 */
export async function nameTheLog(options: {
  /** Outbox of that log. */
  store: OutboxPort
  log: EventLog
  signalsLog: Pick<SignalsLog, 'name' | 'topic'>
  rootKeys: readonly Uint8Array[]
  random: Random
  logger: Logger
}): Promise<LogName> {
  const { store, log, rootKeys, random, logger } = options
  const { name: logName, topic } = options.signalsLog
  const named = await store.logName()
  if (named !== null) return named
  const { start, end } = await log.bounds(topic)
  if (end === 0) {
    const name = await store.nameLog({ log_id: logIdOf(logName, newHandle(random, 'log')), predecessor: null }, null)
    logger.info({ logId: name.log_id }, 'a signals log begins')
    return name
  }
  const newest = await newestBundle(log, topic, rootKeys, start, end)
  if (newest === null || logNameOf(newest.name.log_id) !== logName) {
    throw new CountersignError({
      code: 'IDENTITY_LOG_FOREIGN',
      retriable: false,
      publicMessage:
        'the signals log holds records of another installation; give it a log of its own or the right root key',
    })
  }
  logger.warn({ logId: newest.name.log_id }, 'the store names no log, but one stands: taking it up again')
  await store.putBundle(newest.record)
  return store.nameLog(newest.name, null)
}

async function newestBundle(
  log: EventLog,
  topic: string,
  rootKeys: readonly Uint8Array[],
  from: number,
  to: number,
): Promise<{ name: LogName; record: BundleRecord } | null> {
  let ring: KeyRing | null = null
  let newest: { name: LogName; record: BundleRecord } | null = null
  for await (const records of log.read({ topic, from, to })) {
    for (const record of records) {
      const read = readRecord(record, log.schemas)
      if (read?.kind !== 'TrustBundle') continue
      const verified = verifyBundle(read.body, read.signature, rootKeys, { now: record.timestamp, current: ring })
      if (!verified.ok) continue
      ring = verified.ring
      const { version, log_id, predecessor } = verified.bundle
      newest = {
        name: { log_id, predecessor },
        record: { version, body: Buffer.from(read.body), signature: Buffer.from(read.signature) },
      }
    }
  }
  return newest
}

/**
 * Says which log owns which tenant, for this and every later step of the store.
 * @throws {IDENTITY_TENANT_MOVED} when a tenant the store knows would change its log: what was taken from it stands on the
 *   log it had, and would be given back.
 */
export async function shareTheTenants({
  store,
  catalogue,
}: {
  store: Pick<SessionStore, 'shareTenants'>
  catalogue: Pick<Catalogue, 'signalsLogs'>
}): Promise<void> {
  const owners = catalogue.signalsLogs.flatMap(({ name, tenants }) => (tenants === null ? [] : [{ name, tenants }]))
  const { moved } = await store.shareTenants(owners)
  if (moved.length === 0) return
  throw new CountersignError({
    code: 'IDENTITY_TENANT_MOVED',
    retriable: false,
    publicMessage: `COUNTERSIGN_SIGNALS_LOGS would move tenants to another log, which is not offered: ${moved.slice(0, 8).join(', ')}`,
  })
}
