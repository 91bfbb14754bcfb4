/**
 * Wall time held to the clock of the log. A floor above its record's append time + ε is no signal, so an
 * identity whose wall clock ran ahead would acknowledge what takes nothing; one whose clock ran behind would
 * raise floors the horizon has passed, and end every session it thinks young. Append times say what the time
 * was, the monotonic clock what has passed since.
 */
import type { Clock } from '@countersign/kernel'
import type { Replica } from '@countersign/replica'

/**
 * @param replica its checkpoints tell the time; until the first that proves its view, the wall clock is believed.
 * @param epsilonMs skew tolerance, as everywhere, milliseconds.
 * @returns a clock whose `now` is the wall clock's while that is within [log time, log time + ε], else the nearer end.
 *   Log time lags by the delivery of the checkpoint it was told by, so it is never ahead of the log.
 */
export function logClock(clock: Clock, replica: Pick<Replica, 'onCheckpoint'>, epsilonMs: number): Clock {
  let told: { readonly timestamp: number; readonly heardAt: number } | null = null
  replica.onCheckpoint(({ timestamp, proves }) => {
    if (proves) told = { timestamp, heardAt: clock.monotonic() }
  })
  return {
    now() {
      const wall = clock.now()
      if (told === null) return wall
      const least = Math.floor(told.timestamp + clock.monotonic() - told.heardAt)
      return Math.min(Math.max(wall, least), least + epsilonMs)
    },
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    after: (ms, fn) => clock.after(ms, fn),
  }
}
