/** `replay rebuild | compare | re-emit`. */
import { MAIN_LOG } from '@countersign/schemas'
import type { Command } from 'commander'
import { asGroup, type CommandContext, collect, withExamples, withIdentity, withLog, withRoot } from '../command.ts'
import { compare } from '../replay/compare.ts'
import { reEmit } from '../replay/re-emit.ts'
import { rebuild } from '../replay/rebuild.ts'

export function replayCommands(program: Command, { env, terminal, clock, signal, end, placed }: CommandContext): void {
  const replay = asGroup(program.command('replay')).description(
    'Read a signals log afresh: to rebuild the view it makes, compare live consumers with it, or emit signals again.',
  )

  withExamples(
    withRange(withReading(replay.command('rebuild')))
      .description('Fold the log into a fresh view, everything verified, and tell its digests.')
      .option(
        '--out <file>',
        'write the view as of the last checkpoint of the range, as a snapshot a consumer starts from',
      )
      .option('--execute', 'act; without it what stands in the range is shown')
      .action(async (options) => end(await rebuild(placed(options), terminal, clock, signal))),
    [
      { run: 'replay rebuild --data ./data --from -1h', shows: 'what stands in the range: counts, and how many when' },
      { run: 'replay rebuild --data ./data --execute -o json', shows: 'the whole log: digests before and after' },
      {
        run: 'replay rebuild --data ./data --out ./view.snapshot --execute',
        shows: 'a snapshot for a consumer that lost its own',
      },
    ],
  )

  withExamples(
    withReading(replay.command('compare'))
      .description('Say whether live consumers hold what the log makes, and name a signal one of them lacks.')
      .action(async (options) => end(await compare(placed(options), terminal, clock, signal))),
    [{ run: 'replay compare --data ./data', shows: 'each consumer that tells of itself, and whether it is equal' }],
  )

  withExamples(
    withOnlyIdentity(withRange(withReading(replay.command('re-emit'))))
      .description('Have identity put signals on their log once more, as they were signed; it changes no view.')
      .option('--target <target>', 'only signals on this target, as "revoke" names it; may be repeated', collect)
      .option('--tenant <tenant>', 'only signals on this tenant and affiliations of it')
      .option('--reason <reason>', 'only signals of this reason; may be repeated', collect)
      .option('--scope <scope>', 'only signals that take this scope; may be repeated', collect)
      .option('--rate <n>', 'copies a second', '200')
      .option('--replay-id <id>', 'go on with the replay a plan or an earlier run named')
      .option('--execute', 'act; without it the signals meant are counted')
      .action(async (options) => end(await reEmit(placed(options), env, terminal, clock, signal))),
    [
      {
        run: 'replay re-emit --data ./data --from -1h --reason compromise',
        shows: 'how many signals are meant, and when',
      },
      {
        run: 'replay re-emit --data ./data --target session:ses_2c26b4 --rate 50 --execute',
        shows: 'each signal on a session once more',
      },
    ],
  )

  /** Identity without the output format, which the log brings. */
  function withOnlyIdentity(command: Command): Command {
    return withIdentity(command, env, { output: false })
  }
}

function withReading(command: Command): Command {
  return withRoot(withLog(command))
    .option('--signals-log <name>', 'which signals log, where there are several', MAIN_LOG)
    .option('--log-id <id>', 'refuse any log but this')
    .option('--epsilon <duration>', 'skew tolerated', '250ms')
}

function withRange(command: Command): Command {
  return command
    .option('--from <place>', 'start, an offset, -<duration> or an RFC 3339 time', 'start')
    .option('--to <place>', 'end, an offset, -<duration> or an RFC 3339 time; exclusive', 'end')
}
