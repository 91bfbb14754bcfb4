/**
 * The core of a replica: a pure, synchronous fold of the signals log with clock readings. It decides
 * what is believed, what a checkpoint proves, and when the view is closed. No I/O, no timers.
 *
 * Invariants: only a checkpoint received after the end fetched at the start can prove the view, since a
 * retained one says nothing of how long ago it was sent; whatever was verified stays in force until the
 * horizon passes it, counted by the log or not.
 */
import { hash } from 'node:crypto'
import { type KeyRing, verifyRecord } from '@countersign/envelope'
import type { LogRecord } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { type FloorEntry, signalFacts, type View } from '@countersign/revocation'
import { type Checkpoint, checkpointCodec, epochClaimCodec, type LogPosition, signalCodec } from '@countersign/schemas'
import { CheckpointChain, keeps, type Limits, NO_LIMITS, type Noted, type Passed } from './chain.ts'
import { type ClaimResult, EpochFence, type Holder } from './epochs.ts'
import { covers, floorsOf, lacking } from './floors.ts'
import { type ClosedReason, type Freshness, freshnessOf, type Proof } from './freshness.ts'
import type { FollowerFault, FollowerOptions, Legacy, Receipt, Suspicion } from './reading.ts'
import { readRecord, type SignalsRecord } from './records.ts'
import type { FollowerState } from './state.ts'
import { type LogIdentity, Trust } from './trust.ts'

const VAIN_CHECKPOINTS = 5
const CLAIM_FAULTS: Record<ClaimResult, FollowerFault | null> = {
  won: null,
  renewed: null,
  lost: 'claim_lost',
  stale: 'claim_stale',
  ahead: 'claim_refused',
}

export class Follower {
  readonly #options: FollowerOptions
  readonly #trust: Trust
  readonly #chain: CheckpointChain
  #fence: EpochFence
  #view: View
  /** Only what was verified while the rest of the view was not yet proven. */
  #witnessed: View | null
  #heirlooms: readonly View[]
  #residue: View | null = null
  #consulted: readonly View[] = []
  #position = -1
  #outboxSeq = 0
  #live = false
  /** Last signal folded on trust: only a checkpoint that covers it can prove the view. */
  #trustedUpTo = -1
  /** True once this reading was proven: from then on the chain is strict. */
  #anchored = false
  #proof: Proof | null = null
  /** Limits at the last proof, this reading's or an earlier one's. */
  #admitted: Limits
  /** Verified checkpoints received in vain since the view was last open. */
  #vain = 0
  #agrees: boolean | null = null
  #closed: ClosedReason | null
  #suspicion: Suspicion | null = null

