/** The command line as a whole. What each command is called and takes is under `commands/`; what it does, in its own file. */
import { readFileSync } from 'node:fs'
import { type Clock, isCountersignError } from '@countersign/kernel'
import { Command, CommanderError } from 'commander'
import {
  asGroup,
  type CommandContext,
  type DeclareCommands,
  type Environment,
  type Example,
  examplesOf,
} from './command.ts'
import { auditCommands } from './commands/audit.ts'
import { backupCommands } from './commands/backup.ts'
import { doctorCommand } from './commands/doctor.ts'
import { explainCommands } from './commands/explain.ts'
import { keysCommands } from './commands/keys.ts'
import { lookingCommands } from './commands/looking.ts'
import { parkedCommands } from './commands/parked.ts'
import { policyCommands } from './commands/policy.ts'
import { replayCommands } from './commands/replay.ts'
import { revocationCommands } from './commands/revocations.ts'
import { sentenceCommand } from './commands/sentence.ts'
import { topicsCommands } from './commands/topics.ts'
import { withEnvironment } from './connection.ts'
import { EXIT, EXIT_HELP, type ExitCode } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** In the order of the help. */
const COMMANDS: readonly DeclareCommands[] = [
  topicsCommands,
  lookingCommands,
  explainCommands,
  policyCommands,
  revocationCommands,
  keysCommands,
  parkedCommands,
  sentenceCommand,
  replayCommands,
  auditCommands,
  backupCommands,
  doctorCommand,
]

export interface ProgramContext {
  readonly argv: readonly string[]
  readonly env: Environment
  readonly terminal: Terminal
  readonly clock: Clock
  /** Aborted when the person has had enough. */
  readonly signal: AbortSignal
}

const CODES: Readonly<Record<string, ExitCode>> = {
  OPS_ARGUMENT_INVALID: EXIT.usage,
  OPS_IDENTITY_REFUSED: EXIT.refused,
  OPS_LOG_OTHER: EXIT.refused,
  OPS_LOG_UNKNOWN: EXIT.refused,
  OPS_REPLAY_REFUSED: EXIT.refused,
}

/** Runs one command line. @returns its exit code; never rejects. */
export async function runProgram(context: ProgramContext): Promise<ExitCode> {
  const { env, terminal, clock, signal } = context
  let code: ExitCode = EXIT.ok
  const end = (outcome: ExitCode): void => {
    code = outcome
  }
  const program = build({ env, terminal, clock, signal, end, placed: (options) => withEnvironment(options, env) })
  try {
    await program.parseAsync([...context.argv], { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    if (!isCountersignError(error)) {
      terminal.say(`countersign: unexpected failure: ${error instanceof Error ? error.message : String(error)}`)
      return EXIT.failed
    }
    terminal.say(`countersign: ${error.publicMessage}`)
    return CODES[error.code] ?? EXIT.failed
  }
}

/** Every command with its examples, for a test to run. */
export function programExamples(
  context: Omit<ProgramContext, 'argv'>,
): { readonly command: string; readonly examples: readonly Required<Example>[] }[] {
  return examplesOf(build({ ...context, end: () => {}, placed: (options) => options }))
}

function build(context: CommandContext): Command {
  const { terminal } = context
  const program = asGroup(new Command('countersign'))
    .description('Watch and steer revocations.')
    .version(version())
    .addHelpText('after', EXIT_HELP)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.say(text.trim().replaceAll('\n', ' ')),
      outputError: (text, write) => {
        const line = text.trimEnd().replace(/^error: /, 'countersign: ')
        write(line.includes('--help') ? line : `${line} (see --help)`)
      },
    })
    .helpCommand(false)
  for (const declare of COMMANDS) declare(program, context)
  return program
}

/** Beside the sources and beside the build alike. */
function version(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  return manifest.version
}
