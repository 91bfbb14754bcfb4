/** The load generator as its parent sees it. */

import { WorkerProcess } from '../worker-process.ts'
import type { Endpoint } from './subject.ts'

export interface LoadTask {
  readonly kind: 'refresh' | 'introspection'
  readonly endpoint: Endpoint
  readonly concurrency: number
  readonly ms: number
  /** Refresh tokens or access tokens, with whose they are; shared out among the workers. */
  readonly tokens: readonly { readonly sub: string; readonly value: string }[]
}

export interface LoadResult {
  readonly perSecond: number
  readonly answers: number
  readonly p50Us: number
  readonly p99Us: number
  /** As given, where they stand now. */
  readonly tokens: readonly { readonly sub: string; readonly value: string }[]
}

export class Load {
  readonly #child = new WorkerProcess('./identity/load.ts')

  /** @throws when an answer was not what it must be. */
  run(task: LoadTask): Promise<LoadResult> {
    return this.#child.ask<LoadResult>(task)
  }

  stop(): Promise<void> {
    return this.#child.stop()
  }
}
