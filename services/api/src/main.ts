/** The api as a process. */
import { runProcess } from '@countersign/host'
import { createLogger } from '@countersign/telemetry'
import { startApi } from './app.ts'
import { config } from './config.ts'

await runProcess({
  name: 'api',
  purpose: 'an invoices API: takes requests, webhooks and schedules, and queues jobs sealed for whoever asked',
  config,
  logger: ({ logLevel }) => createLogger({ name: 'api', level: logLevel }),
  start: startApi,
  argv: process.argv.slice(2),
  env: process.env,
})
