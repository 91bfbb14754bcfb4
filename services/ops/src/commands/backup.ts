/** `backup make` and `backup check`. */
import type { Command } from 'commander'
import { checkBackup, makeBackup } from '../backup.ts'
import { asGroup, type CommandContext, outputOption, withExamples } from '../command.ts'

export function backupCommands(program: Command, { terminal, clock, end }: CommandContext): void {
  const backup = asGroup(program.command('backup').description('Copy the embedded files while they are in use.'))
  withExamples(
    backup
      .command('make')
      .description('Copy files of SQLite in the order given: the store, the archive, and the log last.')
      .argument('<file...>', 'files, such as data/identity.db data/archive.db data/log.db')
      .requiredOption('--to <folder>', 'folder for the copies; made where missing, private')
      .addOption(outputOption())
      .action(async (files, options) => end(await makeBackup(files, options, terminal, clock))),
    [
      {
        run: 'backup make ./data/archive.db ./data/log.db --to ./backup',
        shows: 'copies of archive and log, and their sums',
      },
    ],
  )
  withExamples(
    backup
      .command('check')
      .description('Read a backup through: is every file there, whole, and what was written?')
      .argument('<folder>', 'folder that "backup make" filled')
      .addOption(outputOption())
      .action(async (folder, options) => end(await checkBackup(folder, options, terminal))),
    [{ run: 'backup check ./backup', shows: 'whether it is whole' }],
  )
}
