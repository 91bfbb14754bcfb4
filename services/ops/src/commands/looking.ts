/** `tail`, `chain` and `path`: what stands on the topics. */
import { MAIN_LOG } from '@countersign/schemas'
import { type Command, Option } from 'commander'
import { chain } from '../chain.ts'
import { type CommandContext, withExamples, withLog, withRoot } from '../command.ts'
import { path } from '../path.ts'
import { tailSignals } from '../tail.ts'
import { tailJourney } from '../tail-journey.ts'

export function lookingCommands(program: Command, { terminal, clock, signal, end, placed }: CommandContext): void {
  withExamples(
    withRoot(
      withLog(program.command('tail').description('Show the signals log, or the journey of identities, decoded.')),
    )
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
      }),
    [
      {
        run: 'tail --data ./data --from -10m -e',
        shows: 'the signals log of the last ten minutes, decoded and checked',
      },
      { run: 'tail --data ./data --from start -e -o json --kind signal', shows: 'every signal, for programs' },
      {
        run: 'tail --data ./data --topic journey --from start -e --kind login_failed,reuse',
        shows: 'what became of identities',
      },
    ],
  )

  withExamples(
    withLog(
      program.command('chain').description('List a chain of exchanged tokens: who, for whom, and what ended them.'),
    )
      .argument(
        '<handle>',
        'of any of its tokens (jti), or of a session, a refresh family (sid) or a transaction (txn)',
      )
      .option('--from <place>', 'start, -<duration> or an RFC 3339 time', 'start')
      .action(async (handle, options) => end(await chain(handle, placed(options), terminal, clock))),
    [{ run: 'chain --data ./data tok_AbC', shows: 'which tokens came of which, and what ended them' }],
  )

  withExamples(
    withRoot(withLog(program.command('path').description('List everything that came of one request, in order.')))
      .argument('<id>', 'a correlation id, a trace id, a transaction (txn) or a request id')
      .action(async (id, options) => end(await path(id, placed(options), terminal))),
    [{ run: 'path --data ./data cor_Qm9vIQ', shows: 'everything that came of one request' }],
  )
}
