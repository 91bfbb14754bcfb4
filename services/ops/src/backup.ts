/** Copies of the embedded files, taken while they are used, and proof that a copy is whole. */
import { createHash } from 'node:crypto'
import {
  chmodSync,
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import type { Clock } from '@countersign/kernel'
import { wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { type Format, print, type Terminal } from './terminal.ts'

const LIST = 'backup.json'

interface List {
  /** When the first copy began; what was ended after that may be missing. RFC 3339. */
  readonly began: string
  readonly files: { readonly name: string; readonly from: string; readonly bytes: number; readonly sha256: string }[]
}

/**
 * Copies each file as it stands at one moment, in the order given: what a later one refers to an earlier one has not got yet,
 * never the other way round, if the log comes last.
 */
export async function makeBackup(
  files: readonly string[],
  { to, output }: { readonly to: string; readonly output: Format },
  terminal: Terminal,
  clock: Clock,
): Promise<ExitCode> {
  const names = files.map((file) => basename(file))
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw wrongArgument(`two files are called ${twice}: back them up into two folders`)
  const missing = files.find((file) => !existsSync(file))
  if (missing !== undefined) throw wrongArgument(`${missing} does not exist: name files of SQLite, such as data/log.db`)
  if (existsSync(join(to, LIST))) throw wrongArgument(`${to} holds a backup: name a folder that has none`)
  mkdirSync(to, { recursive: true, mode: 0o700 })
  const link = [...names, `${LIST}.part`].find((name) =>
    lstatSync(join(to, name), { throwIfNoEntry: false })?.isSymbolicLink(),
  )
  if (link !== undefined) throw wrongArgument(`${join(to, link)} is a link to somewhere else: name another folder`)
  const list: List = { began: new Date(clock.now()).toISOString(), files: [] }
  for (const file of files) {
    terminal.say(`copying ${file}`)
    const name = basename(file)
    try {
      await copy(file, join(to, name))
    } catch (error) {
      rmSync(join(to, name), { force: true })
      throw wrongArgument(`${file} cannot be copied as a file of SQLite: ${(error as Error).message}`)
    }
    list.files.push({ name, from: file, ...(await measured(join(to, name))) })
  }
  // Last, and whole or not at all: a folder without it is no backup.
  writeFileSync(join(to, `${LIST}.part`), `${JSON.stringify(list, null, 2)}\n`, { mode: 0o600 })
  renameSync(join(to, `${LIST}.part`), join(to, LIST))
  show(terminal, output, list, 'ok')
  return EXIT.ok
}

/** Reads a backup through: sizes, sums, and what SQLite says of each file. */
export async function checkBackup(
  folder: string,
  { output }: { readonly output: Format },
  terminal: Terminal,
): Promise<ExitCode> {
  const list = readList(folder)
  const faults: string[] = []
  for (const { name, bytes, sha256 } of list.files) {
    const path = join(folder, name)
    const found = existsSync(path) ? await measured(path) : null
    if (found === null) faults.push(`${name}: is missing`)
    else if (found.bytes !== bytes || found.sha256 !== sha256) faults.push(`${name}: is not what was written`)
    else if (!isWhole(path)) faults.push(`${name}: SQLite finds it damaged`)
  }
  for (const fault of faults) terminal.say(fault)
  show(terminal, output, list, faults.length === 0 ? 'ok' : 'damaged')
  return faults.length === 0 ? EXIT.ok : EXIT.differs
}

async function copy(from: string, to: string): Promise<void> {
  const source = new DatabaseSync(from, { readOnly: true, timeout: 5_000 })
  // For its owner alone before anything is in it: it holds what only that process may know.
  writeFileSync(to, '', { mode: 0o600 })
  chmodSync(to, 0o600)
  try {
    await backup(source, to)
  } finally {
    source.close()
  }
  // A copy is one file, and looking at it must not make others beside it. Who opens it to write makes it a WAL again.
  const copied = new DatabaseSync(to)
  copied.exec('PRAGMA journal_mode = DELETE')
  copied.close()
  if (!isWhole(to)) throw wrongArgument(`${from}: SQLite finds it damaged`)
}

function isWhole(path: string): boolean {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    const { integrity_check: said } = db.prepare('PRAGMA integrity_check').get() as { integrity_check: string }
    return said === 'ok'
  } catch {
    return false
  } finally {
    db.close()
  }
}

async function measured(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  for await (const part of createReadStream(path)) hash.update(part as Buffer)
  return { bytes: statSync(path).size, sha256: hash.digest('hex') }
}

function readList(folder: string): List {
  try {
    const list = JSON.parse(readFileSync(join(folder, LIST), 'utf8')) as List
    // Names lead nowhere else.
    const isName = (name: unknown): boolean =>
      typeof name === 'string' && /^[^/\\]+$/.test(name) && !/^\.\.?$/.test(name)
    if (list.files.length > 0 && list.files.every(({ name }) => isName(name))) return list
  } catch {
    // Said below.
  }
  throw wrongArgument(`${folder} holds no backup: name a folder that "backup make" filled`)
}

function show(terminal: Terminal, output: Format, list: List, state: 'ok' | 'damaged'): void {
  print(terminal, output, {
    json: { state, ...list },
    head: ['file', 'bytes', 'sha256'],
    rows: list.files.map(({ name, bytes, sha256 }) => [name, String(bytes), sha256]),
  })
}
