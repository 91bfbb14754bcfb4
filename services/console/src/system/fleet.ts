/** Consumers as they tell of themselves, and how long each revocation took to reach each. Bounded. */
import type { ProgressEvidence, SignalsEvidence } from '@countersign/evidence'
import { logNameOf, type Progress, type Registration, type Told } from '@countersign/schemas'

/** One instance of a consumer on one signals log. */
export interface ConsumerNow {
  readonly consumer: string
  /** Hex. */
  readonly instance: string
  readonly log: string
  readonly state: Progress['state']
  /** Last position folded. */
  readonly offset: number
  readonly asOf: number
  /** When it last told, epoch milliseconds. */
  readonly toldAt: number
  readonly maxStalenessMs: number
  /** Milliseconds from a signal's place on the log to being in this view, the latest ones. */
  readonly exposures: readonly Exposure[]
}

export interface Exposure {
  readonly at: number
  readonly ms: number
}

export interface FleetOptions {
  /** What a record of the progress topic tells, once it is known to be told by who it names; null for what is not. */
  readonly told: (record: ProgressEvidence['record']) => Told | null
}

type Entry = { -readonly [K in keyof ConsumerNow]: ConsumerNow[K] } & { exposures: Exposure[] }

const MOST_APPENDED = 50_000
const MOST_EXPOSURES = 500
const MOST_ENTRIES = 2_000
/** An instance that said goodbye is of no more interest than that. */
const GONE_MS = 600_000

export class Fleet {
  readonly #told: FleetOptions['told']
  readonly #byKey = new Map<string, Entry>()
  /** When each record of a signals log was appended, by log and offset. */
  readonly #appended = new Map<string, number>()
  readonly #registered = new Map<string, Registration>()
  /** Of signals told of before their own place was read. */
  readonly #early: (() => void)[] = []

  constructor({ told }: FleetOptions) {
    this.#told = told
  }

  signal({ log, place }: SignalsEvidence): void {
    this.#appended.set(`${log}/${place.offset}`, place.at)
    trim(this.#appended, MOST_APPENDED)
    for (const again of this.#early.splice(0)) again()
  }

  progress({ record }: ProgressEvidence): void {
    const told = this.#told(record)
    if (told === null) return
    if (told.kind === 'Registration') {
      this.#registered.set(hex(told.registration.instance), told.registration)
      trim(this.#registered, MOST_ENTRIES)
    } else this.#progressed(told.progress)
  }

  /** @returns who is there, and who went a short while ago, by name. */
  consumers(now: number): readonly ConsumerNow[] {
    return [...this.#byKey.values()]
      .filter(({ state, toldAt }) => state !== 'goodbye' || now - toldAt < GONE_MS)
      .sort((a, b) => (a.consumer < b.consumer ? -1 : a.consumer > b.consumer ? 1 : b.toldAt - a.toldAt))
  }

  registration(instance: string): Registration | null {
    return this.#registered.get(instance) ?? null
  }

  #progressed(progress: Progress): void {
    const { consumer, log_id, offset, as_of, at, state, max_staleness_ms, applied } = progress
    const instance = hex(progress.instance)
    const log = logNameOf(log_id)
    const key = `${consumer}/${instance}/${log}`
    const exposures = this.#byKey.get(key)?.exposures ?? []
    const entry: Entry = {
      ...{ consumer, instance, log, state, offset, asOf: as_of, toldAt: at, maxStalenessMs: max_staleness_ms },
      exposures,
    }
    this.#byKey.delete(key)
    this.#byKey.set(key, entry)
    trim(this.#byKey, MOST_ENTRIES)
    for (const one of applied) this.#applied(exposures, log, one)
  }

  #applied(exposures: Exposure[], log: string, { offset, at }: Progress['applied'][number], again = true): void {
    const appended = this.#appended.get(`${log}/${offset}`)
    if (appended === undefined) {
      if (again && this.#early.length < MOST_EXPOSURES)
        this.#early.push(() => this.#applied(exposures, log, { offset, at }, false))
      return
    }
    // Two clocks: what seems to have been there before it was written was there at once.
    exposures.push({ at, ms: Math.max(0, at - appended) })
    if (exposures.length > 2 * MOST_EXPOSURES) exposures.splice(0, exposures.length - MOST_EXPOSURES)
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function trim(map: Map<unknown, unknown>, most: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= most) return
    map.delete(oldest)
  }
}
