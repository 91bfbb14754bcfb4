/**
 * Preloaded with `--import`: runs the code that ships with some places edited, as the next version of it or with a
 * planted flaw. An edit whose place is not there exactly once is an error, so that none goes stale in silence.
 */
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export interface SourceEdit {
  /** From the root of the repository. */
  readonly file: string
  readonly find: string
  readonly replace: string
}

const VARIABLE = 'TEST_SOURCE_EDITS'

/** @returns the environment of a process that runs with these edits. */
export function editedBy(edits: readonly SourceEdit[]): Record<string, string> {
  return { NODE_OPTIONS: `--import=${fileURLToPath(import.meta.url)}`, [VARIABLE]: JSON.stringify(edits) }
}

const edits = JSON.parse(process.env[VARIABLE] ?? '[]') as SourceEdit[]
const urlOf = ({ file }: SourceEdit): string => pathToFileURL(join(import.meta.dirname, '../..', file)).href

if (edits.length > 0) {
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      const here = edits.filter((edit) => urlOf(edit) === url)
      if (here.length === 0 || !loaded.source) return loaded
      return { ...loaded, source: here.reduce(edited, String(loaded.source)) }
    },
  })
}

function edited(source: string, { file, find, replace }: SourceEdit): string {
  const parts = source.split(find)
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} places that read: ${find}`)
  return parts.join(replace)
}
