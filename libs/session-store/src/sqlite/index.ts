/** The SQLite adapter: one file, several processes, off the event loop. */
import type { Sealer, SessionStore } from '../port.ts'
import { isReading, storeOver } from '../steps/index.ts'
import { Connection, InlineLink, ThreadLink } from './connection.ts'

export interface SqliteStoreOptions {
  /** File, created where missing; its folder must exist. */
  readonly path: string
  /** Encodes and signs each signal. Without it no step can raise anything: for readers and the notary. */
  readonly seal?: Sealer
  /**
   * `thread` keeps the file off the event loop. `inline` works on the caller's thread, for one-process tools and
   * deterministic runs; there the path may be `:memory:`.
   * @defaultValue `thread`
   */
  readonly run?: 'thread' | 'inline'
}

/**
 * Opens the store. Writes of one moment share a transaction, synced before any of them is answered.
 * @throws {SESSION_STORE_ENGINE_UNSAFE} for a SQLite before 3.51.3.
 * @throws {SESSION_STORE_SCHEMA_UNKNOWN} for a file or record another version wrote in another layout.
 * @throws {SESSION_STORE_UNAVAILABLE} when the file cannot be opened.
 */
export async function openSqliteStore({ path, seal, run = 'thread' }: SqliteStoreOptions): Promise<SessionStore> {
  const connection = new Connection(run === 'thread' ? new ThreadLink(path) : new InlineLink(path), seal)
  const store = storeOver(
    (method, args) => (isReading(method) ? connection.read(method, args) : connection.write(method, args)),
    () => connection.close(),
  )
  try {
    await store.highestSeq()
  } catch (error) {
    await store.close()
    throw error
  }
  return store
}
