/** `keys list | compromise`. */
import type { Command } from 'commander'
import { asGroup, type CommandContext, withExamples, withIdentity } from '../command.ts'
import { compromiseKey, listKeys } from '../keys.ts'

export function keysCommands(program: Command, { env, terminal, clock, end }: CommandContext): void {
  const keys = asGroup(program.command('keys')).description(
    'The keys that sign for others: of the trust bundles, and of tokens.',
  )

  withExamples(
    withIdentity(keys.command('list').description('List every key, and what it may sign.'), env).action(
      async (options) => end(await listKeys(options, env, terminal)),
    ),
    [{ run: 'keys list', shows: 'each key by the name "keys compromise" takes' }],
  )

  withExamples(
    withIdentity(
      keys
        .command('compromise')
        .description(
          'Give a key up: ends all it has signed, queued and running, and takes it out of the bundles for good.',
        ),
      env,
    )
      .argument('<key>', 'its id, as "keys list" prints it')
      .option('--request-id <uuid>', 'ask again for one whose outcome is unknown')
      .option('--execute', 'act; without it what would be ended is shown')
      .action(async (key, options) => end(await compromiseKey(key, options, env, terminal, clock))),
    [
      { run: 'keys compromise gateway', shows: 'what it may sign, and so what would be ended' },
      { run: 'keys compromise gateway --execute', shows: 'given up; there is no way back' },
    ],
  )
}
