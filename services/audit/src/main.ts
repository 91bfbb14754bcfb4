/** The audit as a process. */
import { runProcess } from '@countersign/host'
import { createLogger } from '@countersign/telemetry'
import { startAudit } from './app.ts'
import { config } from './config.ts'

await runProcess({
  name: 'audit',
  purpose: 'keeps decisions, journey, signals and what was signed of jobs, in a chain that names who touched it',
  config,
  logger: ({ logLevel }) => createLogger({ name: 'audit', level: logLevel }),
  start: startAudit,
  argv: process.argv.slice(2),
  env: process.env,
})
