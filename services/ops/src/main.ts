#!/usr/bin/env node
/** Entry: process in, exit code out. */
import { systemClock } from '@countersign/kernel'
import { runProgram } from './program.ts'
import { processTerminal } from './terminal.ts'

const enough = new AbortController()
process.once('SIGINT', () => enough.abort())
process.once('SIGTERM', () => enough.abort())
// A reader such as `head` that has had enough is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
})

process.exitCode = await runProgram({
  argv: process.argv.slice(2),
  env: process.env,
  terminal: processTerminal(),
  clock: systemClock,
  signal: enough.signal,
})
