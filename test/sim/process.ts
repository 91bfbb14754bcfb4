/** A simulated process: its own wall clock, and a life that can end between any two events. */
import type { Clock, Random } from '@countersign/kernel'
import { SeededRandom } from '@countersign/kernel/testing'
import type { Owner, Scheduler } from './scheduler.ts'

/** True time 0 of every run, as wall time. */
export const EPOCH = 1_800_000_000_000

/** One life of a process. A restart is a new `SimProcess` of the same name. */
export class SimProcess implements Owner {
  readonly name: string
  readonly scheduler: Scheduler
  readonly random: Random
  readonly clock: Clock
  readonly backlog: (() => void)[] = []
  alive = true
  frozen = false
  /** False while the network to the log is cut. */
  connected = true
  /** How far the wall clock is off, milliseconds. */
  skew: number

  constructor(name: string, scheduler: Scheduler, skew = 0) {
    this.name = name
    this.scheduler = scheduler
    this.skew = skew
    this.random = new SeededRandom(scheduler.random.uint32())
    const started = scheduler.now
    this.clock = {
      now: () => Math.floor(EPOCH + scheduler.now + this.skew),
      monotonic: () => scheduler.now - started,
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted) return resolve()
          const cancel = scheduler.schedule(ms, this, resolve)
          signal?.addEventListener(
            'abort',
            () => {
              cancel()
              resolve()
            },
            { once: true },
          )
        }),
      after: (ms, fn) => scheduler.schedule(ms, this, fn),
    }
  }

  /** SIGKILL: nothing of this life runs again. */
  kill(): void {
    this.alive = false
    this.backlog.length = 0
  }

  /** SIGSTOP. Monotonic and wall time go on. */
  freeze(): void {
    this.frozen = true
  }

  /** SIGCONT. */
  thaw(): void {
    this.frozen = false
    this.scheduler.thaw(this)
  }
}
