/** Composition root: one log, one archive, and what brings the one into the other. */
import { ed25519Key } from '@countersign/envelope'
import { openLog } from '@countersign/event-log'
import { Archive, Archiver } from '@countersign/evidence'
import { createServer, logPlace, type Running } from '@countersign/host'
import { systemClock, systemRandom } from '@countersign/kernel'
import { catalogue as catalogueWith, exampleJobTopics } from '@countersign/schemas'
import { createMetrics, type Logger } from '@countersign/telemetry'
import type { AuditConfig } from './config.ts'
import { problems } from './problems.ts'
import { statusRoutes } from './status-routes.ts'

/** An audit at work. */
export interface Audit extends Running {
  /** Where it answers. */
  readonly address: string
  readonly archiver: Archiver
}

/** Starts archiving and answering. It is ready once it has caught up with the log for the first time. */
export async function startAudit(config: AuditConfig, logger: Logger): Promise<Audit> {
  const clock = systemClock
  const random = systemRandom
  const metrics = createMetrics({ process: true })
  const catalogue = catalogueWith(exampleJobTopics, { logs: config.signalsLogs })
  const log = await openLog(logPlace(config), { catalogue, clientId: 'audit' })
  let archive: Archive
  try {
    archive = new Archive({ path: config.archivePath, catalogue, schemas: log.schemas, random })
  } catch (error) {
    await log.close()
    throw error
  }
  const archiver = new Archiver({
    log,
    catalogue,
    archive,
    key: ed25519Key(config.auditKeyId, config.auditKey.reveal()),
    clock,
    logger: logger.child({ component: 'archiver' }),
    metrics,
    everyMs: config.checkpointEvery,
    maxLagMs: config.maxLag,
    keepMs: config.keep,
  })
  const server = createServer({
    ...{ logger, metrics, clock, random, problems },
    readiness() {
      const { faults } = archiver.state()
      return { ready: faults.length === 0, reasons: faults }
    },
  })
  await server.register(statusRoutes, { archive, archiver })
  archiver.start()
  const address = await server.listen({ host: config.httpHost, port: config.httpPort })
  logger.info({ address, id: archive.file.id }, 'listening')

  return {
    address,
    archiver,
    async close() {
      await archiver.stop()
      await server.close()
      await log.close()
      archive.close()
    },
  }
}
