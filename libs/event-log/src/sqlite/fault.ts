/** How the worker says what went wrong; the owner thread turns it into an EventLogError. */
import type { FaultKind } from './protocol.ts'

export class Fault extends Error {
  readonly kind: FaultKind

  constructor(kind: FaultKind, message: string) {
    super(message)
    this.kind = kind
  }
}
