/** Where snapshots are kept between runs, as a port, and the file adapter. */
import { createReadStream } from 'node:fs'
import { mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MAIN_LOG } from '@countersign/schemas'

/** Keeps one snapshot. Losing it costs time at the next start, nothing else. */
export interface SnapshotStore {
  /** @returns the last one saved whole, null for none. */
  load(): Promise<Buffer | null>
  /** Replaces the kept one, all or nothing. */
  save(bytes: Uint8Array): Promise<void>
}

/** A store of one file: written beside it, synced, then renamed over it. */
export function fileSnapshots(path: string): SnapshotStore {
  return {
    async load() {
      const chunks: Buffer[] = []
      try {
        for await (const chunk of createReadStream(path)) chunks.push(chunk as Buffer)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
        throw error
      }
      return Buffer.concat(chunks)
    },
    async save(bytes) {
      await mkdir(dirname(path), { recursive: true })
      const beside = `${path}.new`
      const file = await open(beside, 'w', 0o600)
      try {
        await file.writeFile(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(beside, path)
    },
  }
}

/** One file for each signals log: `path` for `main`, and beside it `path.<name>` for each other. */
export function fileSnapshotsByLog(path: string): (log: string) => SnapshotStore {
  return (log) => fileSnapshots(log === MAIN_LOG ? path : `${path}.${log}`)
}
