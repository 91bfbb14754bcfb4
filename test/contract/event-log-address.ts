/** Which log a test means, in a form that fits a command line. */
import { randomUUID } from 'node:crypto'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog } from '@countersign/event-log/kafka'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { exampleCatalogue } from '@countersign/schemas'

export type LogAddress = { sqlite: string } | { brokers: string[]; registryUrl: string }

export function openLog(address: LogAddress): Promise<EventLog> {
  if ('sqlite' in address) return openSqliteLog({ path: address.sqlite, catalogue: exampleCatalogue })
  return openKafkaLog({
    brokers: address.brokers,
    registryUrl: address.registryUrl,
    catalogue: exampleCatalogue,
    clientId: `contract-${randomUUID().slice(0, 8)}`,
    registryDeadlineMs: 10_000,
  })
}
