/** `explain`. */
import type { Command } from 'commander'
import { type CommandContext, withExamples, withLimits, withLog, withRoot } from '../command.ts'
import { explainCommand } from '../explain.ts'

export function explainCommands(program: Command, { terminal, signal, end, placed }: CommandContext): void {
  withExamples(
    withLimits(
      withRoot(
        withLog(
          program
            .command('explain')
            .description('Say in plain words what happened and why, and make every decision again.'),
        ),
      ),
    )
      .argument(
        '[name]',
        'an event id, topic/partition/offset of a job, a correlation id, request id, trace id or transaction',
      )
      .option('--object <id>', 'who touched this object')
      .option('--session <handle>', 'what this session did, before and after its end')
      .option('--archive <file>', 'ask an archive in place of the log')
      .option('--classes <file>', 'job classes, JSON, before those that consumers registered')
      .option('--fields', 'list every field that was made again')
      .option('--timeout <duration>', 'how long to look', '60s')
      .action(async (name, options) => {
        const { archive } = options
        end(await explainCommand(name, archive === undefined ? placed(options) : options, terminal, signal))
      }),
    [
      { run: 'explain --data ./data cor_Qm9vIQ', shows: 'what came of one request, from the gateway to the last job' },
      {
        run: 'explain --data ./data --object acme-1001',
        shows: 'who touched an invoice, for whom, and by which right',
      },
      {
        run: 'explain --data ./data --session ses_2c26b4',
        shows: 'what a session did, and what still ran after its logout',
      },
    ],
  )
}
