#!/usr/bin/env node
/** Entry: process in, exit code out. */
import { systemClock } from '@countersign/kernel'
import { runProgram } from './program.ts'
import { processTerminal } from './terminal.ts'

/** What still hangs by then, hangs on something that does not answer. */
const LEAVE_MS = 3_000
const LEAVE_WHEN_ASKED_MS = 10_000

const enough = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    enough.abort()
    leaveIn(LEAVE_WHEN_ASKED_MS, 1)
    // Asked twice is meant.
    process.once(signal, () => process.exit(1))
  })
}
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
leaveIn(LEAVE_MS, process.exitCode)

function leaveIn(ms: number, code: string | number): void {
  setTimeout(() => {
    // Somebody still reads what was written.
    if (process.stdout.writableLength > 0) leaveIn(ms, code)
    else process.exit(code)
  }, ms).unref()
}
