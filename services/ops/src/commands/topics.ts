/** `topics plan | apply | drift`. */
import type { Command } from 'commander'
import { asGroup, type CommandContext, withExamples, withLog, withWindow } from '../command.ts'
import { applyTopics, driftTopics } from '../topics.ts'

export function topicsCommands(program: Command, { env, terminal, end, placed }: CommandContext): void {
  const topics = asGroup(program.command('topics')).description(
    'Compare topics and schemas with the catalogue, and create what is missing.',
  )
  withExamples(
    topic('plan', 'Show what "apply" would create.').action(async (options) =>
      end(await applyTopics({ ...placed(options), execute: false }, terminal)),
    ),
    [{ run: 'topics plan --data ./data', shows: 'what "apply" would create' }],
  )
  withExamples(
    topic('apply', 'Create missing topics and register missing schemas; alters nothing that exists.')
      .option('--execute', 'act; without it the plan is shown')
      .action(async (options) => end(await applyTopics(placed(options), terminal))),
    [{ run: 'topics apply --data ./data --execute', shows: 'create what is missing' }],
  )
  withExamples(
    topic('drift', 'Show every way in which topics are not as the catalogue asks.').action(async (options) =>
      end(await driftTopics(placed(options), terminal)),
    ),
    [{ run: 'topics drift --data ./data -o json', shows: 'for programs' }],
  )

  function topic(name: string, description: string): Command {
    return withWindow(withLog(topics.command(name).description(description)), env)
      .option('--replication-factor <n>', 'copies of each partition; default 3, or as many as there are brokers')
      .option('--min-in-sync <n>', 'copies an append waits for; default 2 of 3')
  }
}
