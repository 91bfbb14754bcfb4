/** The command line: names, options and help. What commands do is in their own files. */
import { type Clock, isCountersignError } from '@countersign/kernel'
import { MAIN_LOG } from '@countersign/schemas'
import { Command, CommanderError, Option } from 'commander'
import { chain } from './chain.ts'
import { type LogOptions, withEnvironment } from './connection.ts'
import { doctor } from './doctor.ts'
import { EXIT, EXIT_HELP, type ExitCode } from './exit-codes.ts'
import { path } from './path.ts'
import { policyDiff } from './policy/diff.ts'
import { policyTest } from './policy/test.ts'
import { PROBE_HELP } from './probes/means.ts'
import { revocation, revoke } from './revoke.ts'
import { tailSignals } from './tail.ts'
import { tailJourney } from './tail-journey.ts'
import type { Terminal } from './terminal.ts'
import { applyTopics, driftTopics } from './topics.ts'

export interface ProgramContext {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly terminal: Terminal
  readonly clock: Clock
  /** Aborted when the person has had enough. */
  readonly signal: AbortSignal
}

/** Runs one command line. @returns its exit code; never rejects. */
export async function runProgram(context: ProgramContext): Promise<ExitCode> {
  const { terminal } = context
  let code: ExitCode = EXIT.ok
  const program = build(context, (outcome) => {
    code = outcome
  })
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
    return error.code === 'OPS_ARGUMENT_INVALID' ? EXIT.usage : EXIT.failed
  }
}

function build({ env, terminal, clock, signal }: ProgramContext, end: (code: ExitCode) => void): Command {
  const placed = <O extends LogOptions>(options: O): O => withEnvironment(options, env)
  const program = new Command('countersign')
    .description('Watch and steer revocations.')
    .addHelpText('after', EXIT_HELP)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.say(text.trim().replaceAll('\n', ' ')),
      outputError: (text, write) => write(text.replace(/^error: /, 'countersign: ')),
    })
    .helpCommand(false)
    .allowExcessArguments()
    .action(() => nameOne(program, 'topics, tail, chain, path, policy, revoke, revocation or doctor'))

  const topics = program
    .command('topics')
    .description('Compare topics and schemas with the catalogue, and create what is missing.')
    .allowExcessArguments()
    .action(() => nameOne(topics, 'topics plan, topics apply or topics drift'))
  topicCommand(topics, 'plan', 'Show what "apply" would create.').action(async (options) =>
    end(await applyTopics({ ...placed(options), execute: false }, terminal)),
  )
  topicCommand(topics, 'apply', 'Create missing topics and register missing schemas; alters nothing that exists.')
    .option('--execute', 'act; without it the plan is shown')
    .action(async (options) => end(await applyTopics(placed(options), terminal)))
  topicCommand(topics, 'drift', 'Show every way in which topics are not as the catalogue asks.').action(
    async (options) => end(await driftTopics(placed(options), terminal)),
  )

  withRoot(withLog(program.command('tail').description('Show the signals log, or the journey of identities, decoded.')))
    .addOption(new Option('--topic <topic>', 'which').choices(['signals', 'journey']).default('signals'))
    .option('--signals-log <name>', 'which signals log, where there are several', MAIN_LOG)
    .option('--from <place>', 'start, end, an offset, -<duration> or an RFC 3339 time', 'end')
    .option('-e, --until-end', 'stop at the end of what is there now')
    .option('-c, --count <n>', 'stop after as many')
    .option(
      '--kind <kinds>',
      'only these: signal, checkpoint, epochclaim, trustbundle, unreadable; actions of the journey',
    )
    .action(async ({ topic, ...options }) => {
      const tail = topic === 'journey' ? tailJourney : tailSignals
      end(await tail(placed(options), terminal, clock, signal))
    })

  withLog(program.command('chain').description('List a chain of exchanged tokens: who, for whom, and what ended them.'))
    .argument('<handle>', 'of any of its tokens (jti), or of a session, a refresh family (sid) or a transaction (txn)')
    .option('--from <place>', 'start, -<duration> or an RFC 3339 time', 'start')
    .action(async (handle, options) => end(await chain(handle, placed(options), terminal, clock)))

  withRoot(withLog(program.command('path').description('List everything that came of one request, in order.')))
    .argument('<id>', 'a correlation id, a trace id, a transaction (txn) or a request id')
    .action(async (id, options) => end(await path(id, placed(options), terminal)))

  const policy = program
    .command('policy')
    .description('Try job classes: on cases written down, and on what was decided.')
    .allowExcessArguments()
    .action(() => nameOne(policy, 'policy test or policy diff'))
  withLimits(policy.command('test').description('Judge a table of cases; needs no log.'))
    .argument('<file>', 'JSON: "cases", and "classes" or the name of a file with them')
    .option('--classes <file>', 'job classes, JSON, over those the table names')
    .addOption(outputOption())
    .action((file, options) => end(policyTest(file, options, terminal)))
  withLimits(
    withRoot(withLog(policy.command('diff').description('Say which recorded decisions other rules would turn.'))),
  )
    .requiredOption('--classes <file>', 'the job classes to judge by, JSON; those it does not name are left out')
    .option('--from <place>', 'start, -<duration> or an RFC 3339 time', 'start')
    .option('--to <place>', '-<duration> or an RFC 3339 time; default now')
    .option('--show <n>', 'how many to list', '20')
    .action(async (options) => end(await policyDiff(placed(options), terminal, clock)))

  withIdentity(program.command('revoke').description('Revoke everything that depends on a target.'), env)
    .argument('<target>', 'session:<handle>, subject:<id>, tenant:<id>, affiliation:<tenant>/<subject>, …')
    .option(
      '--issuer <issuer>',
      'the id is what this identity provider calls it, for subject, affiliation, session, client, token',
    )
    .option('--reason <reason>', 'why; default admin')
    .option('--scope <scope>', 'take only this scope, from an affiliation')
    .option('--cause <name>', 'what it is recorded under')
    .option('--request-id <uuid>', 'ask again for a revocation whose outcome is unknown')
    .option('--execute', 'act; without it what would be asked is shown')
    .action(async (target, options) => end(await revoke(target, options, env, terminal, clock)))

  withIdentity(program.command('revocation').description('Ask what became of a revocation.'), env)
    .argument('<id>', 'the id "revoke" printed')
    .action(async (id, options) => end(await revocation(id, options, env, terminal)))

  withWindow(
    withRoot(
      withLog(
        program
          .command('doctor')
          .description(
            'Check log, checkpoints and identity; probe every route of a gateway and every job class of workers.',
          )
          .addHelpText('after', PROBE_HELP),
      ),
    ),
    env,
  )
    .addOption(identityOption(env))
    .option('--budget <duration>', 'staleness allowed', '5s')
    .option('--epsilon <duration>', 'skew tolerated', '250ms')
    .option('--timeout <duration>', 'how long to wait for a proof, or an answer', '6s')
    .option('--worker <url>', 'a worker whose job classes are probed; may be repeated', collect)
    .option('--envelope-key-file <file>', 'key that seals probes, PKCS#8 PEM')
    .option('--envelope-key-id <id>', 'its id in the trust bundle', 'doctor')
    .option('--probe-tenant <tenant>', 'the tenant that key is for', 'doctor')
    .option('--probe-secret-file <file>', 'file with the probe secret of the workers; or COUNTERSIGN_PROBE_SECRET')
    .option('--gateway <url>', 'inside listener of a gateway whose routes are probed')
    .option('--client <id>', "doctor's client at identity", 'doctor')
    .option('--client-secret-file <file>', 'file with its secret; or COUNTERSIGN_DOCTOR_CLIENT_SECRET')
    .option('--session-file <file>', 'file with a session cookie, name=value, for routes that demand a strong login')
    .action(async (options) => end(await doctor(placed(options), env, terminal, clock)))

  return program

  function topicCommand(parent: Command, name: string, description: string): Command {
    return withWindow(withLog(parent.command(name).description(description)), env)
      .option('--replication-factor <n>', 'copies of each partition; default 3, or as many as there are brokers')
      .option('--min-in-sync <n>', 'copies an append waits for; default 2 of 3')
  }

  function withLog(command: Command): Command {
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
      .addOption(outputOption())
  }
}

