/** What goes wrong in a run, drawn from the seed. Everything heals before the run is judged. */
import { signRecord } from '@countersign/envelope'
import { SIGNALS_TOPIC, writeRecord } from '@countersign/replica'
import { checkpointCodec, frame, SIGNATURE_HEADER, signalCodec } from '@countersign/schemas'
import type { Site } from './site.ts'

interface Fault {
  readonly name: string
  /** Chance, among all faults. */
  readonly weight: number
  /** Does harm to the log itself: such runs have none that also harm the store. */
  readonly harms?: 'log' | 'store'
  run(site: Site, heal: (afterMs: number, fn: () => void) => void): void
}

const PROCESSES = ['identity', 'notary-a', 'notary-b', 'api-1', 'api-2', 'worker-1', 'worker-2', 'worker-3']

function anyProcess(site: Site): string {
  return PROCESSES[site.scheduler.random.below(PROCESSES.length)] as string
}

const FAULTS: readonly Fault[] = [
  {
    name: 'crash',
    weight: 6,
    run(site, heal) {
      const name = anyProcess(site)
      site.lives.get(name)?.process.kill()
      heal(site.scheduler.random.below(6_000), () => void site.restart(name))
    },
  },
  {
    name: 'stall',
    weight: 4,
    run(site, heal) {
      const { process } = site.lives.get(anyProcess(site)) ?? {}
      process?.freeze()
      heal(500 + site.scheduler.random.below(9_000), () => process?.thaw())
    },
  },
  {
    name: 'partition',
    weight: 4,
    run(site, heal) {
      const { process } = site.lives.get(anyProcess(site)) ?? {}
      if (process) process.connected = false
      heal(500 + site.scheduler.random.below(9_000), () => {
        if (process) process.connected = true
      })
    },
  },
  {
    name: 'broker down',
    weight: 2,
    run(site, heal) {
      site.broker.down = true
      heal(500 + site.scheduler.random.below(8_000), () => {
        site.broker.down = false
        site.broker.poke()
      })
    },
  },
  {
    name: 'store down',
    weight: 2,
    run(site, heal) {
      site.store.down = true
      heal(500 + site.scheduler.random.below(8_000), () => {
        site.store.down = false
      })
    },
  },
  {
    name: 'clock step',
    weight: 3,
    run(site, heal) {
      const { process } = site.lives.get(anyProcess(site)) ?? {}
      if (!process) return
      const step =
        (site.scheduler.random.below(2) === 0 ? 1 : -1) * (site.scheduler.random.below(2) === 0 ? 3_600_000 : 5_000)
      process.skew += step
      heal(2_000 + site.scheduler.random.below(6_000), () => {
        process.skew -= step
      })
    },
  },
  { name: 'forgery', weight: 3, run: (site) => forge(site) },
  { name: 'replay', weight: 3, run: (site) => replay(site) },
  {
    name: 'key rotation',
    weight: 2,
    run(site) {
      const { scheduler, grants } = site
      const name = `signal-${scheduler.now.toFixed(0)}`
      // A key for nobody yet, and a notary key that retires: both arrive with the next renewal.
      site.grant(name, 'signal')
      const spare = grants.findIndex((grant) => grant.key_id.startsWith('signal-') && grant.key_id !== name)
      if (spare >= 0) grants.splice(spare, 1)
    },
  },
  {
    name: 'drop',
    weight: 1,
    harms: 'log',
    run(site) {
      const bounds = site.broker.bounds(SIGNALS_TOPIC, 0)
      if (bounds && bounds.end - bounds.start > 3)
        site.broker.drop(
          SIGNALS_TOPIC,
          bounds.end - 1 - site.scheduler.random.below(Math.min(20, bounds.end - bounds.start - 1)),
        )
    },
  },
  {
    name: 'cut',
    weight: 1,
    harms: 'log',
    run: (site) => site.broker.cut(SIGNALS_TOPIC, 1 + site.scheduler.random.below(6)),
  },
  { name: 'recreate', weight: 1, harms: 'log', run: (site) => site.broker.recreate(SIGNALS_TOPIC) },
  {
    name: 'rollback',
    weight: 2,
    harms: 'store',
    run(site, heal) {
      site.store.copy()
      heal(1_000 + site.scheduler.random.below(4_000), () => void site.store.rollback())
    },
  },
]

/** What befell one run, in order. */
export interface Befallen {
  readonly at: number
  readonly name: string
}

export class Chaos {
  readonly befallen: Befallen[] = []
  readonly #site: Site
  #healedAt = 0
  #harmed: 'log' | 'store' | null = null
  #logHarmedAt = Number.POSITIVE_INFINITY

