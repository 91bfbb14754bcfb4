/** Checks contracts and kept history; prints what is wrong; exits 1 if anything is. */
import { join } from 'node:path'
import { schemaEntries } from '../src/schema-ids.ts'
import { checkContracts } from './compatibility.ts'
import { readCurrent, readHistory } from './read.ts'

const root = join(import.meta.dirname, '..')
const kept = readHistory(root)
const problems = checkContracts(readCurrent(root), kept)
for (const { where, what } of problems) console.error(`${where}: ${what}`)
if (problems.length === 0) {
  console.log(
    `${kept.length} versions of ${new Set(kept.map((k) => k.name)).size} records read each other, ${schemaEntries.length} ids`,
  )
}
process.exitCode = problems.length === 0 ? 0 : 1
