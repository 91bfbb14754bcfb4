/** `policy test | diff`. */
import type { Command } from 'commander'
import { asGroup, type CommandContext, outputOption, withExamples, withLimits, withLog, withRoot } from '../command.ts'
import { policyDiff } from '../policy/diff.ts'
import { policyTest } from '../policy/test.ts'

export function policyCommands(program: Command, { terminal, clock, end, placed }: CommandContext): void {
  const policy = asGroup(program.command('policy')).description(
    'Try job classes: on cases written down, and on what was decided.',
  )
  withExamples(
    withLimits(policy.command('test').description('Judge a table of cases; needs no log.'))
      .argument('<file>', 'JSON: "cases", and "classes" or the name of a file with them')
      .option('--classes <file>', 'job classes, JSON, over those the table names')
      .addOption(outputOption())
      .action((file, options) => end(policyTest(file, options, terminal))),
    [{ run: 'policy test cases.json', shows: 'a table of cases for job classes; needs no log' }],
  )
  withExamples(
    withLimits(
      withRoot(withLog(policy.command('diff').description('Say which recorded decisions other rules would turn.'))),
    )
      .requiredOption('--classes <file>', 'the job classes to judge by, JSON; those it does not name are left out')
      .option('--from <place>', 'start, -<duration> or an RFC 3339 time', 'start')
      .option('--to <place>', '-<duration> or an RFC 3339 time; default now')
      .option('--show <n>', 'how many to list', '20')
      .action(async (options) => end(await policyDiff(placed(options), terminal, clock))),
    [
      {
        run: 'policy diff --data ./data --classes job-classes.json --from -1d',
        shows: 'which recorded decisions would turn',
      },
    ],
  )
}
