/** `revoke`, `revocation` and `receipt`. */
import type { Command } from 'commander'
import { type CommandContext, withExamples, withIdentity, withLog, withRoot } from '../command.ts'
import { receipt } from '../receipt.ts'
import { revocation, revoke } from '../revoke.ts'

export function revocationCommands(program: Command, context: CommandContext): void {
  const { env, terminal, clock, signal, end, placed } = context
  withExamples(
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
      .action(async (target, options) => end(await revoke(target, options, env, terminal, clock))),
    [
      { run: 'revoke session:ses_2c26b4 --reason compromise', shows: 'what would be asked' },
      {
        run: 'revoke session:ses_2c26b4 --reason compromise --request-id 23225364-f6ab-41d0-8846-7a04fafb759c --execute',
        shows: 'asked',
      },
      { run: 'revoke affiliation:acme/usr_9f86 --scope invoices.pay --execute', shows: 'one scope, nothing else' },
    ],
  )

  withExamples(
    withIdentity(program.command('revocation').description('Ask what became of a revocation.'), env)
      .argument('<id>', 'the id "revoke" printed')
      .action(async (id, options) => end(await revocation(id, options, env, terminal))),
    [{ run: 'revocation 23225364-f6ab-41d0-8846-7a04fafb759c', shows: 'which of the four answers it is' }],
  )

  withExamples(
    withRoot(
      withLog(
        program
          .command('receipt')
          .description('Tell which consumers applied a revocation and when, and until when the others could act.'),
      ),
    )
      .argument('<id>', 'the id "revoke" printed')
      .option('--timeout <duration>', 'how long to wait until it closes', '60s')
      .option('--now', 'as it stands, without waiting')
      .action(async (id, options) => end(await receipt(id, placed(options), terminal, clock, signal))),
    [
      {
        run: 'receipt --data ./data 23225364-f6ab-41d0-8846-7a04fafb759c',
        shows: 'wait until nobody can act without it any more; the last line is for the file',
      },
      {
        run: 'receipt --data ./data 23225364-f6ab-41d0-8846-7a04fafb759c --now -o json',
        shows: 'the same as it stands, for programs; code 4 while it is open',
      },
    ],
  )
}
