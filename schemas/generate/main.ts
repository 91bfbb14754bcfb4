/**
 * Writes `src/generated/*.ts`. `--check` writes nothing and exits 1 when what is committed differs
 * from what would be written.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readCurrent, readHistory } from '../compat/read.ts'
import { render } from './render.ts'

const root = join(import.meta.dirname, '..')
let stale = false
for (const [file, text] of Object.entries(render(readCurrent(root), readHistory(root)))) {
  const path = join(root, 'src/generated', file)
  if (!process.argv.includes('--check')) writeFileSync(path, text)
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`schemas/src/generated/${file} is not what schemas/avro gives: run npm run generate`)
    stale = true
  }
}
process.exitCode = stale ? 1 : 0
