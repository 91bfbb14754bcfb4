/** What the declarations of commands under `commands/` have in common: context, options, examples. */
import type { Clock } from '@countersign/kernel'
import { type Command, Option } from 'commander'
import type { LogOptions } from './connection.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** What an action has to work with. */
export interface CommandContext {
  readonly env: Environment
  readonly terminal: Terminal
  readonly clock: Clock
  /** Aborted when the person has had enough. */
  readonly signal: AbortSignal
  /** Says how it ended; without it, well. */
  end(code: ExitCode): void
  /** The options with the log the environment names, unless they name one. */
  placed<O extends LogOptions>(options: O): O
}

/** Declares one command, or a group of them. */
export type DeclareCommands = (program: Command, context: CommandContext) => void

export interface Example {
  /** The command line, without `countersign`; words with blanks in single quotes. A test runs it as it stands. */
  readonly run: string
  readonly shows: string
  /** The code it ends with where everything is well. Default 0. */
  readonly exit?: ExitCode
}

const EXAMPLES = new WeakMap<Command, readonly Example[]>()

/** Adds the section Examples to a command's help. */
export function withExamples(command: Command, examples: readonly Example[]): Command {
  EXAMPLES.set(command, examples)
  const lines = examples.flatMap(({ run, shows }) => [`  # ${shows}`, `  countersign ${run}`])
  return command.addHelpText('after', ['', 'Examples:', ...lines].join('\n'))
}

/** @returns each runnable command, its examples with their exit codes; in the order of the help. */
export function examplesOf(
  program: Command,
): { readonly command: string; readonly examples: readonly Required<Example>[] }[] {
  return program.commands.flatMap((command) => {
    if (command.commands.length > 0) return examplesOf(command)
    const examples = (EXAMPLES.get(command) ?? []).map((example) => ({ exit: EXIT.ok, ...example }))
    return [{ command: nameOf(command), examples }]
  })
}

/** Makes of a command one that only has commands; asked for none of them it says which there are. */
export function asGroup(command: Command): Command {
  return command.allowExcessArguments().action(() => {
    const names = command.commands.map(nameOf)
    const [given] = command.args
    const list = `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
    return command.error(
      `error: ${given === undefined ? '' : `there is no command ${given}: `}name one of ${list}; see --help`,
    )
  })
}

/** `topics plan`: without the name of the program. */
function nameOf(command: Command): string {
  const parent = command.parent?.parent ? `${nameOf(command.parent)} ` : ''
  return `${parent}${command.name()}`
}

export function withLog(command: Command): Command {
  return command
    .option('--data <dir>', 'folder of the embedded log, which holds log.db (env: COUNTERSIGN_DATA)')
    .option('--log <file>', 'file of the embedded log (env: COUNTERSIGN_LOG_PATH)')
    .option('--brokers <list>', 'addresses of Kafka brokers, by commas (env: COUNTERSIGN_KAFKA_BROKERS)')
    .option('--registry <url>', 'schema registry with its path (env: COUNTERSIGN_REGISTRY_URL)')
    .option('--catalogue <module>', 'module that exports your catalogue; default: the example services')
    .option(
      '--signals-logs <json>',
      'more signals logs of the example services, {"eu":["acme"]} (env: COUNTERSIGN_SIGNALS_LOGS)',
    )
    .option('--deadline <duration>', 'how long a silent log is waited for; default 15s')
    .addOption(outputOption())
}

export function withRoot(command: Command): Command {
  return command
    .option('--root-key <base64>', 'pinned root public key; may be repeated', collect)
    .option('--root-key-file <file>', 'file that holds one; may be repeated; default <data>/root.pub', collect)
}

/** The default is identity's own. */
export function withWindow(command: Command, env: Environment): Command {
  const window = env.COUNTERSIGN_WINDOW ?? '1d'
  return command.option('--window <duration>', 'how long signals must be kept (env: COUNTERSIGN_WINDOW)', window)
}

/** Bounds of staleness, for what reads job classes. */
export function withLimits(command: Command): Command {
  return command
    .option('--checkpoint-interval <duration>', 'interval of the notary, which bounds staleness budgets', '1s')
    .option('--epsilon <duration>', 'skew tolerated', '250ms')
}

/** @param output false where the log brings the option. */
export function withIdentity(command: Command, env: Environment, { output = true } = {}): Command {
  command
    .addOption(identityOption(env))
    .option('--secret-file <file>', 'file with the operator secret; or COUNTERSIGN_OPERATOR_SECRET')
    .option('--timeout <duration>', 'how long to ask', '10s')
  return output ? command.addOption(outputOption()) : command
}

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'table or json').choices(['table', 'json']).default('table')
}

export function identityOption(env: Environment): Option {
  const option = new Option('--identity <url>', 'where identity is (env: COUNTERSIGN_IDENTITY_URL)')
  const value = env.COUNTERSIGN_IDENTITY_URL
  return value === undefined ? option : option.default(value)
}

/** For options that may be repeated. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}
