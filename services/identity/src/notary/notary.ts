/**
 * The notary: follows the log as a consumer does, verifying every record, and writes down about every
 * interval what a complete view is. Several may run; the log says which one speaks.
 *
 * Invariants: it signs only what it has read back; no acknowledged row at or below what it covers is
 * missing; a checkpoint whose fate is unknown is sent again byte for byte or never.
 */
import { signRecord } from '@countersign/envelope'
import { type Appended, EventLogError, type NewRecord } from '@countersign/event-log'
import { type Clock, newHandle } from '@countersign/kernel'
import { type Follower, Replica, SIGNALS_TOPIC, writeRecord } from '@countersign/replica'
import { signerTarget, targetKey } from '@countersign/revocation'
import { checkpointCodec, epochClaimCodec, logIdOf, MAIN_LOG } from '@countersign/schemas'
import type { LogName } from '@countersign/session-store'
import { LogTime } from './log-time.ts'
import type { NotaryOptions, NotaryStatus, Withheld } from './options.ts'
import { OutboxKeeper } from './outbox-keeper.ts'
import { nextCheckpoint } from './statement.ts'

/** A checkpoint written and not yet found on the log. */
interface InFlight {
  readonly record: NewRecord
  readonly body: Buffer
  readonly sequence: number
  /** The reading that was to find it. */
  readonly follower: Follower
  /** Where it stands; null while its fate is unknown. */
  offset: number | null
}

/** What the store says of the log. */
interface Asked {
  readonly name: LogName
  /** Highest offset acknowledged on that log, -1 before any. */
  readonly acknowledged: number
}

/** Intervals without a checkpoint after which two were missed for certain. */
const MISSED = 2.5
/** A new holder looks at every kept row before it speaks. */
const MISSED_AFTER_CLAIM = 6

export class Notary {
  readonly #options: Required<
    Pick<NotaryOptions, 'topic' | 'intervalMs' | 'epsilonMs' | 'renewMs' | 'replaceAfterMs'>
  > &
    NotaryOptions
  readonly #clock: Clock
  readonly #name: string
  readonly #replica: Replica
  readonly #outbox: OutboxKeeper
  readonly #time: LogTime
  readonly #stopping = new AbortController()
  #loop: Promise<void> | null = null
  #inFlight: InFlight | null = null
  /** Reading and epoch in which all kept rows were found and the last digest was reproduced. */
  #vouched: { readonly follower: Follower; readonly epoch: number } | null = null
  #renewedAt = Number.NEGATIVE_INFINITY
  #signOfLife: number
  #patience = MISSED
  #epochNoted = 0
  #highest: { logId: string; offset: number } | null = null
  #lossSince: number | null = null
  /** The log whose loss began then. */
  #lossOf: string | null = null
  #storeUnseenSince: number | null = null
  #withheld: Withheld | null = 'not_read'
  #written = 0

