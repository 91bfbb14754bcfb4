/**
 * Writes `libs/policy/presets/*.md`. `--check` writes nothing and exits 1 when what is committed differs from what would
 * be written.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { presetPages } from './preset-pages.ts'

const folder = join(import.meta.dirname, '../../libs/policy/presets')
mkdirSync(folder, { recursive: true })
for (const [file, text] of Object.entries(presetPages())) {
  const path = join(folder, file)
  if (!process.argv.includes('--check')) writeFileSync(path, text)
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`libs/policy/presets/${file} is not what the presets give: run npm run generate`)
    process.exitCode = 1
  }
}
