/** The past of every signals log there is. With one log, the one. */
import type { ConsumerView } from '@countersign/enforcer'
import type { KeyRing } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { type Catalogue, logNameOf } from '@countersign/schemas'
import { type Moment, Past } from './past.ts'

export class Pasts {
  readonly #byLog: ReadonlyMap<string, Past>

  private constructor(byLog: ReadonlyMap<string, Past>) {
    this.#byLog = byLog
  }

  /** Reads all that they hold now. @throws {EVENT_LOG_UNAVAILABLE} */
  static async read(
    log: EventLog,
    { signalsLogs }: Catalogue,
    rootKeys: readonly Uint8Array[],
    epsilonMs: number,
  ): Promise<Pasts> {
    const read = signalsLogs.map(async ({ name, topic }) => {
      return [name, await Past.read(log, topic, rootKeys, epsilonMs)] as const
    })
    return new Pasts(new Map(await Promise.all(read)))
  }

  /** The view of one log as it was; a log that is not there any more has nothing, not even keys. */
  at(moment: Moment): ConsumerView {
    return (this.#byLog.get(logNameOf(moment.logId)) ?? Past.NONE).at(moment)
  }

  /** Keys of the last bundle of each log. */
  get rings(): readonly KeyRing[] {
    return [...this.#byLog.values()].flatMap((past) => past.ring ?? [])
  }
}
