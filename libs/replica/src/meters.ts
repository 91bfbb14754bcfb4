/** What a replica counts. Without metrics, nothing. */
import type { Cell, Metrics } from '@countersign/telemetry'
import type { Follower } from './follower.ts'
import type { ClosedReason, Freshness } from './freshness.ts'
import type { FollowerFault, FoundSignal } from './reading.ts'

interface Published {
  readonly follower: Pick<Follower, 'view' | 'position' | 'residueCount'>
  freshness(): Freshness
}

const CLOSED = [
  'starting',
  'unproven',
  'digest_differs',
  'chain_broken',
  'log_replaced',
  'bundle_expired',
  'memory_exceeded',
  'stopped',
] as const satisfies ClosedReason[]

export class Meters {
  readonly #metrics: Metrics | undefined
  // A first reading folds millions.
  readonly #signals: Cell | undefined
  readonly #log: { readonly log?: string }

  /** @param log its name where several are followed. */
  constructor(metrics: Metrics | undefined, log?: string) {
    this.#metrics = metrics
    this.#log = log === undefined ? {} : { log }
    this.#signals = metrics?.counter('countersign_signals_folded_total', this.#log)
  }

  /** @param now epoch milliseconds. */
  found({ live, timestamp }: Pick<FoundSignal, 'live' | 'timestamp'>, now: number): void {
    this.#signals?.add()
    // What stood on the log before the start exposed nobody here.
    if (live) this.#metrics?.observe('countersign_exposure_seconds', this.#log, Math.max(0, now - timestamp) / 1000)
  }

  passed(): void {
    this.#metrics?.counter('countersign_checkpoints_total', { result: 'passed', ...this.#log }).add()
  }

  fault(code: FollowerFault): void {
    if (code.startsWith('checkpoint_'))
      this.#metrics?.counter('countersign_checkpoints_total', { result: code, ...this.#log }).add()
    else this.#metrics?.counter('countersign_signals_skipped_total', { code, ...this.#log }).add()
  }

  reread(reason: string): void {
    this.#metrics?.counter('countersign_view_rereads_total', { reason, ...this.#log }).add()
  }

  tailRestarted(): void {
    this.#metrics?.counter('countersign_tail_restarts_total', this.#log).add()
  }

  /** Read at each scrape. */
  publish(replica: Published): void {
    const metrics = this.#metrics
    const log = this.#log
    if (!metrics) return
    metrics.gaugeFrom('countersign_view_age_seconds', log, () => replica.freshness().ageMs / 1000)
    for (const reason of CLOSED)
      metrics.gaugeFrom('countersign_view_closed', { reason, ...log }, () =>
        Number(replica.freshness().closed === reason),
      )
    metrics.gaugeFrom('countersign_view_floors', log, () => replica.follower.view.count)
    metrics.gaugeFrom('countersign_view_bytes', log, () => replica.follower.view.bytes)
    metrics.gaugeFrom('countersign_view_offset', log, () => replica.follower.position)
    metrics.gaugeFrom('countersign_view_residue', log, () => replica.follower.residueCount)
  }
}
