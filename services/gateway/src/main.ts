/** The gateway as a process. */
import { runProcess } from '@countersign/host'
import { createLogger } from '@countersign/telemetry'
import { startGateway } from './app.ts'
import { config } from './config.ts'

await runProcess({
  name: 'gateway',
  purpose: 'takes credentials at the door, judges them by its own view, and hands on Txn-Tokens',
  config,
  logger: ({ logLevel }) => createLogger({ name: 'gateway', level: logLevel }),
  start: startGateway,
  argv: process.argv.slice(2),
  env: process.env,
})
