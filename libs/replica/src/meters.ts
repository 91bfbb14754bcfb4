/** What a replica counts. Without metrics, nothing. */
import type { FilterStats } from '@countersign/revocation'
import type { Cell, Metrics } from '@countersign/telemetry'
import type { Follower } from './follower.ts'
import type { ClosedReason, Freshness } from './freshness.ts'
import type { FollowerFault, FoundSignal } from './reading.ts'

interface Published {
  readonly follower: Pick<Follower, 'view' | 'position' | 'residueCount' | 'ring'>
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
  'unregistered',
  'stopped',
] as const satisfies ClosedReason[]

const REREAD = ['digest_differs', 'chain_broken', 'log_replaced'] as const satisfies ClosedReason[]
/** Of what is not believed, what no ordinary day has: somebody wrote it, or lost something. */
const SKIPPED = [
  'record_unreadable',
  'bundle_refused',
  'claim_refused',
  'signal_unverified',
  'signal_malformed',
  'signal_from_future',
  'signal_without_room',
] as const satisfies FollowerFault[]
const REFUSED = [
  'checkpoint_unverified',
  'checkpoint_malformed',
  'checkpoint_gap',
  'checkpoint_covers',
  'checkpoint_goes_back',
  'checkpoint_from_future',
] as const satisfies FollowerFault[]

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
    this.#checkpoint('passed')
  }

  fault(code: FollowerFault): void {
    if (code.startsWith('checkpoint_')) this.#checkpoint(code)
    else this.#skipped(code)
  }

  reread(reason: ClosedReason, times = 1): void {
    this.#metrics?.counter('countersign_view_rereads_total', { reason, ...this.#log }).add(times)
  }

  tailRestarted(): void {
    this.#metrics?.counter('countersign_tail_restarts_total', this.#log).add()
  }

  /** Read at each scrape. @param now epoch milliseconds. */
  publish(replica: Published, now: () => number): void {
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
    metrics.gaugeFrom('countersign_bundle_remaining_seconds', log, () => {
      const until = replica.follower.ring?.bundle.expires_at ?? 0
      return Math.max(0, until - now()) / 1000
    })
    const filter = (): FilterStats => replica.follower.view.filterStats
    metrics.counterFrom('countersign_filter_lookups_total', log, () => filter().lookups)
    metrics.counterFrom('countersign_filter_false_positives_total', log, () => filter().falseHits)
    // An alarm sees the first of what nobody has seen before only as a rise from nought.
    for (const reason of REREAD) this.reread(reason, 0)
    for (const code of SKIPPED) this.#skipped(code, 0)
    for (const result of REFUSED) this.#checkpoint(result, 0)
    metrics.counter('countersign_tail_restarts_total', log)
  }

  #checkpoint(result: string, times = 1): void {
    this.#metrics?.counter('countersign_checkpoints_total', { result, ...this.#log }).add(times)
  }

  #skipped(code: FollowerFault, times = 1): void {
    this.#metrics?.counter('countersign_signals_skipped_total', { code, ...this.#log }).add(times)
  }
}