  constructor(options: FollowerOptions) {
    const { rootKeys, epsilonMs, minBundleVersion, logName = null, state, legacy } = options
    this.#options = options
    const pinned = state?.identity ?? legacy?.identity ?? null
    this.#trust = new Trust({ rootKeys, epsilonMs, minBundleVersion, logName, pinned })
    this.#admitted = legacy?.limits ?? NO_LIMITS
    this.#chain = new CheckpointChain(epsilonMs, NO_LIMITS)
    this.#fence = new EpochFence(state?.holder ?? null, !options.complete && state === undefined)
    this.#view = state?.view ?? options.newView()
    this.#witnessed = options.trustHistory || state !== undefined ? options.newView() : null
    this.#heirlooms = legacy?.views ?? []
    this.#closed = legacy?.closed ?? 'starting'
    if (state !== undefined) this.#resume(state)
    this.#consult()
    if (this.#position + 1 >= options.end) this.endReached()
  }

  /** Last record folded; -1 before any. */
  get position(): number {
    return this.#position
  }

  get logId(): string | null {
    return this.#trust.logId
  }

  get identity(): LogIdentity | null {
    const { logId, predecessors } = this.#trust
    return logId === null ? null : { logId, predecessors }
  }

  get ring(): KeyRing | null {
    return this.#trust.ring
  }

  /** The digested view. Judge by `floors`, which also knows what is kept beside it. */
  get view(): View {
    return this.#view
  }

  /** Floors verified here and no longer found on the log; 0 normally. */
  get residueCount(): number {
    return this.#residue?.count ?? 0
  }

  get holder(): Holder | null {
    return this.#fence.holder
  }

  get last(): Passed | null {
    return this.#chain.last
  }

  get noted(): Noted | null {
    return this.#chain.noted
  }

  get limits(): Limits {
    return this.#chain.limits
  }

  /** Limits at the last proof, also of an earlier reading. */
  get admitted(): Limits {
    return this.#admitted
  }

  /** Whether the last checkpoint passed stated the view at the one before it; null when there is none to compare. */
  get agrees(): boolean | null {
    return this.#agrees
  }

  /** Highest outbox sequence verified on this log or stated by a checkpoint; 0 before any. */
  get outboxSeq(): number {
    return Math.max(this.#outboxSeq, this.#chain.limits.outboxSeq)
  }

  /** True when everything up to the end fetched at the start has been read. */
  get live(): boolean {
    return this.#live
  }

  /** The end fetched at the start. */
  get goal(): number {
    return this.#options.end
  }

  get proof(): Proof | null {
    return this.#proof
  }

  /** Why the log must be read again; null when it need not. */
  get suspicion(): Suspicion | null {
    return this.#suspicion
  }

  /** Folds the next record. Never throws; what is not believed is counted and changes nothing. */
  fold(record: LogRecord, receipt: Receipt): void {
    if (record.offset <= this.#position) return
    this.#position = record.offset
    const fault = this.#judge(readRecord(record, this.#options.schemas), record, receipt)
    if (fault !== null) this.#options.observer?.fault?.(fault, record.offset)
    if (!this.#live && record.offset + 1 >= this.#options.end) this.endReached()
  }

  /** Says that nothing is left below the end fetched at the start. */
  endReached(): void {
    this.#live = true
    if (this.#closed === 'starting') this.#closed = 'unproven'
  }

  /** Closes the view until a reading from the start is proven. */
  close(reason: ClosedReason): void {
    this.#closed = reason
    this.#proof = null
  }

  freshness(clock: Clock): Freshness {
    return freshnessOf(this.#proof, this.#closedNow(clock), clock, this.#options.epsilonMs)
  }

  /** Floors in force on a target. Cost: that of `View.floors`, once more for each view kept beside. */
  floors(key: Uint8Array): readonly FloorEntry[] {
    return this.#consulted.length === 1 ? this.#view.floors(key) : floorsOf(this.#consulted, key)
  }

  /**
   * Where this view stands to a position an envelope names.
   * @param iat when the envelope was sealed, epoch ms; without it nothing is `beyond`.
   */
  reached(position: LogPosition, iat?: number): 'reached' | 'behind' | 'beyond' {
    if (position.offset < 0) return 'reached'
    const end = position.log_id === this.logId ? this.#position : this.#trust.predecessors.get(position.log_id)
    if (end !== undefined && position.offset <= end) return 'reached'
    const overdue = iat !== undefined && this.#proof !== null && this.#proof.asOf > iat + this.#options.epsilonMs
    return overdue ? 'beyond' : 'behind'
  }

  /** What a new reading of the log has to keep. */
  legacy(closed: ClosedReason): Legacy {
    const identity = this.identity ?? this.#options.legacy?.identity ?? null
    return { identity, limits: this.#admitted, views: this.#verifiedViews(), closed }
  }

  /** State at the last checkpoint, when the last record folded is that checkpoint and it was proven; else null. */
  state(): FollowerState | null {
    const { last, noted } = this.#chain
    const bundle = this.#trust.record
    const identity = this.identity
    const holder = this.#fence.holder
    if (!last || !noted || !bundle || !identity || !holder) return null
    if (this.#closed !== null || last.offset !== this.#position || this.#view.exceeded) return null
    return { identity, bundle, holder, last, noted, outboxSeq: this.outboxSeq, view: this.#view }
  }

  #resume(state: FollowerState): void {
    const { last, noted, bundle } = state
    this.#position = last.offset
    this.#outboxSeq = state.outboxSeq
    this.#trust.adopt(bundle.body, bundle.signature, last.timestamp)
    this.#chain.pass(last, noted)
  }

  #closedNow(clock: Clock): ClosedReason | null {
    if (this.#consulted.some((view) => view.exceeded)) return 'memory_exceeded'
    const { ring } = this
    if (this.#closed === null && ring !== null && ring.bundle.expires_at <= clock.now()) return 'bundle_expired'
    return this.#closed
  }

  #judge(read: SignalsRecord | null, record: LogRecord, receipt: Receipt): FollowerFault | null {
    if (read === null) return 'record_unreadable'
    if (read.kind === 'Signal') return this.#signal(read, record)
    if (read.kind === 'Checkpoint') return this.#checkpoint(read, record, receipt)
    return read.kind === 'EpochClaim' ? this.#claim(read, record) : this.#bundle(read, record)
  }

  #verifies({ offset }: LogRecord): boolean {
    return !this.#options.trustHistory || offset >= this.#options.end
  }

  #bundle({ body, signature }: SignalsRecord, record: LogRecord): FollowerFault | null {
    const result = this.#trust.adopt(body, signature, record.timestamp)
    if (result === 'adopted' || result === 'renewed') return null
    if (result === 'moved') {
      this.#moveOver()
      return null
    }
    if (result !== 'bundle_other_log') return 'bundle_refused'
    this.#suspect('other_log')
    return 'bundle_other_log'
  }

  /** The bundle of a successor log: what is still live is carried over behind it, so the fold starts anew. */
  #moveOver(): void {
    this.#heirlooms = this.#verifiedViews()
    this.#residue = null
    this.#view = this.#options.newView()
    this.#witnessed = this.#options.trustHistory && !this.#live ? this.#options.newView() : null
    this.#chain.restart()
    this.#agrees = null
    this.#fence = new EpochFence(null, false)
    this.#consult()
    this.#anchored = false
    this.close(this.#live ? 'log_replaced' : 'starting')
  }

  #claim({ body, signature }: SignalsRecord, record: LogRecord): FollowerFault | null {
    const ring = this.#trust.ring
    const verified = ring && verifyRecord('EpochClaim', body, signature, ring, 'checkpoint', record.timestamp).ok
    const claim = verified ? decoded(() => epochClaimCodec.decode(body)) : null
    if (claim === null || claim.log_id !== this.logId) return 'claim_refused'
    const result = this.#fence.claim(claim)
    if (result === 'ahead') this.#suspect('chain_broken')
    return CLAIM_FAULTS[result]
  }

  #signal({ body, signature }: SignalsRecord, record: LogRecord): FollowerFault | null {
    const ring = this.#trust.ring
    const verifies = this.#verifies(record)
    // Without a bundle nothing can be told from a forgery. Retention beyond the window and one renewal
    // of the bundle sees to it that what stands before the first bundle kept is below the horizon.
    if (ring === null) return 'signal_unverified'
    if (verifies && !verifyRecord('Signal', body, signature, ring, 'signal', record.timestamp).ok) {
      return 'signal_unverified'
    }
    const signal = decoded(() => signalCodec.decode(body))
    const facts = signal && signalFacts(signal)
    if (!facts) return 'signal_malformed'
    if (facts.floor > record.timestamp + this.#options.epsilonMs) return 'signal_from_future'
    if (facts.floor < this.#chain.limits.horizon) return 'signal_below_horizon'
    let applied: boolean
    try {
      applied = this.#view.apply(facts)
      if (verifies) this.#witnessed?.apply(facts)
    } catch {
      return 'signal_without_room'
    }
    if (verifies) this.#outboxSeq = Math.max(this.#outboxSeq, signal.seq)
    else this.#trustedUpTo = record.offset
    const known = this.#heirlooms.some((view) => covers(view, facts))
    const news = this.#live || this.#heirlooms.length > 0
    const { offset, timestamp } = record
    const changed = applied && news && !known
    this.#options.observer?.signal?.({ offset, timestamp, signal, facts, changed, live: this.#live })
    return null
  }

  #checkpoint({ body, signature }: SignalsRecord, record: LogRecord, receipt: Receipt): FollowerFault | null {
    const { offset, timestamp } = record
    const ring = this.#trust.ring
    const verifies = this.#verifies(record)
    if (ring === null) return 'checkpoint_unverified'
    const genuine = (): boolean => verifyRecord('Checkpoint', body, signature, ring, 'checkpoint', timestamp).ok
    if (verifies && !genuine()) return 'checkpoint_unverified'
    const checkpoint = decoded(() => checkpointCodec.decode(body))
    if (checkpoint === null) return 'checkpoint_malformed'
    if (checkpoint.log_id !== this.logId) {
      if (verifies && !this.#trust.knows(checkpoint.log_id)) this.#suspect('other_log')
      return 'checkpoint_other_log'
    }
    if (verifies) this.#countVain()
    const loose = !this.#anchored
    const infers = (): boolean => loose && (verifies || genuine()) && this.#fence.infer(checkpoint)
    if (!this.#fence.admits(checkpoint) && !infers()) {
      if (verifies && checkpoint.epoch > (this.holder?.epoch ?? 0)) this.#suspect('chain_broken')
      return this.#refuse('checkpoint_fenced', checkpoint)
    }
    const found: Passed = {
      checkpoint,
      offset,
      timestamp,
      hash: hash('sha256', Buffer.concat([body, signature]), 'buffer'),
    }
    const link = this.#chain.judge(found, ring, loose)
    if (link !== 'first' && link !== 'next') return this.#refuse(link, checkpoint)
    // History on trust goes link by link; where the chain begins anew, the signature has to say so.
    if (link === 'first' && !verifies && !genuine()) return 'checkpoint_unverified'
    const equal = link === 'next' && this.#chain.states(checkpoint)
    this.#agrees = link === 'next' ? equal : null
    this.#pass(found)
    const proves = this.#live && equal && this.#prove(checkpoint, offset, receipt)
    if (this.#live && link === 'next' && !equal) {
      this.close('digest_differs')
      this.#suspect('digest_differs')
    }
    this.#options.observer?.checkpoint?.({ ...found, proves })
    return null
  }

  #pass(found: Passed): void {
    const { horizon } = found.checkpoint
    for (const view of this.#consulted) view.dropOlderThan(horizon)
    this.#witnessed?.dropOlderThan(horizon)
    const { outboxSeq } = this
    this.#chain.pass(found, { digest: this.#view.digest(), count: this.#view.count, outboxSeq })
  }

  #prove(checkpoint: Checkpoint, offset: number, receipt: Receipt): boolean {
    if (this.#view.exceeded || checkpoint.covers < this.#trustedUpTo || !this.#admissible()) return false
    const { as_of: asOf, sent_at: sentAt, store_unseen_since: storeUnseenSince } = checkpoint
    this.#proof = { offset, asOf, sentAt, receivedAt: receipt.monotonic, storeUnseenSince }
    this.#closed = null
    this.#suspicion = null
    this.#vain = 0
    this.#admitted = this.#chain.limits
    if (this.#anchored) return true
    this.#anchored = true
    this.#fence.settle()
    this.#witnessed = null
    this.#residue = lacking(
      this.#view,
      this.#residue ? [...this.#heirlooms, this.#residue] : this.#heirlooms,
      this.#options.newView,
    )
    this.#heirlooms = []
    this.#consult()
    return true
  }

  /** A reading that is behind what was already admitted, or on another log, proves nothing. */
  #admissible(): boolean {
    const { legacy } = this.#options
    if (legacy === undefined) return true
    return (
      keeps(this.#chain.limits, legacy.limits) && (legacy.identity === null || this.#trust.knows(legacy.identity.logId))
    )
  }

  /** At most two, however many readings came before: what is kept beside must not grow with each. */
  #verifiedViews(): readonly View[] {
    const own = this.#witnessed ?? this.#view
    const beside = lacking(
      own,
      this.#residue ? [...this.#heirlooms, this.#residue] : this.#heirlooms,
      this.#options.newView,
    )
    return [own, beside].filter((view) => view !== null && (view.count > 0 || view.exceeded)) as View[]
  }

  #consult(): void {
    this.#consulted = [this.#view, this.#residue, ...this.#heirlooms].filter((view) => view !== null)
  }

  #refuse(code: FollowerFault, checkpoint: Checkpoint): FollowerFault {
    const ahead = checkpoint.sequence > (this.#chain.last?.checkpoint.sequence ?? 0)
    const lacks =
      code === 'checkpoint_gap' ||
      code === 'checkpoint_covers' ||
      (code === 'checkpoint_bundle' && checkpoint.bundle_version > (this.ring?.bundle.version ?? 0))
    if (ahead && lacks) this.#suspect('chain_broken')
    return code
  }

  /** The last resort: genuine checkpoints come and none proves this view. History taken on trust may have bent it. */
  #countVain(): void {
    if (!this.#live || this.#closed === null) return
    this.#vain++
    if (this.#vain > VAIN_CHECKPOINTS) this.#suspect('chain_broken')
  }

  #suspect(suspicion: Suspicion): void {
    if (this.#live) this.#suspicion ??= suspicion
  }
}

function decoded<T>(decode: () => T): T | null {
  try {
    return decode()
  } catch {
    return null
  }
}
