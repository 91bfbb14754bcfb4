/** `audit`: the archive of decisions, journey and signals. */
import { type Command, Option } from 'commander'
import { auditExport } from '../audit/export.ts'
import { auditRetain } from '../audit/retain.ts'
import { auditStatus } from '../audit/status.ts'
import { auditVerify } from '../audit/verify.ts'
import { asGroup, type CommandContext, collect, outputOption, withExamples, withRoot } from '../command.ts'

export function auditCommands(program: Command, { env, terminal, clock, signal, end }: CommandContext): void {
  const audit = asGroup(
    program.command('audit').description('Verify, export and cut the archive that services/audit keeps.'),
  )

  withExamples(
    withRoot(withArchive(audit.command('verify').description('Name every row that was deleted, altered or exchanged.')))
      .option(
        '--audit-key <base64>',
        "the signer's raw public key, where no root vouches for it; may be repeated",
        collect,
      )
      .option('--anchor <file>', 'a checkpoint kept elsewhere; may be repeated', collect)
      .addOption(outputOption())
      .action((options) => end(auditVerify(placed(options), terminal, clock))),
    [{ run: 'audit verify --data ./data', shows: 'whether anybody touched the archive, and which rows' }],
  )

  withExamples(
    withArchive(audit.command('status').description('Say what the archive holds, and its last checkpoint.'))
      .addOption(outputOption())
      .action((options) => end(auditStatus(placed(options), terminal))),
    [
      { run: 'audit status --data ./data', shows: 'what it holds, and up to when it is complete' },
      {
        run: 'audit status --data ./data -o json',
        shows: 'the signed checkpoint too: keep it elsewhere, as an --anchor',
      },
    ],
  )

  withExamples(
    withArchive(audit.command('export').description('Write rows as JSON Lines or CSV: ids and hashes, no payloads.'))
      .addOption(new Option('--format <format>', 'how').choices(['jsonl', 'csv']).default('jsonl'))
      .option('--from <time>', 'start, -<duration> or an RFC 3339 time', 'start')
      .option('--to <time>', 'end, -<duration> or an RFC 3339 time', 'end')
      .option('--only <roles>', 'only these: journey, decisions, jobs, park, dead, signals, progress')
      .option('--raw', 'also the bytes each hash is made of, so that others can verify')
      .action(async (options) => end(await auditExport(placed(options), terminal, clock, signal))),
    [
      {
        run: 'audit export --data ./data --only journey,decisions --from -1d',
        shows: 'the last day, one JSON object a line',
      },
      { run: 'audit export --data ./data --format csv --only decisions', shows: 'every decision, for a spreadsheet' },
    ],
  )

  withExamples(
    withArchive(audit.command('retain').description('Cut old rows off, under a signed statement.'))
      .requiredOption('--keep <duration>', 'how long rows are kept, such as 400d')
      .option('--key-file <file>', "the archive's signing key, PKCS#8 PEM")
      .option('--key-id <id>', 'its id in the trust bundle', 'audit')
      .option('--execute', 'cut; without it the plan is shown')
      .addOption(outputOption())
      .action((options) => end(auditRetain(placed(options), terminal, clock))),
    [{ run: 'audit retain --data ./data --keep 400d', shows: 'how many rows would go' }],
  )

  function placed<O extends { archive?: string; data?: string }>(options: O): O {
    const { COUNTERSIGN_ARCHIVE_PATH: archive, COUNTERSIGN_DATA: data } = env
    if (options.archive !== undefined || options.data !== undefined) return options
    return { ...options, ...(archive !== undefined && { archive }), ...(data !== undefined && { data }) }
  }

  function withArchive(command: Command): Command {
    return command
      .option('--archive <file>', 'the archive (env: COUNTERSIGN_ARCHIVE_PATH)')
      .option('--data <dir>', 'folder that holds it as archive.db (env: COUNTERSIGN_DATA)')
  }
}
