/** Redrives that are started at the same time. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EventLog } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { logSource } from '@countersign/evidence'
import { seconds, systemClock } from '@countersign/kernel'
import { exampleCatalogue, REASON_HEADER } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Redrives } from './redrives.ts'

const { name, park } = exampleCatalogue.jobTopic('invoices.export') ?? { name: '', park: '' }
let folder: string
let log: EventLog
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-redrives-'))
  log = await openSqliteLog({ path: join(folder, 'log.db'), catalogue: exampleCatalogue })
})
afterEach(async () => {
  await log.close()
  rmSync(folder, { recursive: true, force: true })
})

test('a button that is pressed twice puts nothing on its topic twice', async () => {
  const headers = Object.entries({ [REASON_HEADER]: 'view_stale' }).map(
    ([header, value]) => [header, Buffer.from(value)] as const,
  )
  await log.append(
    park,
    Array.from({ length: 20 }, () => ({ key: null, value: Buffer.from('x'), headers })),
  )
  const redrives = new Redrives({
    ...{ log, catalogue: exampleCatalogue, source: logSource(log, exampleCatalogue), clock: systemClock },
    ...{ logger: silentLogger, successors: null, planWithinMs: seconds(10) },
  })
  const ended: string[] = []
  const ids = [0, 1, 2].map(() => redrives.start({}, 'u_ops', ({ id }) => void ended.push(id)))
  await expect.poll(() => ended).toEqual(ids)
  expect(ids.map((id) => redrives.find(id)?.steps)).toEqual([20, 0, 0])
  let found = 0
  for (let partition = 0; partition < 6; partition++) found += (await log.bounds(name, partition)).end
  expect(found).toBe(20)
  await redrives.stop()
})
