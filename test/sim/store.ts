/**
 * Identity's store in a simulated run: the real SQLite adapter on one file, reached over a network that
 * delays and fails it, and that can be rolled back to an earlier copy as a careless restore would do.
 */
import { copyFileSync, existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Sealer, type SessionStore, SessionStoreError } from '@countersign/session-store'
import { openSqliteStore } from '@countersign/session-store/sqlite'
import type { SimProcess } from './process.ts'
import type { Scheduler } from './scheduler.ts'

const TIMEOUT_MS = 1_000

/** Memory-backed where the machine has it: a run commits hundreds of steps, each with a sync. */
const HOME = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export class SimStore {
  readonly #scheduler: Scheduler
  readonly #folder = mkdtempSync(join(HOME, 'countersign-sim-'))
  readonly #open: SessionStore[] = []
  /** While true no call is answered. */
  down = false

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
  }

  get #path(): string {
    return join(this.#folder, 'store.db')
  }

  /** The store itself, with nothing between: for whoever judges the run. */
  async open(seal?: Sealer): Promise<SessionStore> {
    const store = await openSqliteStore({ path: this.#path, run: 'inline', ...(seal && { seal }) })
    this.#open.push(store)
    return store
  }

  /** The port for one process. Calls of a dead process never return. */
  async connect(process: SimProcess, seal?: Sealer): Promise<SessionStore> {
    const store = await this.open(seal)
    return new Proxy(store, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name)
        if (typeof method !== 'function') return method
        return (...args: unknown[]) => this.#call(process, () => method.apply(target, args))
      },
    })
  }

  /** Keeps a copy to roll back to. */
  copy(): void {
    const file = new DatabaseSync(this.#path)
    rmSync(`${this.#path}.copy`, { force: true })
    file.exec(`VACUUM INTO '${this.#path}.copy'`)
    file.close()
  }

  /** Fault: the store is the kept copy again. @returns false when none was kept. */
  rollback(): boolean {
    if (!existsSync(`${this.#path}.copy`)) return false
    copyFileSync(`${this.#path}.copy`, `${this.#path}.new`)
    for (const suffix of ['-wal', '-shm']) rmSync(this.#path + suffix, { force: true })
    renameSync(`${this.#path}.new`, this.#path)
    return true
  }

  async close(): Promise<void> {
    for (const store of this.#open) await store.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #call(process: SimProcess, act: () => Promise<unknown>): Promise<unknown> {
    const latency = (): number => 0.1 + this.#scheduler.random.unit()
    return new Promise((resolve, reject) => {
      const away = (outcome: 'none' | 'unknown'): void => {
        this.#scheduler.schedule(TIMEOUT_MS, process, () =>
          reject(
            new SessionStoreError({
              code: 'SESSION_STORE_UNAVAILABLE',
              retriable: true,
              publicMessage: 'the session store is away',
              outcome,
            }),
          ),
        )
      }
      if (this.down) return away('none')
      this.#scheduler.schedule(latency(), null, () => {
        if (this.down) return away('unknown')
        act().then(
          (value) => void this.#scheduler.schedule(latency(), process, () => resolve(value)),
          (error) => void this.#scheduler.schedule(latency(), process, () => reject(error)),
        )
      })
    })
  }
}