  constructor(options: NotaryOptions) {
    const usual = {
      topic: SIGNALS_TOPIC,
      intervalMs: 1_000,
      epsilonMs: 250,
      renewMs: 3_600_000,
      replaceAfterMs: 10_000,
    }
    this.#options = { ...usual, ...options }
    const { log, clock, random, store, logger, rootKeys, epsilonMs, minBundleVersion, maxBytes, intervalMs } =
      this.#options
    const { topic, logName } = this.#options
    this.#clock = clock
    this.#name = newHandle(random, options.notaryId)
    this.#time = new LogTime(clock)
    this.#signOfLife = clock.monotonic()
    this.#replica = new Replica({
      log,
      topic,
      ...(logName !== undefined && { logName }),
      clock,
      logger,
      rootKeys,
      epsilonMs,
      random,
      consumer: this.#name,
      history: 'verify',
      watchdogMs: 5 * intervalMs,
      ...(minBundleVersion !== undefined && { minBundleVersion }),
      ...(maxBytes !== undefined && { maxBytes }),
      observer: {
        signal: ({ offset, signal, timestamp }) => {
          this.#outbox.saw(offset, signal.id, timestamp)
          this.#noteHighest()
        },
        checkpoint: () => {
          this.#heard(MISSED)
          this.#noteHighest()
        },
      },
    })
    this.#outbox = new OutboxKeeper({
      log,
      topic,
      store,
      logger,
      metrics: options.metrics,
      follower: () => this.#follower,
      append: (records) => this.#append(records),
      read: (offset) => this.#read(offset),
    })
  }

  /** Starts following and returns. */
  async start(): Promise<void> {
    await this.#replica.start()
    this.#loop = this.#run()
  }

  /** Falls silent; whoever stands by takes over. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#loop
    await this.#replica.stop()
  }

  status(): NotaryStatus {
    const { live, last, logId } = this.#follower
    const epoch = this.#epochHeld()
    return {
      notary: this.#name,
      role: epoch > 0 ? 'holding' : live ? 'standby' : 'starting',
      epoch,
      sequence: last?.checkpoint.sequence ?? 0,
      logId,
      withheld: this.#withheld,
      storeUnseenSince: this.#storeUnseenSince,
      written: this.#written,
      repaired: this.#outbox.repaired,
    }
  }

  get #follower(): Follower {
    return this.#replica.follower
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const { intervalMs, logger } = this.#options
    for (let due = this.#clock.monotonic(); !signal.aborted; ) {
      try {
        await this.#turn()
      } catch (error) {
        this.#withhold(error instanceof EventLogError ? 'log_unavailable' : 'store_unseen')
        logger.warn({ error, notary: this.#name }, 'notary could not finish its turn')
      }
      const now = this.#clock.monotonic()
      due = Math.max(due + intervalMs, now + intervalMs / 10)
      const overdueIn = this.#epochHeld() > 0 ? Number.POSITIVE_INFINITY : this.#overdueIn()
      const sleep = overdueIn > 0 ? Math.min(due - now, overdueIn) : due - now
      await this.#clock.sleep(sleep, signal)
    }
  }

  /** One turn: what is there to do now? */
  async #turn(): Promise<void> {
    const { intervalMs } = this.#options
    const read = await this.#replica.waitUntil(() => this.#follower.live, intervalMs, this.#stopping.signal)
    if (!read) return this.#withhold('not_read')
    this.#noteHolder()
    const asked = await this.#ask()
    if (asked === null) {
      // Only who vouched for the rows of this epoch may go on without the store.
      if (this.#vouches()) await this.#speak(null)
      else this.#withhold('store_unseen')
      return
    }
    const { name } = asked
    if (await this.#lost(asked)) return
    if (this.#follower.logId !== name.log_id) await this.#begin(name)
    else if (this.#epochHeld() === 0) await this.#standBy(name)
    if (this.#epochHeld() > 0 && this.#follower.logId === name.log_id) await this.#hold(name)
  }

  // --- the log -------------------------------------------------------------------------------------

  /** @returns what the store says of the log, or null when it cannot be asked. */
  async #ask(): Promise<Asked | null> {
    const { store, logger } = this.#options
    try {
      let name = await store.logName()
      if (name === null) {
        // A log that is there already is taken over rather than begun: the store may be the one that is new.
        const logId = this.#follower.logId ?? this.#newLogId()
        name = await store.nameLog({ log_id: logId, predecessor: null }, null)
      }
      const acknowledged = await store.acknowledgedPosition()
      this.#storeUnseenSince = null
      return { name, acknowledged: acknowledged?.log_id === name.log_id ? acknowledged.offset : -1 }
    } catch (error) {
      this.#storeUnseenSince ??= this.#time.now()
      logger.warn({ error, notary: this.#name }, 'the store does not answer the notary')
      return null
    }
  }

  /**
   * True while the log does not hold what was acknowledged on it. What lasts is given up: the log is
   * replaced under a new name, and every kept row is written again.
   */
  async #lost(asked: Asked): Promise<boolean> {
    const loss = await this.#loss(asked)
    const logId = asked.name.log_id
    // Patience is with one log: whoever has just replaced it gets time to begin, or two notaries take turns for ever.
    if (loss === null || this.#lossOf !== logId) this.#lossSince = null
    this.#lossOf = logId
    if (loss === null) return false
    this.#withhold(loss)
    const now = this.#clock.monotonic()
    if (this.#lossSince === null && loss === 'digest_not_reproduced') await this.#outbox.mend(asked.name.log_id)
    this.#lossSince ??= now
    if (now - this.#lossSince < this.#options.replaceAfterMs) return true
    this.#lossSince = null
    await this.#replace(asked)
    return true
  }

  async #loss({ name, acknowledged }: Asked): Promise<Withheld | null> {
    // The row was read first, the bounds come after: what was acknowledged by then is below the end by now.
    const { end } = await this.#options.log.bounds(this.#options.topic)
    if (acknowledged >= end) return 'beyond_the_end'
    const { logId, last, agrees } = this.#follower
    // A log named and not begun yet. While its predecessor is still what is read, its bundle was not taken, perhaps
    // because another notary renewed the old one just before: it is begun again, under a higher version.
    const unbegun = logId === null ? acknowledged < 0 : logId === name.predecessor?.log_id
    if (logId !== name.log_id) return unbegun ? null : 'beyond_the_end'
    if (agrees === false) return 'digest_not_reproduced'
    // The last checkpoint stands alone: what it states of the view before it cannot be checked.
    const alone = agrees === null && last !== null && last.checkpoint.sequence > 1
    return alone && !this.#vouches() ? 'digest_not_reproduced' : null
  }

  async #replace({ name, acknowledged }: Asked): Promise<void> {
    const { store, logger } = this.#options
    // As far as anyone can have read: an envelope sealed before the loss stays reachable.
    const last = Math.max(acknowledged, this.#highest?.logId === name.log_id ? this.#highest.offset : -1)
    const successor = { log_id: this.#newLogId(), predecessor: { log_id: name.log_id, offset: last } }
    const standing = await store.nameLog(successor, name.log_id)
    logger.error({ from: name.log_id, to: standing.log_id, offset: last }, 'the signals log is replaced')
    await this.#begin(standing)
  }

  /** Begins a log: bundle and first claim. Whoever else does so too claims the same epoch, and the first wins. */
  async #begin(name: LogName): Promise<void> {
    this.#inFlight = null
    this.#outbox.restart()
    await this.#claim(name, 1)
  }

  async #claim(name: LogName, epoch: number): Promise<void> {
    const { log, bundles, checkpointKey, logger } = this.#options
    const after = Math.max(this.#follower.ring?.bundle.version ?? 0, this.#follower.admitted.bundleVersion)
    const now = this.#time.now()
    const isGivenUp = (key: Uint8Array): boolean => this.#follower.floors(targetKey(signerTarget(key))).length > 0
    const bundle = await bundles.next({ logId: name.log_id, predecessor: name.predecessor, after, now, isGivenUp })
    const claim = epochClaimCodec.encode({
      log_id: name.log_id,
      epoch,
      notary: this.#name,
      claimed_at: now,
      predecessor: name.predecessor,
    })
    const appended = await this.#append([
      writeRecord('TrustBundle', bundle.body, bundle.signature, log.schemas),
      writeRecord('EpochClaim', claim, signRecord('EpochClaim', claim, checkpointKey), log.schemas),
    ])
    this.#renewedAt = this.#clock.monotonic()
    await this.#read(appended.at(-1)?.offset ?? 0)
    const held = this.#epochHeld() === epoch
    logger.info(
      { notary: this.#name, epoch, version: bundle.version, log: name.log_id },
      held ? 'epoch held' : 'epoch not won',
    )
  }

  // --- standing by ---------------------------------------------------------------------------------

  /** Claims after two missed checkpoints, and only once it has read to an end fetched after the second. */
  async #standBy(name: LogName): Promise<void> {
    this.#inFlight = null
    this.#vouched = null
    this.#withheld = null
    this.#options.metrics?.gauge('countersign_notary_epoch', this.#log, 0)
    const { holder } = this.#follower
    if (holder !== null && this.#overdueIn() > 0) return
    const { end } = await this.#options.log.bounds(this.#options.topic)
    if (!(await this.#read(end - 1))) return
    this.#noteHolder()
    if (holder === null ? this.#follower.holder !== null : this.#overdueIn() > 0) return
    this.#outbox.restart()
    await this.#claim(name, (this.#follower.holder?.epoch ?? 0) + 1)
  }

  #heard(patience: number): void {
    this.#signOfLife = this.#clock.monotonic()
    this.#patience = patience
  }

  /** Whoever has just won an epoch gets time to look at the rows. */
  #noteHolder(): void {
    const epoch = this.#follower.holder?.epoch ?? 0
    if (epoch === this.#epochNoted) return
    this.#epochNoted = epoch
    if (this.#follower.last?.checkpoint.epoch !== epoch) this.#heard(MISSED_AFTER_CLAIM)
  }

  #overdueIn(): number {
    return this.#signOfLife + this.#patience * this.#options.intervalMs - this.#clock.monotonic()
  }

  // --- holding -------------------------------------------------------------------------------------

  async #hold(name: LogName): Promise<void> {
    if (this.#clock.monotonic() - this.#renewedAt >= this.#options.renewMs) {
      await this.#claim(name, this.#epochHeld())
      await this.#options.store.dropRows(this.#follower.limits.horizon)
    } else if (this.#trustsGivenUp()) await this.#claim(name, this.#epochHeld())
    await this.#speak(name)
  }

  /** Writes the next checkpoint if everything that it vouches for was found. */
  async #speak(name: LogName | null): Promise<void> {
    if (!(await this.#landed())) return
    const highestSeq = name === null ? 0 : await this.#vouch(name)
    if (highestSeq === null) return
    if (!(await this.#outbox.stillThere())) {
      this.#withhold('not_read_back')
      return this.#replica.doubt('log_replaced')
    }
    // The claim may have been lost while the store was asked.
    const epoch = this.#epochHeld()
    if (epoch === 0 || this.#follower.agrees === false) return
    const { log, checkpointKey, metrics } = this.#options
    const checkpoint = nextCheckpoint(this.#follower, {
      notary: this.#name,
      epoch,
      now: this.#time.now(),
      storeUnseenSince: this.#storeUnseenSince,
      highestSeq,
    })
    if (checkpoint === null) return this.#withhold('not_read')
    const body = checkpointCodec.encode(checkpoint)
    const record = writeRecord('Checkpoint', body, signRecord('Checkpoint', body, checkpointKey), log.schemas)
    this.#inFlight = { record, body, sequence: checkpoint.sequence, follower: this.#follower, offset: null }
    await this.#send(this.#inFlight)
    this.#withheld = null
    this.#written++
    metrics?.counter('countersign_notary_checkpoints_total', { result: 'written', ...this.#log }).add()
    metrics?.gauge('countersign_notary_epoch', this.#log, epoch)
  }

  async #send(inFlight: InFlight): Promise<void> {
    try {
      const [appended] = await this.#append([inFlight.record])
      inFlight.offset = appended?.offset ?? null
    } catch (error) {
      const never = error instanceof EventLogError && error.outcome === 'none'
      if (never) this.#inFlight = null
      throw error
    }
  }

  /** Reads back the checkpoint sent last. @returns true when nothing of it is open any more. */
  async #landed(): Promise<boolean> {
    const { log, logger, topic } = this.#options
    const sent = this.#inFlight
    if (sent === null) return true
    // A new reading means that the log may be another one by now, whatever was answered.
    if (sent.follower !== this.#follower) sent.offset = null
    const known = sent.offset ?? (await log.bounds(topic)).end - 1
    if (!(await this.#read(known))) {
      this.#withhold('not_read_back')
      return false
    }
    const { last } = this.#follower
    const found = last !== null && checkpointCodec.encode(last.checkpoint).equals(sent.body)
    const passed = (last?.checkpoint.sequence ?? 0) >= sent.sequence
    if (found || passed || sent.offset !== null || this.#epochHeld() === 0) {
      if (!found) logger.error({ offset: sent.offset, notary: this.#name }, 'our own checkpoint was not accepted')
      this.#inFlight = null
      return true
    }
    // Not there, and it may still come: the same bytes again, since a second copy changes nothing.
    await this.#send(sent)
    return false
  }

  /**
   * Compares the outbox with the log and writes again what the log lacks.
   * @returns the highest sequence of the store, or null when it cannot be vouched for now.
   */
  async #vouch(name: LogName): Promise<number | null> {
    const { store } = this.#options
    const follower = this.#follower
    const epoch = this.#epochHeld()
    if (!this.#vouches()) this.#outbox.restart()
    try {
      if (name.predecessor !== null && follower.last === null) await this.#outbox.carryOver()
      if (!(await this.#outbox.settle(name.log_id))) {
        this.#withhold('rows_missing')
        return null
      }
      const highest = await store.highestSeq()
      this.#vouched = { follower, epoch }
      this.#outbox.forget(follower.limits.horizon - this.#options.epsilonMs)
      return highest
    } catch (error) {
      if (error instanceof EventLogError) throw error
      this.#storeUnseenSince ??= this.#time.now()
      if (this.#vouches() && !this.#outbox.owes) return 0
      this.#withhold('store_unseen')
      return null
    }
  }

  // --- small things --------------------------------------------------------------------------------

  #newLogId(): string {
    const { random, logName = MAIN_LOG } = this.#options
    return logIdOf(logName, newHandle(random, 'log'))
  }

  /** Of metrics: which log, where there are several. */
  get #log(): { readonly log?: string } {
    const { logName } = this.#options
    return logName === undefined ? {} : { log: logName }
  }

  /** Whether the bundle in force names a key that was given up. */
  #trustsGivenUp(): boolean {
    const { ring } = this.#follower
    return (
      ring?.bundle.keys.some(({ key_id }) => {
        const key = ring.key(key_id)
        return key !== undefined && this.#follower.floors(key.target.key).length > 0
      }) === true
    )
  }

  /** @returns the epoch this run holds, 0 for none. */
  #epochHeld(): number {
    const { holder, logId } = this.#follower
    return logId !== null && holder?.notary === this.#name ? holder.epoch : 0
  }

  #vouches(): boolean {
    const { follower, epoch } = this.#vouched ?? {}
    return follower === this.#follower && epoch === this.#epochHeld() && epoch > 0
  }

  /** @returns whether everything up to `offset` was read within two intervals. */
  #read(offset: number): Promise<boolean> {
    const { intervalMs } = this.#options
    return this.#replica.waitUntil(() => this.#follower.position >= offset, 2 * intervalMs, this.#stopping.signal)
  }

  async #append(records: readonly NewRecord[]): Promise<readonly Appended[]> {
    const appended = await this.#options.log.append(this.#options.topic, records)
    const last = appended.at(-1)
    if (last) this.#time.tell(last.timestamp)
    return appended
  }

  #noteHighest(): void {
    const { logId, position } = this.#follower
    if (logId === null) return
    if (this.#highest?.logId !== logId) this.#highest = { logId, offset: position }
    else this.#highest.offset = Math.max(this.#highest.offset, position)
  }

  #withhold(reason: Withheld): void {
    this.#withheld = reason
    if (this.#epochHeld() > 0)
      this.#options.metrics?.counter('countersign_notary_checkpoints_total', { result: reason, ...this.#log }).add()
  }
}
