/** Reads the contracts and their kept history from the folder of this package. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AvroObject, Kept } from '../generate/render.ts'

/** @returns the schemas of `avro/`, by file name. */
export function readCurrent(root: string): AvroObject[] {
  const files = readdirSync(join(root, 'avro'))
    .filter((f) => f.endsWith('.avsc'))
    .sort()
  return files.map((f) => JSON.parse(readFileSync(join(root, 'avro', f), 'utf8')) as AvroObject)
}

/** @returns the versions of `history/<Record>/v<N>.avsc`, by record, oldest first. */
export function readHistory(root: string): Kept[] {
  const kept: Kept[] = []
  for (const name of readdirSync(join(root, 'history')).sort()) {
    for (const file of readdirSync(join(root, 'history', name))) {
      const version = Number(/^v([1-9]\d*)\.avsc$/.exec(file)?.[1])
      kept.push({
        name,
        version,
        schema: JSON.parse(readFileSync(join(root, 'history', name, file), 'utf8')) as AvroObject,
      })
    }
  }
  return kept.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.version - b.version))
}
