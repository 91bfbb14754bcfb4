/** One shift of one worker: what it is told to do, and what befalls it. Sent to the worker's process as JSON. */
import type { Kill } from './points.ts'

export interface Shift {
  /** Of the consumer, in decisions and history; each shift has its own. */
  readonly consumer: string
  readonly group: string
  /** File that history is appended to. */
  readonly history: string
  /** Shape of the consumer, as applications have them. */
  readonly each: 'batch' | 'message'
  readonly concurrency: number
  readonly partitionsAtOnce: number
  /** Of kafkajs; true is its default. */
  readonly autoResolve: boolean
  /** Whose business it is to commit offsets: with `own`, of the application, by what the enforcer tells it. */
  readonly commits: 'kafkajs' | 'own'
  readonly admitAtMost: number
  readonly sessionTimeoutMs: number
  readonly kill: Kill | null
  readonly appends: AppendFaults
  readonly seed: number
}

/** How the log fails this worker; shares of its appends, each in [0, 1]. */
export interface AppendFaults {
  /** Refused: nothing was appended. */
  readonly refused: number
  /** Appended, and the answer is lost. */
  readonly unanswered: number
  /** Fails until the enforcer gives up and the batch goes back. */
  readonly away: number
}

/** From the runs to a worker. */
export type ToWorker = { readonly type: 'work'; readonly shift: Shift } | { readonly type: 'leave' }

/** From a worker: it follows the signals log, it belongs to the group, it has left. */
export type FromWorker = { readonly type: 'ready' } | { readonly type: 'joined' } | { readonly type: 'left' }
