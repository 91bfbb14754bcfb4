/** A process from its command line to its exit. */
import {
  ConfigError,
  CountersignError,
  describeConfig,
  envKey,
  field,
  isCountersignError,
  loadConfig,
  type Millis,
} from '@countersign/kernel'
import type { Logger } from '@countersign/telemetry'
import { z } from 'zod'

/** What is running. */
export interface Running {
  /** Stops taking work, finishes what is under way, lets go of everything. Called once. */
  close(): Promise<void>
}

export interface ProcessOptions<S extends z.ZodObject> {
  readonly name: string
  /** One line for `--help`. */
  readonly purpose: string
  /** Fields with `.describe(...)`; see `hostFields`. */
  readonly config: S
  /** What no single field can say: one line per contradiction. */
  readonly check?: (config: Readonly<z.output<S>>) => readonly string[]
  readonly logger: (config: Readonly<z.output<S>>) => Logger
  readonly start: (config: Readonly<z.output<S>>, logger: Logger) => Promise<Running>
  /** Commands besides serving; they print and end. */
  readonly commands?: Readonly<
    Record<string, { readonly purpose: string; readonly run: (args: readonly string[]) => Promise<void> }>
  >
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Configuration every server has. */
export const hostFields: {
  readonly httpHost: z.ZodDefault<z.ZodString>
  readonly httpPort: z.ZodType<number, string | undefined>
  readonly logLevel: z.ZodDefault<
    z.ZodEnum<{ debug: 'debug'; info: 'info'; warn: 'warn'; error: 'error'; silent: 'silent' }>
  >
  readonly drainTimeout: z.ZodType<Millis, string | undefined>
} = {
  httpHost: field.text().default('127.0.0.1').describe('address to listen on; default 127.0.0.1'),
  httpPort: field.port().prefault('0').describe('port to listen on, 0 for any; default 0'),
  logLevel: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe('least level logged; default info'),
  drainTimeout: field.duration().prefault('10s').describe('longest time to finish work at the end; default 10s'),
}

const USAGE = 2

/**
 * Runs one service: `--help` and `--check-config` print and end; a command runs and ends; else it starts, and
 * closes on SIGTERM or SIGINT. A second signal, or a drain longer than `drainTimeout`, ends it at once.
 * Exit codes: 0 done, 1 failed, 2 wrong command line or configuration.
 */
export async function runProcess<S extends z.ZodObject>(options: ProcessOptions<S>): Promise<void> {
  const { name, argv, env, config: schema, commands = {} } = options
  const [first, ...rest] = argv
  if (first === '--help' || first === '-h') return print(help(options))
  const command = first === undefined || !Object.hasOwn(commands, first) ? undefined : commands[first]
  try {
    if (command) return await command.run(rest)
    if (first !== undefined && first !== '--check-config')
      return fail(`${name}: unknown argument ${first}; try --help`, USAGE)
    const config = loadConfig(schema, env)
    const contradictions = options.check?.(config) ?? []
    if (contradictions.length > 0) throw refusedConfig(contradictions)
    if (first === '--check-config') return print(describeConfig(config))
    const logger = options.logger(config)
    await serve(await startOrExplain(options, config, logger), Number(config.drainTimeout ?? 10_000), logger)
  } catch (error) {
    const message = isCountersignError(error)
      ? error.publicMessage
      : `${name}: ${error instanceof Error ? error.name : 'failed'}`
    fail(message, error instanceof ConfigError ? USAGE : 1)
  }
}

function refusedConfig(lines: readonly string[]): ConfigError {
  const publicMessage = `configuration refused\n  ${lines.join('\n  ')}`
  return new ConfigError({ code: 'KERNEL_CONFIG_INVALID', retriable: false, publicMessage })
}

/** A wrong command line; its message is for the person who typed it. */
export function usageError(message: string): CountersignError<'HOST_USAGE_WRONG'> {
  return new CountersignError({ code: 'HOST_USAGE_WRONG', retriable: false, publicMessage: message })
}

async function startOrExplain<S extends z.ZodObject>(
  options: ProcessOptions<S>,
  config: Readonly<z.output<S>>,
  logger: Logger,
): Promise<Running> {
  try {
    return await options.start(config, logger)
  } catch (error) {
    logger.error({ error }, 'could not start')
    throw error
  }
}

async function serve(running: Running, drainMs: number, logger: Logger): Promise<void> {
  let closing = false
  const crash = (error: unknown): void => {
    logger.error({ error }, 'unexpected failure, ending')
    process.exit(1)
  }
  const close = (reason: NodeJS.Signals): void => {
    if (closing) process.exit(1)
    closing = true
    logger.info({ reason }, 'closing')
    const deadline = setTimeout(() => {
      logger.warn({}, 'closing took too long, ending')
      process.exit(1)
    }, drainMs)
    running.close().then(() => {
      clearTimeout(deadline)
      process.exit(0)
    }, crash)
  }
  process.on('SIGTERM', close)
  process.on('SIGINT', close)
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)
}

function help<S extends z.ZodObject>({ name, purpose, config, commands = {} }: ProcessOptions<S>): string {
  const lines = [`${name}: ${purpose}`, '', `  ${name}`, `  ${name} --check-config   print the configuration and end`]
  for (const [command, { purpose: why }] of Object.entries(commands)) lines.push(`  ${name} ${command}   ${why}`)
  lines.push('', 'Environment (any key may be given as <KEY>_FILE, a file that holds the value):')
  for (const [field, type] of Object.entries(config.shape)) {
    lines.push(`  ${envKey(field)}   ${(type as z.ZodType).description ?? ''}`)
  }
  return lines.join('\n')
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

function fail(text: string, code: number): void {
  process.stderr.write(`${text}\n`)
  process.exitCode = code
}
