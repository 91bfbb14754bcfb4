/** The EventLog adapter for one machine: one SQLite file, several processes. */
export { openSqliteLog, type SqliteLogOptions } from './log.ts'
export { assertSafeSqlite } from './safe-version.ts'
