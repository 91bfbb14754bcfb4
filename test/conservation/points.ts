/**
 * The steps between fetching work and committing its offset, at each of which a worker can be killed. The enforcer
 * knows nothing of them: they lie in the ports it is given.
 */

export const KILL_POINTS = [
  'fetched',
  'before the copy',
  'after the copy',
  'before the admission',
  'after the admission',
  'handler called',
  'handler halfway',
  'effect committed',
  'handler ended',
  'before the final record',
  'after the final record',
  'before the offset is resolved',
  'after the offset is resolved',
  'before the commit',
  'after the commit',
  'batch returned',
] as const
export type KillPoint = (typeof KILL_POINTS)[number]

/** Kill at the `nth` time that the point is passed, from 1. */
export interface Kill {
  readonly point: KillPoint
  readonly nth: number
}

/** Counts what is passed, and kills this process when it is time: by SIGKILL, so that nothing is tidied up. */
export class KillSwitch {
  #kill: Kill | null
  #passed = 0

  constructor(kill: Kill | null) {
    this.#kill = kill
  }

  /** The shift is over. */
  disarm(): void {
    this.#kill = null
  }

  pass(point: KillPoint): void {
    if (this.#kill?.point !== point || ++this.#passed < this.#kill.nth) return
    process.kill(process.pid, 'SIGKILL')
    // Nothing of this thread runs until the signal has arrived.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  }
}
