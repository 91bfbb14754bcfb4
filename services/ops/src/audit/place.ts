/** From options to an archive, and to those who may sign for it. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ArchiveFile, auditRings, type VerifyOptions } from '@countersign/evidence'
import { rootKeysOf } from '../connection.ts'
import { wrongArgument } from '../errors.ts'
import type { Format } from '../terminal.ts'

/** Options every command has that reads an archive. */
export interface ArchiveOptions {
  archive?: string
  data?: string
  output: Format
}

export interface SignerOptions extends ArchiveOptions {
  auditKey?: string[]
  rootKey?: string[]
  rootKeyFile?: string[]
}

/** @throws {OPS_ARGUMENT_INVALID} when no file is named, or there is none. */
export function archivePath({ archive, data }: ArchiveOptions): string {
  if (archive === undefined && data === undefined)
    throw wrongArgument('name the archive: --archive <file>, or --data <dir> with archive.db in it')
  const path = resolve(archive ?? join(data as string, 'archive.db'))
  if (!existsSync(path)) throw wrongArgument(`there is no archive at ${path}: services/audit makes it`)
  return path
}

export function openArchive(options: ArchiveOptions): ArchiveFile {
  return new ArchiveFile({ path: archivePath(options), readOnly: true })
}

/**
 * Whose statements count: given keys of the signer, and those that bundles in the archive grant under a root key.
 * @throws {OPS_ARGUMENT_INVALID} when that is nobody.
 */
export function signersOf(file: ArchiveFile, options: SignerOptions): Pick<VerifyOptions, 'auditKeys' | 'rings'> {
  const auditKeys = (options.auditKey ?? []).map((text) => {
    const key = Buffer.from(text.trim(), 'base64')
    if (key.length === 32) return key
    throw wrongArgument('--audit-key is a raw Ed25519 public key, 32 bytes in base64')
  })
  const rootKeys = rootKeysOf(options)
  const rings = rootKeys.length === 0 ? [] : auditRings(file, rootKeys)
  if (auditKeys.length + rings.length > 0) return { auditKeys, rings }
  const why = rootKeys.length === 0 ? 'nobody vouches for its signer' : 'no bundle in it grants a key the use audit'
  throw wrongArgument(`${why}: give --root-key or --root-key-file, or the signer's own --audit-key`)
}