  constructor(site: Site) {
    this.#site = site
  }

  /** What was harmed beyond repair by reading alone, if anything. */
  get harmed(): 'log' | 'store' | null {
    return this.#harmed
  }

  /** Wall time from which offsets of the signals log may name two records; Infinity when it was not harmed. */
  get logHarmedAt(): number {
    return this.#logHarmedAt
  }

  /** Draws two to six faults between `from` and `until`; all are healed by `until + 10 s`. */
  plan(from: number, until: number): void {
    const { scheduler } = this.#site
    const count = 2 + scheduler.random.below(5)
    for (let i = 0; i < count; i++)
      scheduler.schedule(from + scheduler.random.below(until - from) - scheduler.now, null, () => this.#strike())
    // Retention runs all the time: what the window no longer needs is gone.
    this.#trim(until + 30_000)
  }

  #strike(): void {
    const { scheduler } = this.#site
    const possible = FAULTS.filter((fault) => !fault.harms || this.#harmed === null || fault.harms === this.#harmed)
    const fault = drawn(possible, scheduler.random.below(possible.reduce((sum, f) => sum + f.weight, 0)))
    if (fault.harms) this.#harmed = fault.harms
    if (fault.harms === 'log') this.#logHarmedAt = Math.min(this.#logHarmedAt, this.#site.now())
    this.befallen.push({ at: scheduler.now, name: fault.name })
    fault.run(this.#site, (afterMs, fn) => {
      this.#healedAt = Math.max(this.#healedAt, scheduler.now + afterMs)
      scheduler.schedule(afterMs, null, fn)
    })
  }

  #trim(until: number): void {
    const { scheduler, broker } = this.#site
    if (scheduler.now > until) return
    const p = broker.partition(SIGNALS_TOPIC, 0)
    // Window, a renewal of the bundle and some slack.
    const oldest = this.#site.now() - 30_000
    const keep = p?.records.find((record) => record.timestamp >= oldest)
    if (keep) broker.trim(SIGNALS_TOPIC, keep.offset)
    scheduler.schedule(2_000, null, () => this.#trim(until))
  }
}

/** Somebody who may write to the topic and has no key. */
function forge(site: Site): void {
  const { random } = site.scheduler
  const thief = site.key('api-1')
  const ids = site.log(site.lives.get('api-1')?.process as never).schemas
  const now = site.now()
  const signal = signalCodec.encode({
    id: random.bytes(16),
    seq: 1_000_000,
    target: { kind: 'subject', tenant: '', id: `sub_${random.below(6)}` },
    effect: 'reason:compromise',
    fallback: 'compromise',
    floor: now + (random.below(2) === 0 ? 0 : 3_600_000),
    cause: 'forged',
    initiator: 'thief',
  })
  const checkpoint = checkpointCodec.encode({
    log_id: 'log_forged',
    epoch: 99,
    sequence: 10_000,
    notary: 'thief',
    covers: 0,
    as_of: now,
    sent_at: now,
    count: 0,
    digest: Buffer.alloc(32),
    horizon: now + 3_600_000,
    bundle_version: 1,
    bundle_hash: Buffer.alloc(32),
    outbox_seq: 1_000_000,
    store_unseen_since: null,
  })
  site.broker.append(SIGNALS_TOPIC, [
    writeRecord('Signal', signal, signRecord('Signal', signal, thief), ids),
    writeRecord('Checkpoint', checkpoint, signRecord('Checkpoint', checkpoint, thief), ids),
    { key: null, value: random.bytes(40), headers: [] },
    {
      key: null,
      value: frame(ids.idOf('countersign.Signal'), random.bytes(60)),
      headers: [[SIGNATURE_HEADER, random.bytes(80)]],
    },
    { key: null, value: null, headers: [] },
  ])
}

/** Somebody appends genuine records again, in any order. */
function replay(site: Site): void {
  const { random } = site.scheduler
  const records = site.broker.partition(SIGNALS_TOPIC, 0)?.records ?? []
  if (records.length === 0) return
  const again = Array.from({ length: 1 + random.below(8) }, () => records[random.below(records.length)]).filter(
    (r) => r !== undefined,
  )
  site.broker.append(
    SIGNALS_TOPIC,
    again.map(({ key, value, headers }) => ({ key, value, headers })),
  )
}

/** @param at a point on all weights laid end to end. */
function drawn(faults: readonly Fault[], at: number): Fault {
  let end = 0
  for (const fault of faults) {
    end += fault.weight
    if (at < end) return fault
  }
  throw new RangeError('beyond the weights')
}
