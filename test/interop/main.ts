/** Writes `schemas/vectors`; with `--check` compares instead, and exits 1 when they differ. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { vectorFiles } from './vectors.ts'

const folder = join(import.meta.dirname, '../../schemas/vectors')
for (const [name, text] of vectorFiles()) {
  if (!process.argv.includes('--check')) writeFileSync(join(folder, name), text)
  else if (readFileSync(join(folder, name), 'utf8') !== text) {
    console.error(`schemas/vectors/${name} is not what test/interop/main.ts writes`)
    process.exitCode = 1
  }
}
