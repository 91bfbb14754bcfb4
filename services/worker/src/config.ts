/** Configuration of the worker, from `COUNTERSIGN_*`. */
import { hostFields, logFields, namesOneLog, viewFields } from '@countersign/host'
import { field, isCountersignError } from '@countersign/kernel'
import { z } from 'zod'
import { givenClasses } from './job-classes.ts'

export const config = z
  .object({
    ...hostFields,
    ...viewFields,
    consumer: field.text().describe('name of this instance in decisions and progress; distinct among workers'),
    jobClasses: field
      .text()
      .optional()
      .describe('job classes, JSON, as GET /v1/job-classes tells them; use _FILE; default the four of the example'),
    group: field.text().default('worker').describe('consumer group; each job class has one of its own below it'),
    ...logFields,
    checkpointInterval: field.duration().prefault('1s').describe('interval of the notary; default 1s'),
    concurrency: field.integer({ min: 1, max: 256 }).prefault('8').describe('handlers at once in a batch; default 8'),
    partitionsAtOnce: field
      .integer({ min: 1, max: 64 })
      .prefault('3')
      .describe('batches at once in a class; default 3'),
    viewSize: field.size().prefault('256MiB').describe('budget of memory of the view; default 256MiB'),
    snapshotPath: field.text().optional().describe('file for snapshots of the view; without it the log is read anew'),
    spoolPath: field
      .text()
      .optional()
      .describe(
        "file for decisions while the log takes none, for job classes with audit 'spooled'; this instance's alone",
      ),
    spoolSize: field.size().prefault('64MiB').describe('most it holds; default 64MiB'),
    historyPath: field.text().optional().describe('file to append the history to, one JSON object a line'),
    probeSecret: field
      .secret()
      .optional()
      .describe('bearer secret of POST /v1/job-classes/…/probe, for doctor; default: not offered; use _FILE'),
    consumerKeyId: field
      .text()
      .default('consumer')
      .describe('id of the key that vouches for this worker, as in the trust bundle; default consumer'),
    consumerKey: field
      .secret()
      .optional()
      .describe(
        'the key that vouches for this worker in its registration, PKCS#8 PEM; default: nobody does; use _FILE',
      ),
    progressEvery: field.duration().prefault('2s').describe('between progress records; default 2s'),
  })
  .superRefine(namesOneLog)
  .superRefine((given, ctx) => {
    try {
      const spooled = givenClasses(given).find(({ audit }) => audit === 'spooled')
      if (spooled && given.spoolPath === undefined) {
        const message = `missing; the job class ${spooled.name} spools its decisions`
        ctx.addIssue({ code: 'custom', path: ['spoolPath'], message })
      }
    } catch (error) {
      const message = isCountersignError(error) ? error.publicMessage : 'is not JSON'
      ctx.addIssue({ code: 'custom', path: ['jobClasses'], message })
    }
  })

export type WorkerConfig = Readonly<z.output<typeof config>>