function nameOne(command: Command, commands: string): never {
  const [given] = command.args
  return command.error(
    `error: ${given === undefined ? '' : `there is no command ${given}: `}name one of ${commands}; see --help`,
  )
}

function withLimits(command: Command): Command {
  return command
    .option('--checkpoint-interval <duration>', 'interval of the notary, which bounds staleness budgets', '1s')
    .option('--epsilon <duration>', 'skew tolerated', '250ms')
}

function withRoot(command: Command): Command {
  return command
    .option('--root-key <base64>', 'pinned root public key; may be repeated', collect)
    .option('--root-key-file <file>', 'file that holds one; may be repeated; default <data>/root.pub', collect)
}

/** The default is identity's own. */
function withWindow(command: Command, env: ProgramContext['env']): Command {
  const window = env.COUNTERSIGN_WINDOW ?? '1d'
  return command.option('--window <duration>', 'how long signals must be kept (env: COUNTERSIGN_WINDOW)', window)
}

function withIdentity(command: Command, env: ProgramContext['env']): Command {
  return command
    .addOption(identityOption(env))
    .option('--secret-file <file>', 'file with the operator secret; or COUNTERSIGN_OPERATOR_SECRET')
    .option('--timeout <duration>', 'how long to ask', '10s')
    .addOption(outputOption())
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'table or json').choices(['table', 'json']).default('table')
}

function identityOption(env: ProgramContext['env']): Option {
  const option = new Option('--identity <url>', 'where identity is (env: COUNTERSIGN_IDENTITY_URL)')
  const value = env.COUNTERSIGN_IDENTITY_URL
  return value === undefined ? option : option.default(value)
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}
