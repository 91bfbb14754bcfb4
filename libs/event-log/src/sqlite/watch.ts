/** Notices what other connections, in this process or another, have committed. Runs in the worker thread only. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Changed } from './protocol.ts'

export class Watch {
  readonly #version: StatementSync
  readonly #partitions: StatementSync
  readonly #groups: StatementSync
  #seenVersion = -1
  #seenPartitions = new Map<number, number>()
  #seenGroups = new Map<string, number>()

  constructor(db: DatabaseSync) {
    // Moves with every commit of another connection; costs about 2 µs (ADR 0021).
    this.#version = db.prepare('PRAGMA data_version')
    this.#partitions = db.prepare('SELECT id AS name, next + first AS mark FROM partition')
    this.#groups = db.prepare('SELECT name, generation AS mark FROM job_group')
  }

  /**
   * What has changed since the last call.
   * @param own this connection has written too, which the version does not show.
   */
  changed(own: boolean): Changed['changed'] {
    const version = this.#version.get()!.data_version as number
    if (!own && version === this.#seenVersion) return { partitions: [], groups: [] }
    this.#seenVersion = version
    return {
      partitions: moved(this.#partitions, this.#seenPartitions),
      groups: moved(this.#groups, this.#seenGroups),
    }
  }
}

function moved<K extends string | number>(statement: StatementSync, seen: Map<K, number>): K[] {
  const names: K[] = []
  for (const row of statement.iterate() as Iterable<{ name: K; mark: number }>) {
    if (seen.get(row.name) === row.mark) continue
    seen.set(row.name, row.mark)
    names.push(row.name)
  }
  return names
}
