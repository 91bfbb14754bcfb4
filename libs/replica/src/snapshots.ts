/** Where snapshots are kept between runs, as a port, and the file adapter. */
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MAIN_LOG } from '@countersign/schemas'

/** Keeps one snapshot. Losing it costs time at the next start, nothing else. */
export interface SnapshotStore {
  /** @returns the last one saved whole, null for none. */
  load(): Promise<Buffer | null>
  /**
   * Replaces the kept one, all or nothing.
   * @param chunks its bytes in order; not put together, since a snapshot may be as large as the view.
   */
  save(chunks: readonly Uint8Array[]): Promise<void>
}

/** A store of one file: written beside it, synced, then renamed over it. */
export function fileSnapshots(path: string): SnapshotStore {
  return {
    async load() {
      try {
        // Into one buffer of its size, as large as the view: there is no second one beside it.
        return await readFile(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
        throw error
      }
    },
    async save(chunks) {
      await mkdir(dirname(path), { recursive: true })
      const beside = `${path}.new`
      const file = await open(beside, 'w', 0o600)
      try {
        await file.writeFile(chunks)
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
