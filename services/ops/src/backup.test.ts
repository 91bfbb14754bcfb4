/** Copies are for their owner alone, and nothing that lies about leads one elsewhere. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { systemClock } from '@countersign/kernel'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkBackup, makeBackup } from './backup.ts'
import type { Terminal } from './terminal.ts'

const terminal: Terminal = { out: () => {}, say: () => {} }
let folder: string
let to: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'countersign-backup-'))
  to = join(folder, 'backup')
  const db = new DatabaseSync(join(folder, 'identity.db'))
  db.exec('CREATE TABLE secrets (secret TEXT); INSERT INTO secrets VALUES (1)')
  db.close()
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const make = () => makeBackup([join(folder, 'identity.db')], { to, output: 'json' }, terminal, systemClock)
const check = () => checkBackup(to, { output: 'json' }, terminal)
const mode = (name: string) => statSync(join(to, name)).mode & 0o777

test('nobody else reads a copy, whoever may look into its folder', async () => {
  mkdirSync(to)
  chmodSync(to, 0o755)
  expect(await make()).toBe(0)
  expect([mode('identity.db'), mode('backup.json')]).toEqual([0o600, 0o600])
  expect(await check()).toBe(0)
})

test('does not write through a link that was put where the copy goes', async () => {
  mkdirSync(to)
  const victim = join(folder, 'victim')
  writeFileSync(victim, 'precious')
  for (const name of ['identity.db', 'backup.json.part']) {
    symlinkSync(victim, join(to, name))
    await expect(make()).rejects.toMatchObject({ code: 'OPS_ARGUMENT_INVALID' })
    expect(readFileSync(victim, 'utf8')).toBe('precious')
    rmSync(join(to, name))
  }
  expect(await make()).toBe(0)
})

test.each(['..', '.', '', 'a/../../b', 7])('a list that names %j is no backup', async (name) => {
  await make()
  const list = JSON.parse(readFileSync(join(to, 'backup.json'), 'utf8'))
  list.files[0].name = name
  writeFileSync(join(to, 'backup.json'), JSON.stringify(list))
  await expect(check()).rejects.toMatchObject({ code: 'OPS_ARGUMENT_INVALID' })
})

test('says of a file that is none of SQLite that it is none, and leaves no copy of it', async () => {
  const other = join(folder, 'notes.txt')
  writeFileSync(other, 'not a database')
  for (const file of [other, folder]) {
    const made = makeBackup([file], { to, output: 'json' }, terminal, systemClock)
    await expect(made).rejects.toMatchObject({
      code: 'OPS_ARGUMENT_INVALID',
      publicMessage: expect.stringContaining(file),
    })
  }
  expect(readdirSync(to)).toEqual([])
})
