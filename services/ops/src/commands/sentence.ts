/** `sentence`: what a stolen credential is still good for. */
import type { Command } from 'commander'
import { type CommandContext, identityOption, withExamples, withLog, withRoot } from '../command.ts'
import { sentence } from '../sentence.ts'

export function sentenceCommand(program: Command, { env, terminal, clock, signal, end, placed }: CommandContext): void {
  withExamples(
    withRoot(
      withLog(
        program
          .command('sentence')
          .description(
            'Say for how long a stolen credential is of use: at most, as measured, and if nobody revokes it.',
          ),
      ),
    )
      .option('--class <name>', 'only this job class')
      .option('--last <n>', 'over how many revocations it is measured', '1000')
      .option('--words', 'whole sentences, one a line, in place of the table')
      .addOption(identityOption(env))
      .option('--timeout <duration>', 'how long to read; what was read by then is told', '30s')
      .action(async (options) => end(await sentence(placed(options), terminal, clock, signal))),
    [
      { run: 'sentence --data ./data', shows: 'what each kind of credential is good for, by job class' },
      { run: 'sentence --data ./data --class payment --words', shows: 'the same of one class, to be quoted' },
    ],
  )
}
