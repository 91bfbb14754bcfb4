/** For tests of the fold: a follower without a shell, step by step. */
import { FakeClock } from '@countersign/kernel/testing'
import { targetKey, View } from '@countersign/revocation'
import { Follower } from './follower.ts'
import type { Freshness } from './freshness.ts'
import type { FollowerFault, FollowerOptions, FoundSignal } from './reading.ts'
import { MemoryLog, Scribe, testSchemas } from './testing.ts'

/** A log, a scribe and one reader of it. */
export class World {
  readonly clock = new FakeClock()
  readonly log = new MemoryLog(this.clock)
  readonly scribe = new Scribe(this.log)
  readonly faults: FollowerFault[] = []
  readonly signals: FoundSignal[] = []
  follower: Follower = this.newFollower()

  newFollower(change: Partial<FollowerOptions> = {}): Follower {
    const { start, records } = this.log.partition()
    this.faults.length = 0
    this.signals.length = 0
    return new Follower({
      schemas: testSchemas,
      rootKeys: [this.scribe.keys.rootPublic],
      epsilonMs: 250,
      minBundleVersion: 1,
      newView: () => new View(),
      end: start + records.length,
      trustHistory: true,
      complete: start === 0,
      observer: {
        fault: (code) => this.faults.push(code),
        signal: (found) => this.signals.push(found),
      },
      ...change,
    })
  }

  /** Folds what the follower has not read yet. */
  read(follower: Follower = this.follower): void {
    const receipt = { monotonic: this.clock.monotonic() }
    for (const record of this.log.partition().records) {
      if (record.offset > follower.position) follower.fold(record, receipt)
    }
  }

  async second(n = 1): Promise<void> {
    for (let i = 0; i < n; i++) await this.clock.advance(1000)
  }

  /** A log with a claim and two checkpoints, followed live: proven. */
  async proven(): Promise<void> {
    this.scribe.bundle()
    this.scribe.begin()
    this.scribe.checkpoint()
    await this.second()
    this.scribe.checkpoint()
    this.read()
    if (!this.fresh().proven) throw new Error('the world does not begin proven')
  }

  /** One more second and checkpoint, read. */
  async tick(): Promise<void> {
    await this.second()
    this.scribe.checkpoint()
    this.read()
  }

  fresh(follower: Follower = this.follower): Freshness {
    return follower.freshness(this.clock)
  }

  /** What another reading that verifies everything sees, two live checkpoints later. */
  async reread(closed: 'digest_differs' | 'log_replaced' | 'chain_broken' = 'digest_differs'): Promise<void> {
    this.follower = this.newFollower({ trustHistory: false, legacy: this.follower.legacy(closed) })
    this.read()
    await this.tick()
    await this.tick()
  }

  hits(id: string, follower: Follower = this.follower): boolean {
    return follower.floors(targetKey({ kind: 'session', tenant: '', id })).length > 0
  }
}

/** State of a follower as far as decisions can see it. */
export function seen(follower: Follower, clock: FakeClock): Record<string, unknown> {
  const { limits, proof, suspicion } = follower
  return { limits, proof, suspicion, digest: follower.view.digest().toString('hex'), fresh: follower.freshness(clock) }
}
