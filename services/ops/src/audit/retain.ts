/** `audit retain`: cuts old rows off the head of the chain, under a signed statement. Shows the plan first. */
import { ed25519Key } from '@countersign/envelope'
import { Archive, ArchiveFile, type CutPlan, cutHead, planCut } from '@countersign/evidence'
import { type Clock, isCountersignError, rfc3339 } from '@countersign/kernel'
import { exampleCatalogue } from '@countersign/schemas'
import { durationOf, readText } from '../connection.ts'
import { wrongArgument } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { print, type Terminal } from '../terminal.ts'
import { type ArchiveOptions, archivePath } from './place.ts'

export interface AuditRetainOptions extends ArchiveOptions {
  keep: string
  keyFile?: string
  keyId: string
  execute?: boolean
}

/** @returns `refused` where the archive is not fit to be cut. */
export function auditRetain(options: AuditRetainOptions, terminal: Terminal, clock: Clock): ExitCode {
  const before = clock.now() - durationOf('--keep', options.keep)
  const path = archivePath(options)
  if (!options.execute) {
    const file = new ArchiveFile({ path, readOnly: true })
    try {
      report(planCut(file, before), before, options, terminal)
    } finally {
      file.close()
    }
    terminal.say('Nothing was done; --execute cuts.')
    return EXIT.ok
  }
  const key = keyOf(options)
  // Appends nothing: it needs neither topics nor schemas.
  const archive = new Archive({ path, catalogue: exampleCatalogue, schemas: exampleCatalogue.schemaIds() })
  try {
    report(cutHead(archive, before, clock.now(), key), before, options, terminal)
    return EXIT.ok
  } catch (error) {
    if (!isCountersignError(error) || error.code !== 'EVIDENCE_RETENTION_REFUSED') throw error
    terminal.say(`countersign: ${error.publicMessage}`)
    return EXIT.refused
  } finally {
    archive.close()
  }
}

const HEAD = ['Rows', 'From', 'To', 'Oldest that stays']

function report(plan: CutPlan, before: number, { output, execute }: AuditRetainOptions, terminal: Terminal): void {
  const { rows, from, to, oldest } = plan
  const stays = oldest === null ? null : rfc3339(oldest)
  const bound = rfc3339(before)
  const cells = rows === 0 ? [] : [[String(rows), String(from), String(to), stays ?? '']]
  print(terminal, output, {
    json: { ...plan, oldest: stays, before: bound, done: execute ?? false },
    head: HEAD,
    rows: cells,
  })
  if (rows === 0) terminal.say(`No row is older than ${bound} and vouched for by a checkpoint.`)
}

function keyOf({ keyFile, keyId }: AuditRetainOptions) {
  if (keyFile === undefined)
    throw wrongArgument("--execute needs --key-file <file>: the archive's signing key, PKCS#8 PEM")
  return ed25519Key(keyId, readText(keyFile))
}
