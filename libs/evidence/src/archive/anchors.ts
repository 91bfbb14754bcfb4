/** Checkpoints kept elsewhere: a copy nobody who can write the archive can take back. */
import type { ArchiveFile } from './file.ts'
import { readStatement, type SignedStatement, type Statement } from './statements.ts'

/** A signed statement as JSON; base64. */
export interface AnchorText {
  readonly statement: Statement
  readonly body: string
  readonly signature: string
}

/** The last checkpoint; null before any. */
export function anchorOf(file: ArchiveFile): AnchorText | null {
  const sql = `SELECT body, signature FROM statement WHERE kind = 'checkpoint' ORDER BY n DESC LIMIT 1`
  const signed = file.get<SignedStatement>(sql)
  const statement = signed && readStatement(signed.body)
  if (!signed || !statement) return null
  return { statement, body: base64(signed.body), signature: base64(signed.signature) }
}

/** @returns null for what is no anchor. Whether it holds is for `verifyArchive` to say. */
export function readAnchor(json: string): SignedStatement | null {
  try {
    const { body, signature } = JSON.parse(json)
    if (typeof body !== 'string' || typeof signature !== 'string') return null
    return { body: Buffer.from(body, 'base64'), signature: Buffer.from(signature, 'base64') }
  } catch {
    return null
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
