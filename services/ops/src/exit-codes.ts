/** What the exit code of every command means. */
export const EXIT = {
  /** Done; nothing differs; the revocation is acknowledged. */
  ok: 0,
  /** It could not be done: nothing answered within the deadline, it was interrupted, or an unexpected failure. */
  failed: 1,
  /** Wrong arguments; nothing was tried. */
  usage: 2,
  /** Something differs from the catalogue, a check or a case failed, a recorded decision would turn, or a consumer differs. */
  differs: 3,
  /** The revocation is durable in the store and will be delivered. */
  pending: 4,
  /** It is not known whether the revocation happened: ask again with its id. */
  unknown: 5,
  /** Refused; nothing was changed. */
  refused: 6,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

export const EXIT_HELP: string = `
Exit codes:
  0  done; nothing differs; acknowledged
  1  it could not be done: nothing answered in time, or interrupted
  2  wrong arguments
  3  something differs from the catalogue, a check or a case failed, a decision would turn,
     or a consumer differs
  4  revocation pending: durable in the store, will be delivered
  5  outcome unknown: ask again with the printed id
  6  refused, nothing was changed`
