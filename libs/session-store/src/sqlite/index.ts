/** The SQLite adapter: one file, several processes, off the event loop. */
import type { Sealer, SessionStore } from '../port.ts'
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

type Method<K extends keyof SessionStore> = SessionStore[K]

/**
 * Opens the store. Writes of one moment share a transaction, synced before any of them is answered.
 * @throws {SESSION_STORE_ENGINE_UNSAFE} for a SQLite before 3.51.3.
 * @throws {SESSION_STORE_SCHEMA_UNKNOWN} for a file a newer version wrote.
 * @throws {SESSION_STORE_UNAVAILABLE} when the file cannot be opened.
 */
export async function openSqliteStore({ path, seal, run = 'thread' }: SqliteStoreOptions): Promise<SessionStore> {
  const connection = new Connection(run === 'thread' ? new ThreadLink(path) : new InlineLink(path), seal)
  const read = <K extends keyof SessionStore>(method: K): Method<K> =>
    ((...args: unknown[]) => connection.read(method, args)) as Method<K>
  const write = <K extends keyof SessionStore>(method: K): Method<K> =>
    ((...args: unknown[]) => connection.write(method, args)) as Method<K>
  const store: SessionStore = {
    account: read('account'),
    accountByEmail: read('accountByEmail'),
    affiliation: read('affiliation'),
    affiliationsOf: read('affiliationsOf'),
    resetCodeOwner: read('resetCodeOwner'),
    secret: read('secret'),
    tenants: read('tenants'),
    resolveSession: read('resolveSession'),
    session: read('session'),
    target: read('target'),
    revocation: read('revocation'),
    logName: read('logName'),
    highestSeq: read('highestSeq'),
    pendingRows: read('pendingRows'),
    acknowledgedRows: read('acknowledgedRows'),
    keptRows: read('keptRows'),
    acknowledgedPosition: read('acknowledgedPosition'),
    bundle: read('bundle'),
    createAccount: write('createAccount'),
    createAffiliation: write('createAffiliation'),
    restoreAccount: write('restoreAccount'),
    restoreAffiliation: write('restoreAffiliation'),
    putResetCode: write('putResetCode'),
    createSession: write('createSession'),
    touchSession: write('touchSession'),
    expiredSessions: write('expiredSessions'),
    end: write('end'),
    putSecret: write('putSecret'),
    admitAttempt: write('admitAttempt'),
    settleAttempt: write('settleAttempt'),
    adopt: write('adopt'),
    nameLog: write('nameLog'),
    acknowledge: write('acknowledge'),
    repend: write('repend'),
    dropRows: write('dropRows'),
    putBundle: write('putBundle'),
    close: () => connection.close(),
  }
  try {
    await store.highestSeq()
  } catch (error) {
    await store.close()
    throw error
  }
  return store
}
