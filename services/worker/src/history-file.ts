/** The history on disk: one JSON object a line, each written before the thing it tells of goes on. */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { HistorySink } from '@countersign/enforcer'

/** Appends to `path`, so that the lives of one instance stand below each other. */
export function historyFile(path: string): HistorySink & { close(): void } {
  const file = openSync(path, 'a')
  return {
    record: (event) => void writeSync(file, `${JSON.stringify(event)}\n`),
    close: () => closeSync(file),
  }
}
