/** `tail`, `inspect`, `chain`, `path` and `export`: what stands on the topics. */
import { MAIN_LOG } from '@countersign/schemas'
import { type Command, Option } from 'commander'
import { chain } from '../chain.ts'
import { type CommandContext, withExamples, withLog, withRoot } from '../command.ts'
import { exportView } from '../export.ts'
import { inspect } from '../inspect/inspect.ts'
import { path } from '../path.ts'
import { tailSignals } from '../tail.ts'
import { tailMerged } from '../tail-merged.ts'

export function lookingCommands(program: Command, { terminal, clock, signal, end, placed }: CommandContext): void {
  withExamples(
    withRoot(
      withLog(
        program
          .command('tail')
          .description(
            'Show the signals log, the journey of identities, decisions, or the progress of consumers, decoded.',
          ),
      ),
    )
      .addOption(
        new Option('--topic <topic>', 'which')
          .choices(['signals', 'journey', 'decisions', 'progress'])
          .default('signals'),
      )
      .option('--signals-log <name>', 'which signals log, where there are several', MAIN_LOG)
      .option('--from <place>', 'start, end, an offset, -<duration> or an RFC 3339 time', 'end')
      .option('-e, --until-end', 'stop at the end of what is there now')
      .option('-c, --count <n>', 'stop after as many')
      .option(
        '--kind <kinds>',
        'only these: signal, checkpoint, epochclaim, trustbundle, unreadable; actions of the journey; phases of decisions; states of consumers, registration',
      )
      .action(async ({ topic, ...options }) => {
        const placedOptions = placed(options)
        if (topic === 'signals') end(await tailSignals(placedOptions, terminal, clock, signal))
        else end(await tailMerged(topic, placedOptions, terminal, clock, signal))
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
      {
        run: 'tail --data ./data --topic decisions --from start -e --kind final',
        shows: 'what became of jobs, by batch',
      },
      { run: 'tail --data ./data --topic progress --from -1m -e', shows: 'where consumers are' },
    ],
  )

  withExamples(
    withRoot(
      withLog(
        program.command('inspect').description('Decode one record, or one envelope; payloads are summed, never shown.'),
      ),
    )
      .argument('<what>', 'topic/partition/offset; or an envelope in base64 or hex, or a file with one')
      .action(async (what, options) => end(await inspect(what, placed(options), terminal))),
    [
      {
        run: 'inspect --data ./data countersign.signals.v1/0/0',
        shows: 'a record of the signals log, decoded and checked',
      },
      {
        run: 'inspect --data ./data invoices.export/0/0 -o json',
        shows: 'a job: who sealed it, for whom, whether it holds',
      },
      { run: 'inspect ./envelope.bin', shows: 'what an envelope says; needs no log' },
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

  withExamples(
    withRoot(withLog(program.command('export').description('Write the view of a signals log for other programs.')))
      .option('--signals-log <name>', 'which signals log, where there are several', MAIN_LOG)
      .option('--log-id <id>', 'refuse any log but this')
      .option('--epsilon <duration>', 'skew tolerated', '250ms')
      .addOption(
        new Option('--format <format>', 'JSON of the bloom-filters package over target keys, or each floor a line')
          .choices(['bloom-filter', 'floors'])
          .default('bloom-filter'),
      )
      .option('--out <file>', 'default: standard output')
      .action(async (options) => end(await exportView(placed(options), terminal, clock, signal))),
    [
      { run: 'export --data ./data --out ./deny.json', shows: 'a Bloom filter that any program can read' },
      { run: 'export --data ./data --format floors', shows: 'every floor in force, a line each' },
    ],
  )
}
