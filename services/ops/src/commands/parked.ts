/** `parked` and `redrive`. */
import type { Command } from 'commander'
import { Option } from 'commander'
import { type CommandContext, collect, identityOption, withExamples, withLog } from '../command.ts'
import { PARKED_STATES, parked, redriveParked } from '../parked.ts'

export function parkedCommands(program: Command, { env, terminal, clock, signal, end, placed }: CommandContext): void {
  withExamples(
    withSelection(program.command('parked').description('List parked and dead-lettered work, and what became of it.'))
      .addOption(new Option('--state <state>', 'which').choices(PARKED_STATES).default('waiting'))
      .option('--show <n>', 'how many to list', '100')
      .action(async (options) => end(await parked(placed(options), terminal, clock, signal))),
    [
      { run: 'parked --data ./data', shows: 'what waits for somebody to look at it' },
      { run: 'parked --data ./data --state all --from -1d -o json', shows: 'everything set aside since yesterday' },
    ],
  )

  withExamples(
    withSelection(
      program
        .command('redrive')
        .description('Put parked and dead-lettered work on its topic again, to be decided anew.'),
    )
      .option('--rate <n>', 'jobs a second', '100')
      .addOption(identityOption(env))
      .option(
        '--successor-secret-file <file>',
        'file with a service secret of identity, which is then asked for successors of envelopes that are over; or COUNTERSIGN_SUCCESSOR_SECRET',
      )
      .option('--execute', 'act; without it what would be done is shown')
      .action(async (options) => end(await redriveParked(placed(options), env, terminal, clock, signal))),
    [
      {
        run: 'redrive --data ./data --reason view_stale',
        shows: 'what would be put on which topic, and how old it is',
      },
      { run: 'redrive --data ./data --class export --rate 20 --execute', shows: 'all that one class has parked' },
    ],
  )
}

function withSelection(command: Command): Command {
  return withLog(command)
    .option('--topic <logical>', 'only of this logical topic; may be repeated', collect)
    .addOption(new Option('--kind <kind>', 'only these').choices(['parked', 'dead-lettered']))
    .option('--class <name>', 'only what this job class set aside; may be repeated', collect)
    .option('--reason <code>', 'only what was set aside for this; may be repeated', collect)
    .option('--event <id>', 'only this event, 32 hexadecimal digits; may be repeated', collect)
    .option('--from <place>', 'set aside since: start, -<duration> or an RFC 3339 time', 'start')
    .option('--to <place>', 'set aside before: end, -<duration> or an RFC 3339 time', 'end')
}
