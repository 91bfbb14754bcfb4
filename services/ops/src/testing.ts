/** A log with a notary's records on a file, and a terminal that remembers, for the tests of this package. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EventLog } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemClock } from '@countersign/kernel'
import { SIGNALS_TOPIC } from '@countersign/replica'
import { MemoryLog, Scribe, testKeys } from '@countersign/replica/testing'
import { exampleCatalogue } from '@countersign/schemas'
import type { ExitCode } from './exit-codes.ts'
import { runProgram } from './program.ts'

export interface Outcome {
  readonly code: ExitCode
  /** Standard output. */
  readonly out: string
  /** Standard error. */
  readonly talk: string
}

/** Runs one command line. */
export async function run(
  argv: readonly string[],
  options: { env?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Outcome> {
  const out: string[] = []
  const talk: string[] = []
  const code = await runProgram({
    argv,
    env: options.env ?? {},
    terminal: { out: (line) => void out.push(line), say: (line) => void talk.push(line) },
    clock: systemClock,
    signal: options.signal ?? new AbortController().signal,
  })
  return { code, out: out.join('\n'), talk: talk.join('\n') }
}

/** An embedded log that a scribe writes to, with its root key beside it. */
export class EmbeddedLog {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-ops-'))
  readonly keys: ReturnType<typeof testKeys> = testKeys()
  readonly #staged = new MemoryLog(systemClock)
  readonly scribe: Scribe = new Scribe(this.#staged, this.keys)
  #log: EventLog | null = null
  #written = 0

  async open(): Promise<EventLog> {
    this.#log ??= await openSqliteLog({ path: join(this.folder, 'log.db'), catalogue: exampleCatalogue })
    writeFileSync(join(this.folder, 'root.pub'), `${this.keys.rootPublic.toString('base64')}\n`)
    return this.#log
  }

  /** Brings what the scribe has written to the file. */
  async flush(): Promise<void> {
    const log = await this.open()
    const { records } = this.#staged.partition()
    for (const record of records.slice(this.#written)) await log.append(SIGNALS_TOPIC, [record])
    this.#written = records.length
  }

  async close(): Promise<void> {
    await this.#log?.close()
  }
}
