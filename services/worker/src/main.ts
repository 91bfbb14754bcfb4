/** The worker as a process. */
import { runProcess } from '@countersign/host'
import { createLogger } from '@countersign/telemetry'
import { startWorker } from './app.ts'
import { config } from './config.ts'

await runProcess({
  name: 'worker',
  purpose: 'takes jobs, decides each against its own view of the signals log, and works',
  config,
  logger: ({ logLevel }) => createLogger({ name: 'worker', level: logLevel }),
  start: startWorker,
  argv: process.argv.slice(2),
  env: process.env,
})
