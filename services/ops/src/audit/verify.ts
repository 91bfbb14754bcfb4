/** `audit verify`: names every row somebody touched. Reads the file alone; no log, no network. */
import { readAnchor, type SignedStatement, tell, verifyArchive } from '@countersign/evidence'
import type { Clock } from '@countersign/kernel'
import { readText } from '../connection.ts'
import { wrongArgument } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { progress } from '../progress.ts'
import { oneLine, print, type Terminal } from '../terminal.ts'
import { openArchive, type SignerOptions, signersOf } from './place.ts'

export interface AuditVerifyOptions extends SignerOptions {
  anchor?: string[]
}

/** @returns `differs` when something was found. */
export function auditVerify(options: AuditVerifyOptions, terminal: Terminal, clock: Clock): ExitCode {
  const anchors = (options.anchor ?? []).map(anchorOf)
  const file = openArchive(options)
  try {
    const signers = signersOf(file, options)
    const { last, first } = file.ends()
    const bar = progress(terminal, clock, { work: 'verifying', total: last === 0 ? 0 : last - first + 1, unit: 'rows' })
    const onProgress = (done: number): void => bar.at(done)
    const result = verifyArchive(file, { ...signers, anchors, onProgress })
    bar.end()
    if (options.output === 'json') print(terminal, 'json', { json: result, head: [], rows: [] })
    else for (const finding of result.findings) terminal.out(oneLine(tell(finding)))
    const { ok, rows, vouchedTo, more, gaps } = result
    if (more > 0) terminal.say(`And ${more} more.`)
    if (gaps > 0)
      terminal.say(`${gaps} times records were gone from the log before they were archived; the notes in it say which.`)
    if (last > vouchedTo) terminal.say(`No checkpoint vouches for the last ${last - vouchedTo} rows yet.`)
    terminal.say(
      ok
        ? `${rows} rows, ${first} to ${last}: nobody touched them.`
        : `${result.findings.length + more} findings in ${rows} rows.`,
    )
    return ok ? EXIT.ok : EXIT.differs
  } finally {
    file.close()
  }
}

function anchorOf(path: string): SignedStatement {
  const found = readAnchor(readText(path))
  if (found) return found
  throw wrongArgument(`${path} is no checkpoint: keep what GET /v1/archive/checkpoint or "audit status -o json" says`)
}
