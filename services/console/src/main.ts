/** The console as a process. */
import { runProcess } from '@countersign/host'
import { createLogger } from '@countersign/telemetry'
import { startConsole } from './app.ts'
import { config } from './config.ts'

await runProcess({
  name: 'console',
  purpose: 'shows operators what the logs hold, live, and lets them end sessions and redrive work',
  config,
  logger: ({ logLevel }) => createLogger({ name: 'console', level: logLevel }),
  start: startConsole,
  argv: process.argv.slice(2),
  env: process.env,
})
